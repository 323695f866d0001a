//! Which port is ours? Held from early on, so that trouble is told before journals are read; opened when the broker serves.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 1024;
/// Pause before a port that is taken is asked for again.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Why an address cannot be had. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host's name means nothing to this machine.
    #[error("{address}: {error}: name an address of this machine, or leave the host empty for all of them")]
    Unresolved {
        /// As it was written.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The port is taken.
    #[error(
        "{address}: another program listens there: stop it (`ss -ltnp` names it), or choose another port"
    )]
    Taken {
        /// As it was written.
        address: String,
    },
    /// The address belongs to another machine.
    #[error(
        "{address}: no address of this machine: choose one that is, or leave the host empty for all of them"
    )]
    Elsewhere {
        /// As it was written.
        address: String,
    },
    /// Not for everybody.
    #[error("{address}: ports below 1024 need CAP_NET_BIND_SERVICE: choose another, or grant it")]
    Privileged {
        /// As it was written.
        address: String,
    },
    /// The system says something else.
    #[error("{address}: {error}")]
    System {
        /// As it was written.
        address: String,
        /// What it says.
        error: io::Error,
    },
}

/// An address that is held and not yet open: who connects is refused.
#[derive(Debug)]
pub struct Bound {
    socket: OwnedFd,
    address: String,
}

/// Holds an address, and waits for it at most for `patience` while somebody else has it.
///
/// A process that was killed has its port for a while after it has ended: the kernel takes its io_uring rings down later, and they hold
/// the listener. Whoever starts it again at once would find the port taken. Blocks the thread: for the start, before there are shards.
///
/// # Errors
/// As `bind`.
pub fn bind_within(host: &str, port: u16, patience: Duration) -> Result<Bound, BindError> {
    let begun = Instant::now();
    loop {
        match bind(host, port) {
            Err(BindError::Taken { .. }) if begun.elapsed() < patience => thread::sleep(ASKED_EVERY),
            outcome => return outcome,
        }
    }
}

/// Holds an address. An empty host is every address of the machine, of both families where it has both.
///
/// # Errors
/// When somebody else has it, or it is none of this machine's.
pub fn bind(host: &str, port: u16) -> Result<Bound, BindError> {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    if host.is_empty() {
        let all = bind_to((Ipv6Addr::UNSPECIFIED, port).into());
        let without_v6 = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
        let socket = match all {
            Err(error) if without_v6.contains(&error) => bind_to((Ipv4Addr::UNSPECIFIED, port).into()),
            bound => bound,
        };
        return socket.map_err(|error| told(error, &address)).map(|socket| Bound { socket, address });
    }
    let resolved: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Err(BindError::Unresolved { address, error }),
    };
    // As Java does by default: of a name with addresses of both families, the older one.
    let chosen = resolved.iter().find(|found| found.is_ipv4()).or(resolved.first()).copied();
    let Some(chosen) = chosen else { return Err(BindError::Elsewhere { address }) };
    bind_to(chosen).map_err(|error| told(error, &address)).map(|socket| Bound { socket, address })
}

fn bind_to(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    // A port in TIME_WAIT after a restart may be bound again; one that somebody listens on may not.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

fn told(error: Errno, address: &str) -> BindError {
    let address = address.to_owned();
    match error {
        Errno::ADDRINUSE => BindError::Taken { address },
        Errno::ADDRNOTAVAIL => BindError::Elsewhere { address },
        Errno::ACCESS => BindError::Privileged { address },
        error => BindError::System { address, error: error.into() },
    }
}

impl Bound {
    /// Opens the port. It is never shared: a second broker fails here at the latest.
    ///
    /// # Errors
    /// When another program that held the same address was faster.
    pub fn listen(self) -> Result<TcpListener, BindError> {
        rustix::net::listen(&self.socket, BACKLOG).map_err(|error| told(error, &self.address))?;
        Ok(TcpListener::from(self.socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_port_that_somebody_has_is_refused_in_words() {
        let first = bind("127.0.0.1", 0).unwrap().listen().unwrap();
        let port = first.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost", ""] {
            let refused = bind(host, port).unwrap_err();
            assert!(matches!(refused, BindError::Taken { .. }), "{refused}");
            assert!(refused.to_string().contains(&port.to_string()));
        }
    }

    #[test]
    fn a_port_that_comes_free_is_waited_for() {
        let first = bind("127.0.0.1", 0).unwrap().listen().unwrap();
        let port = first.local_addr().unwrap().port();
        assert!(matches!(bind_within("127.0.0.1", port, Duration::ZERO), Err(BindError::Taken { .. })));
        let freeing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(first);
        });
        assert!(bind_within("127.0.0.1", port, Duration::from_mins(1)).is_ok());
        freeing.join().unwrap();
    }

    #[test]
    fn of_two_that_hold_a_port_one_opens_it() {
        let first = bind("127.0.0.1", 0).unwrap();
        let port = rustix::net::getsockname(&first.socket).unwrap();
        let port = SocketAddr::try_from(port).unwrap().port();
        let second = bind("127.0.0.1", port).unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "held is not open");
        let _open = first.listen().unwrap();
        assert!(matches!(second.listen(), Err(BindError::Taken { .. })));
    }

    #[test]
    fn an_empty_host_is_every_address_of_both_families() {
        let open = bind("", 0).unwrap().listen().unwrap();
        let port = open.local_addr().unwrap().port();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_ok());
        }
    }

    #[test]
    fn addresses_of_others_are_told_apart_from_names_that_mean_nothing() {
        assert!(matches!(bind("192.0.2.1", 9092), Err(BindError::Elsewhere { .. })));
        assert!(matches!(bind("no such name", 9092), Err(BindError::Unresolved { .. })));
    }
}
