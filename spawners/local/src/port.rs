//! The port and the address of a server.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

const HTTP: &str = "http://";
const HTTPS: &str = "https://";
/// How often a free port is looked for before giving up.
const TRIES: u32 = 64;

/// Finds a port that is free now, and that no server of ours was promised.
///
/// Between this and the server's own bind another program may take it; the server then ends, and says so in its log.
pub fn choose(ip: IpAddr, range: Option<&RangeInclusive<u16>>, promised: &HashSet<u16>) -> io::Result<u16> {
    let free = |port| TcpListener::bind(SocketAddr::new(ip, port))?.local_addr().map(|address| address.port());
    if let Some(range) = range {
        let found = range.clone().find(|port| !promised.contains(port) && free(*port).is_ok());
        return found.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "every port of the range is taken"));
    }
    for _ in 0..TRIES {
        let port = free(0)?;
        if !promised.contains(&port) {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port was found"))
}

/// Reads the address to listen on; the local one when empty.
pub fn listen_ip(text: &str) -> Option<IpAddr> {
    match text {
        "" | "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        "*" => Some(Ipv4Addr::UNSPECIFIED.into()),
        text => text.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    }
}

/// Writes the url a server is told to listen on.
pub fn bind_url(tls: bool, ip: IpAddr, port: u16, prefix: &str) -> String {
    format!("{}{}{prefix}", if tls { HTTPS } else { HTTP }, SocketAddr::new(ip, port))
}

/// Returns the url under which the machine itself reaches a server that listens on `url`, and its port.
///
/// Servers that JupyterHub started may say `http://:8888/…` or name all addresses.
pub fn reach(url: &str) -> Option<(String, u16)> {
    let (ip, port) = host(url)?;
    let (tls, rest) = scheme(url)?;
    let path = rest.split_at(rest.find('/').unwrap_or(rest.len())).1;
    Some((bind_url(tls, ip, port, path), port))
}

/// Whether a url is one of TLS, and what follows its scheme.
fn scheme(url: &str) -> Option<(bool, &str)> {
    url.strip_prefix(HTTPS).map(|rest| (true, rest)).or_else(|| Some((false, url.strip_prefix(HTTP)?)))
}

/// Returns the address and the port under which the machine itself reaches a url.
pub fn host(url: &str) -> Option<(IpAddr, u16)> {
    let (host, port) = scheme(url)?.1.split('/').next()?.rsplit_once(':')?;
    let ip = match listen_ip(host)? {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    Some((ip, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_here_is_reached() {
        let table = [
            ("http://127.0.0.1:8888/user/a/", "http://127.0.0.1:8888/user/a/"),
            ("http://0.0.0.0:8888/user/a/", "http://127.0.0.1:8888/user/a/"),
            ("http://:8888/user/a/", "http://127.0.0.1:8888/user/a/"),
            ("http://*:8888/", "http://127.0.0.1:8888/"),
            ("http://[::]:8888/", "http://[::1]:8888/"),
            ("http://[::1]:8888/", "http://[::1]:8888/"),
            ("http://10.0.0.7:8888", "http://10.0.0.7:8888"),
            ("https://0.0.0.0:8888/user/a/", "https://127.0.0.1:8888/user/a/"),
        ];
        for (url, expected) in table {
            assert_eq!(reach(url), Some((expected.to_owned(), 8888)), "{url}");
        }
        for broken in [
            "",
            "http://",
            "ftp://127.0.0.1:1/",
            "https://evil:1/",
            "http://127.0.0.1/",
            "http://evil:1/",
            "http://a:b:c/",
        ] {
            assert_eq!(reach(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_promised_or_taken_port_is_not_chosen() {
        let ip = Ipv4Addr::LOCALHOST.into();
        let taken = TcpListener::bind((ip, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(choose(ip, Some(&(port..=port)), &HashSet::new()).is_err());
        let free = choose(ip, None, &HashSet::new()).unwrap();
        assert!(choose(ip, Some(&(free..=free)), &HashSet::from([free])).is_err());
    }
}
