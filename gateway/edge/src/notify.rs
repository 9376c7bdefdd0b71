//! What the service manager is told (`sd_notify(3)`): that the gateway serves, which process it is, that it ends. Without a manager, nothing.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// This process is the service now: after an upgrade, in the place of another one.
pub(crate) fn serving() {
    tell(&format!("MAINPID={}\nREADY=1\nSTATUS=Serving", std::process::id()));
}

/// It ends.
pub(crate) fn stopping() {
    tell("STOPPING=1\nSTATUS=Letting transfers finish");
}

fn tell(text: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(name.as_bytes(), text.as_bytes())
    {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// A path, or after an `@` a name in the abstract namespace.
fn send(name: &[u8], text: &[u8]) -> std::io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    #[test]
    fn both_kinds_of_names_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("streamvault-test-{}", std::process::id());
        let at_path = UnixDatagram::bind(&path).unwrap();
        let at_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        super::send(path.as_os_str().as_bytes(), b"READY=1").unwrap();
        super::send(format!("@{name}").as_bytes(), b"READY=1").unwrap();
        for socket in [at_path, at_name] {
            let mut bytes = [0; 16];
            let got = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..got], b"READY=1");
        }
        assert!(super::send(b"/nowhere/at/all", b"READY=1").is_err());
    }
}
