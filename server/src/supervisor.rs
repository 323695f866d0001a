//! What does the one who started the broker want to know? systemd's `Type=notify`: a word in a datagram.
//!
//! So `systemctl start` returns when clients are served, and fails where the broker refuses its ground; units that are
//! ordered after it find it ready. Without `NOTIFY_SOCKET` nobody asked, and nothing is sent.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Clients are served.
pub const READY: &str = "READY=1";
/// A clean stop has begun.
pub const STOPPING: &str = "STOPPING=1";

/// Says it to the supervisor, if there is one that listens. That it did not hear changes nothing for clients, so
/// trouble is only logged.
pub fn tell_supervisor(word: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, word) {
        tracing::warn!(?socket, %error, word, "the supervisor cannot be told");
    }
}

fn send(socket: &OsStr, word: &str) -> io::Result<()> {
    // A leading @ stands for the zero byte of an abstract name.
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(word.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_supervisor_is_told_by_path_and_by_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), READY).unwrap();
        assert_eq!(hear(&by_path), "READY=1");
        let name = format!("thalweg-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), STOPPING).unwrap();
        assert_eq!(hear(&by_name), "STOPPING=1");
        drop(by_path);
        assert!(send(path.as_os_str(), READY).is_err());
    }
}
