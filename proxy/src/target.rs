//! Where a route leads: parsed once, when the route arrives.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use http::Uri;
use percent_encoding::percent_decode_str;

/// A parsed target URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// Whether it is spoken to over TLS.
    pub(crate) tls: bool,
    /// What `Host` says when the proxy itself asks the upstream.
    pub(crate) authority: String,
    /// A path, where targets may have one; empty is none.
    pub(crate) base: String,
    /// A query, where targets may have one.
    pub(crate) query: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Ip(SocketAddr),
    Name(String, u16),
    Unix(PathBuf),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("target {0:?} is not http://host:port, https://host:port or http+unix://%2Fpath")]
    Form(String),
    #[error("target {0:?} has a path; requests are forwarded with their own")]
    Path(String),
    #[error("target {0:?} is an address where no server may be: link-local, multicast, or a cloud's own")]
    Forbidden(String),
}

impl Target {
    /// Reads a target without a path.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let target = Self::with_path(text)?;
        let bare = target.base.is_empty() && target.query.is_none();
        if bare { Ok(target) } else { Err(TargetError::Path(text.to_owned())) }
    }

    /// Reads a target that may have a path, which is put before that of requests.
    pub(crate) fn with_path(text: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form(text.to_owned());
        if let Some(rest) = text.strip_prefix("http+unix://").or_else(|| text.strip_prefix("unix+http://")) {
            let (socket, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let path = percent_decode_str(socket).decode_utf8().map_err(|_| form())?;
            if !path.starts_with('/') || path.contains('\0') {
                return Err(form());
            }
            let address = Address::Unix(PathBuf::from(path.as_ref()));
            let base = base.trim_end_matches('/').to_owned();
            return Ok(Self { address, tls: false, authority: "localhost".to_owned(), base, query: None });
        }
        let uri: Uri = text.parse().map_err(|_| form())?;
        let authority = uri.authority().ok_or_else(form)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(form()),
        };
        if authority.as_str().contains('@') {
            return Err(form());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(form());
        }
        let port = match authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')) {
            Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or_else(form)?,
            None if tls => 443,
            None => 80,
        };
        let address = match host.parse::<IpAddr>() {
            Ok(ip) if is_forbidden(ip) => return Err(TargetError::Forbidden(text.to_owned())),
            Ok(ip) => Address::Ip(SocketAddr::new(ip, port)),
            Err(_) => Address::Name(host.to_owned(), port),
        };
        let base = if uri.path() == "/" { String::new() } else { uri.path().to_owned() };
        let query = uri.query().map(str::to_owned);
        Ok(Self { address, tls, authority: authority.as_str().to_owned(), base, query })
    }
}

/// Cloud machines serve credentials on link-local addresses, and two clouds on others; no lab lives there.
pub(crate) fn is_forbidden(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_multicast() || ip == Ipv4Addr::new(100, 100, 100, 200),
        IpAddr::V6(ip) => {
            let amazon = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            let inner = inner(ip).is_some_and(|ip| is_forbidden(ip.into()));
            ip.is_unicast_link_local() || ip.is_multicast() || ip == amazon || inner
        }
    }
}

/// The address of version four to which a router takes this one: NAT64, 6to4, and what once was compatible.
fn inner(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match ip.segments() {
        [0x64, 0xff9b, _, _, _, _, high, low] | [0x2002, high, low, ..] | [0, 0, 0, 0, 0, 0, high, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed_into_addresses() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        let cases = [
            ("http://127.0.0.1:1234", ip("127.0.0.1:1234")),
            ("http://127.0.0.1:1234/", ip("127.0.0.1:1234")),
            ("http://[::1]:80/", ip("[::1]:80")),
            ("http://[64:ff9b::a00:1]:80/", ip("[64:ff9b::a00:1]:80")),
            ("http://lab-a.example:8888", Address::Name("lab-a.example".into(), 8888)),
            ("http://lab", Address::Name("lab".into(), 80)),
            ("http+unix://%2Frun%2Flab%20a.sock", Address::Unix("/run/lab a.sock".into())),
            ("unix+http://%2Frun%2Flab.sock/", Address::Unix("/run/lab.sock".into())),
        ];
        for (text, address) in cases {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.address, target.tls), (address, false), "{text}");
        }
        for (text, address) in [
            ("https://127.0.0.1:1234/", ip("127.0.0.1:1234")),
            ("https://lab.example", Address::Name("lab.example".into(), 443)),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.address, target.tls), (address, true), "{text}");
        }
    }

    #[test]
    fn other_targets_are_refused() {
        let cases = [
            "",
            "nonsense",
            "https://u:p@a",
            "wss://a:1",
            "ftp://a",
            "http://a:1/base",
            "http://a:1/?q=1",
            "http://u:p@a:1",
            "http+unix://relative",
            "http+unix://%2Fa%00b",
            "http://169.254.169.254/",
            "http://[fe80::1]:1",
            "http://100.100.100.200/",
            "http://[fd00:ec2::254]/",
            "http://224.0.0.1:80",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[64:ff9b:1::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[::a9fe:a9fe]/",
            "http://[64:ff9b::6464:64c8]/",
            "http://a:99999",
        ];
        for text in cases {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
