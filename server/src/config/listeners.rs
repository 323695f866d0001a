//! Where clients connect, and what they are told.

use super::ConfigError;
use std::net::Ipv4Addr;

/// What Kafka calls the protocols; a listener may have one as its name.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
/// Addresses that mean every address of the machine: nothing a client could connect to.
const EVERY_ADDRESS: [&str; 3] = ["", "0.0.0.0", "::"];

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

/// NAME://HOST:PORT in its parts; IPv6 addresses are in brackets.
fn parse_one(key: &str, text: &str) -> Result<(String, String, u16), ConfigError> {
    let wrong = |reason: &str| ConfigError::value(key, text, reason);
    let form = "NAME://HOST:PORT is wanted";
    let (name, address) = text.split_once("://").ok_or_else(|| wrong(form))?;
    let (host, port) = host_and_port(address, form).map_err(wrong)?;
    let name = name.trim().to_ascii_uppercase();
    if name.is_empty() {
        return Err(wrong(form));
    }
    Ok((name, host, port))
}

/// HOST:PORT in its parts; `form` is what to say where it is something else.
fn host_and_port<'a>(address: &str, form: &'a str) -> Result<(String, u16), &'a str> {
    let (host, port) = address.rsplit_once(':').ok_or(form)?;
    let port = port.trim().parse().ok().filter(|port| *port != 0);
    let port = port.ok_or("a port from 1 to 65535 is wanted")?;
    let host = host.trim();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(['[', ']', ':', '/', ' ']) {
        return Err(form);
    }
    Ok((bare.unwrap_or(host).to_owned(), port))
}

/// Where probes and scrapes are answered; `None` where they are not.
pub(super) fn parse_http(text: &str) -> Result<Option<(String, u16)>, ConfigError> {
    if text == "none" {
        return Ok(None);
    }
    let parsed = host_and_port(text, "HOST:PORT or none is wanted");
    parsed.map(Some).map_err(|reason| ConfigError::value("thalweg.http.listener", text, reason))
}

/// The protocol of a listener, by the map or because its name is one.
fn protocol_of(name: &str, protocols: &[String]) -> Option<String> {
    let pairs = protocols.iter().filter_map(|pair| pair.split_once(':'));
    let mapped = pairs
        .map(|(known, protocol)| (known.trim(), protocol.trim()))
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    match mapped {
        Some((_, protocol)) => Some(protocol.to_ascii_uppercase()),
        None => PROTOCOLS.contains(&name).then(|| name.to_owned()),
    }
}

fn check_protocol(name: &str, text: &str, protocols: &[String]) -> Result<(), ConfigError> {
    let reason = match protocol_of(name, protocols).as_deref() {
        Some("PLAINTEXT") => return Ok(()),
        Some(protocol) if PROTOCOLS.contains(&protocol) => {
            format!(
                "{protocol} is not served yet, only PLAINTEXT is: take this listener out, or let a proxy in front end TLS"
            )
        }
        Some(protocol) => format!("{protocol} is no protocol; PLAINTEXT is served"),
        None => format!(
            "No security protocol defined for listener {name}: add {name}:PLAINTEXT to listener.security.protocol.map"
        ),
    };
    Err(ConfigError::value("listeners", text, reason))
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
        check_protocol(&name, text, protocols)?;
        if found.iter().any(|known| known.name == name) {
            return Err(ConfigError::value("listeners", text, "Each listener must have a different name"));
        }
        if found.iter().any(|known| known.bind_port == port && overlap(&known.bind_host, &host)) {
            return Err(ConfigError::value("listeners", text, "Each listener must have a different port"));
        }
        let told = if EVERY_ADDRESS.contains(&host.as_str()) { host_name() } else { host.clone() };
        found.push(Listener { name, bind_host: host, bind_port: port, host: told, port });
    }
    for text in advertised {
        let (name, host, port) = parse_one("advertised.listeners", text)?;
        let wrong = |reason| ConfigError::value("advertised.listeners", text, reason);
        if EVERY_ADDRESS.contains(&host.as_str()) {
            return Err(wrong("clients cannot connect to every address: name the host they shall use"));
        }
        let known = found.iter_mut().find(|known| known.name == name);
        let known = known.ok_or_else(|| wrong("no listener has this name"))?;
        (known.host, known.port) = (host, port);
    }
    if found.is_empty() {
        return Err(ConfigError::value("listeners", "", "at least one is wanted"));
    }
    Ok(found)
}

