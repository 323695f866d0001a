//! Where clients connect, and what they are told.

use super::ConfigError;

/// One named listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// The address to bind; empty for all.
    pub bind_host: String,
    /// The port to bind.
    pub bind_port: u16,
    /// The host that Metadata answers to whoever came by it.
    pub host: String,
    /// The port that Metadata answers.
    pub port: u16,
}

fn parse_one(key: &str, text: &str) -> Result<(String, String, u16), ConfigError> {
    let wrong = || ConfigError::value(key, text, "NAME://HOST:PORT is wanted");
    let (name, address) = text.split_once("://").ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((name.to_ascii_uppercase(), host.to_owned(), port))
}

/// Joins `listeners` and `advertised.listeners`.
pub(super) fn parse_listeners(
    listeners: &[String],
    advertised: &[String],
    protocols: &[String],
) -> Result<Vec<Listener>, ConfigError> {
    let mut found: Vec<Listener> = Vec::new();
    for text in listeners {
        let (name, host, port) = parse_one("listeners", text)?;
        let protocol =
            protocols.iter().filter_map(|pair| pair.split_once(':')).find(|(known, _)| *known == name);
        let protocol = protocol.map_or(name.as_str(), |(_, protocol)| protocol);
        if matches!(protocol, "SSL" | "SASL_PLAINTEXT" | "SASL_SSL") {
            let reason = format!("{protocol} is not served; only PLAINTEXT is");
            return Err(ConfigError::value("listeners", text, reason));
        }
        if found.iter().any(|known| known.name == name) {
            return Err(ConfigError::value("listeners", text, "two listeners have this name"));
        }
        let told =
            if host.is_empty() || host == "0.0.0.0" || host == "::" { host_name() } else { host.clone() };
        found.push(Listener { name, bind_host: host, bind_port: port, host: told, port });
    }
    for text in advertised {
        let (name, host, port) = parse_one("advertised.listeners", text)?;
        let known = found.iter_mut().find(|known| known.name == name);
        let known = known
            .ok_or_else(|| ConfigError::value("advertised.listeners", text, "no listener has this name"))?;
        (known.host, known.port) = (host, port);
    }
    if found.is_empty() {
        return Err(ConfigError::value("listeners", "", "at least one is wanted"));
    }
    Ok(found)
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_str().map_or_else(|_| "localhost".to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_listener_tells_its_own_advertised_address() {
        let found = parse_listeners(
            &strings(&["PLAINTEXT://127.0.0.1:9092", "OUTSIDE://:9093"]),
            &strings(&["OUTSIDE://kafka.example.com:19093"]),
            &strings(&["OUTSIDE:PLAINTEXT"]),
        )
        .unwrap();
        assert_eq!((found[0].host.as_str(), found[0].port), ("127.0.0.1", 9092));
        assert_eq!(
            (found[1].host.as_str(), found[1].port, found[1].bind_port),
            ("kafka.example.com", 19093, 9093)
        );
    }

    #[test]
    fn what_is_not_served_or_does_not_fit_is_refused_by_name() {
        for listeners in [&["SSL://:9093"][..], &["PLAINTEXT:9092"], &["A://:1", "A://:2"], &[]] {
            assert!(parse_listeners(&strings(listeners), &[], &[]).is_err(), "{listeners:?}");
        }
        assert!(parse_listeners(&strings(&["A://:1"]), &strings(&["B://h:1"]), &[]).is_err());
    }
}
