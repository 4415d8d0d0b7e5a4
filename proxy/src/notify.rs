//! What a service manager is told: that the proxy serves, and which process it is.

use std::{
    ffi::OsStr,
    io,
    os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt, unix::net::SocketAddr, unix::net::UnixDatagram},
};

/// Tells systemd by its protocol (sd_notify(3)). The process is named, for after a hand-over it is another.
pub(crate) fn serving(socket: &OsStr) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let text = format!("READY=1\nMAINPID={}\n", std::process::id());
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_told_at_a_path_and_at_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("specola-notify-{}", std::process::id());
        let at_path = UnixDatagram::bind(&path).unwrap();
        let at_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        serving(path.as_os_str()).unwrap();
        serving(format!("@{name}").as_ref()).unwrap();
        for socket in [at_path, at_name] {
            let mut text = [0; 100];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(text[..length], *format!("READY=1\nMAINPID={}\n", std::process::id()).as_bytes());
        }
    }
}