/// Whether two addresses cannot both have one port.
fn overlap(one: &str, other: &str) -> bool {
    one == other || EVERY_ADDRESS.contains(&one) || EVERY_ADDRESS.contains(&other)
}

/// Leaves out the listeners that Kafka's controllers would use; returns their names.
pub(super) fn without_controllers(listeners: &str, controllers: &str) -> (String, Vec<String>) {
    let is_controller = |text: &&str| {
        let name = text.split("://").next().unwrap_or_default().trim();
        controllers.split(',').any(|controller| controller.trim().eq_ignore_ascii_case(name))
    };
    let (left_out, kept): (Vec<&str>, Vec<&str>) =
        listeners.split(',').filter(|text| !text.trim().is_empty()).partition(is_controller);
    (kept.join(","), left_out.into_iter().map(|text| text.trim().to_owned()).collect())
}

/// This machine's name, as clients shall find it.
fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().unwrap_or_default().to_owned();
    if name.is_empty() || name == "(none)" { Ipv4Addr::LOCALHOST.to_string() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn refused(listeners: &[&str], advertised: &[&str], protocols: &[&str]) -> String {
        parse_listeners(&strings(listeners), &strings(advertised), &strings(protocols))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn each_listener_tells_its_own_advertised_address() {
        let found = parse_listeners(
            &strings(&["PLAINTEXT://127.0.0.1:9092", "outside://:9093", "PLAIN6://[::1]:9092"]),
            &strings(&["OUTSIDE://kafka.example.com:19093"]),
            &strings(&["OUTSIDE:PLAINTEXT", "plain6:plaintext"]),
        )
        .unwrap();
        assert_eq!((found[0].host.as_str(), found[0].port), ("127.0.0.1", 9092));
        assert_eq!(
            (found[1].host.as_str(), found[1].port, found[1].bind_port),
            ("kafka.example.com", 19093, 9093)
        );
        assert_eq!((found[2].bind_host.as_str(), found[2].host.as_str()), ("::1", "::1"));
    }

    #[test]
    fn what_is_encrypted_is_not_served_in_the_clear() {
        assert!(refused(&["SSL://:9093"], &[], &[]).contains("SSL is not served yet"));
        assert!(
            refused(&["CLIENT://:9093"], &[], &["CLIENT:SASL_SSL"]).contains("SASL_SSL is not served yet")
        );
        assert!(refused(&["PLAINTEXT://:9093"], &[], &["PLAINTEXT:SSL"]).contains("SSL is not served yet"));
        assert!(refused(&["SECURE://:9093"], &[], &[]).contains("SECURE:PLAINTEXT"));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for listeners in [
            &["PLAINTEXT:9092"][..],
            &["PLAINTEXT://:"],
            &["PLAINTEXT://:0"],
            &["PLAINTEXT://:65536"],
            &["PLAINTEXT://::1:9092"],
            &["://:9092"],
            &["PLAINTEXT://:1", "PLAINTEXT://:2"],
            &["PLAINTEXT://:1", "A://127.0.0.1:1"],
            &[],
        ] {
            refused(listeners, &[], &["A:PLAINTEXT"]);
        }
        refused(&["PLAINTEXT://:1"], &["B://h:1"], &[]);
        refused(&["PLAINTEXT://:1"], &["PLAINTEXT://0.0.0.0:1"], &[]);
    }

    #[test]
    fn the_port_for_probes_is_an_address_or_none() {
        assert_eq!(parse_http("none").unwrap(), None);
        assert_eq!(parse_http("[::1]:9644").unwrap(), Some(("::1".to_owned(), 9644)));
        assert_eq!(parse_http(":9644").unwrap(), Some((String::new(), 9644)));
        for wrong in ["", "9644", "host:", "host:0", "http://host:9644"] {
            assert!(parse_http(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn listeners_of_controllers_are_left_out() {
        let (kept, left_out) = without_controllers("PLAINTEXT://:9092,CONTROLLER://:9093", "controller");
        assert_eq!((kept.as_str(), left_out), ("PLAINTEXT://:9092", vec!["CONTROLLER://:9093".to_owned()]));
    }
}
