//! The PROXY protocol, versions 1 and 2 (haproxy's `proxy-protocol.txt`): what a load balancer writes before the first
//! byte of a connection, to say whose connection it passes on.
//!
//! [`parse`] is a pure function over bytes; [`receive`] reads no byte more than the header has, for the next one may be
//! the first of a TLS handshake.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::AsyncReadExt;

use crate::stream::Stream;

/// What version 2 begins with; no request does.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before its addresses.
const FIXED: usize = 16;
/// The longest line of version 1, with its end.
const LINE: usize = 107;
/// The longest header of version 2 that is taken. What follows the addresses is seldom a hundred bytes.
const MOST: usize = 4096;
/// A field of version 2 that tells of TLS.
const SSL: u8 = 0x20;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its length in bytes.
    pub length: usize,
    /// The client; None when the connection is the sender's own, such as a look whether we live.
    pub source: Option<SocketAddr>,
    /// Whether the client spoke TLS to the sender.
    pub tls: bool,
}

/// The bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a valid PROXY header")]
pub struct Malformed;

/// Reads the header that the bytes begin with; `Ok(None)` while more of it has to come.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let seen = bytes.len().min(SIGNATURE.len());
    match bytes.get(..seen) == SIGNATURE.get(..seen) {
        true if seen < SIGNATURE.len() => Ok(None),
        true => binary(bytes),
        false => line(bytes),
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n`.
fn line(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    const BEGINNING: &[u8] = b"PROXY ";
    let seen = bytes.len().min(BEGINNING.len());
    if bytes.get(..seen) != BEGINNING.get(..seen) {
        return Err(Malformed);
    }
    let Some(end) = bytes.iter().take(LINE).position(|&byte| byte == b'\n') else {
        return if bytes.len() < LINE { Ok(None) } else { Err(Malformed) };
    };
    let text = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    let mut words = text.split(' ').skip(1);
    let header = |source| Ok(Some(Header { length: end + 1, source, tls: false }));
    let family = words.next();
    if family == Some("UNKNOWN") {
        return header(None);
    }
    let [Some(source), Some(destination), Some(port), Some(to), None] = [(); 5].map(|()| words.next()) else {
        return Err(Malformed);
    };
    let (source, destination) = match family {
        Some("TCP4") => (v4(source)?, v4(destination)?),
        Some("TCP6") => (v6(source)?, v6(destination)?),
        _ => return Err(Malformed),
    };
    let _ = (destination, decimal(to)?);
    header(Some(SocketAddr::new(source, decimal(port)?)))
}

fn v4(text: &str) -> Result<IpAddr, Malformed> {
    text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Malformed)
}

fn v6(text: &str) -> Result<IpAddr, Malformed> {
    text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Malformed)
}

/// A port as the protocol writes it: no sign, no zero before it.
fn decimal(text: &str) -> Result<u16, Malformed> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

/// Version 2: signature, version and command, family, length, addresses, and fields that may follow.
fn binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    // Told as early as it is known.
    let command = rest.first();
    if command.is_some_and(|command| !matches!(command, 0x20 | 0x21)) {
        return Err(Malformed);
    }
    let (Some(command), Some(family), Some(&[high, low])) = (command, rest.get(1), rest.get(2..4)) else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return Err(Malformed);
    }
    let Some(body) = bytes.get(FIXED..length) else { return Ok(None) };
    // Of the sender itself: whatever it says of addresses is not to be used.
    if *command == 0x20 {
        return Ok(Some(Header { length, source: None, tls: false }));
    }
    let (source, taken) = match *family {
        0x11 => {
            let (address, ports) = (array::<4>(body, 0)?, array::<4>(body, 8)?);
            (Some(SocketAddr::new(Ipv4Addr::from(address).into(), first(ports))), 12)
        }
        0x21 => {
            let (address, ports) = (array::<16>(body, 0)?, array::<4>(body, 32)?);
            (Some(SocketAddr::new(Ipv6Addr::from(address).into(), first(ports))), 36)
        }
        // Datagrams, unix sockets, and what nobody has thought of yet: allowed, and of no use here.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => return Ok(Some(Header { length, source: None, tls: false })),
        _ => return Err(Malformed),
    };
    let tls = says_tls(body.get(taken..).unwrap_or_default())?;
    Ok(Some(Header { length, source, tls }))
}

fn array<const N: usize>(body: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    body.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).ok_or(Malformed)
}

fn first([high, low, _, _]: [u8; 4]) -> u16 {
    u16::from_be_bytes([high, low])
}

/// Walks the fields after the addresses: a kind, a length of two bytes, a value.
fn says_tls(mut fields: &[u8]) -> Result<bool, Malformed> {
    let mut tls = false;
    while let Some((&kind, rest)) = fields.split_first() {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(Malformed)?;
        if kind == SSL {
            tls = value.first().is_some_and(|client| client & 1 == 1);
        }
        fields = rest;
    }
    Ok(tls)
}

/// Takes the header off a connection, and nothing else.
pub(crate) async fn receive(socket: &mut Stream) -> io::Result<Header> {
    let mut bytes = vec![0; MOST];
    let mut taken = 0;
    loop {
        let room = bytes.get_mut(taken..).unwrap_or_default();
        let there = socket.peek(room).await?;
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = taken + there;
        let header = parse(bytes.get(..end).unwrap_or_default()).map_err(io::Error::other)?;
        // Without its end, all that is there is of the header.
        let until = header.map_or(end, |header| header.length);
        socket.read_exact(bytes.get_mut(taken..until).unwrap_or_default()).await?;
        taken = until;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binary_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    fn source(bytes: &[u8]) -> Result<Option<Option<String>>, Malformed> {
        let header = parse(bytes)?;
        Ok(header.map(|header| header.source.map(|source| source.to_string())))
    }

    #[test]
    fn lines_are_read() {
        for (text, expected) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\nGET /", Some("192.0.2.1:4711")),
            ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", Some("[2001:db8::1]:0")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 whatever 1 2\r\n\r\n", None),
        ] {
            assert_eq!(source(text.as_bytes()), Ok(Some(expected.map(str::to_owned))), "{text}");
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for text in [
            "GET / HTTP/1.1\r\n",
            "P\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Malformed), "{text}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(100));
        assert_eq!(parse(long.as_bytes()), Err(Malformed));
        assert_eq!(parse(long.get(..106).unwrap().as_bytes()), Ok(None));
    }

    #[test]
    fn binary_headers_are_read() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 1, 187];
        let mut six = [0; 36];
        six[15] = 1;
        six[33] = 80;
        let fields = [&four[..], &[4, 0, 1, 9, SSL, 0, 5, 1, 0, 0, 0, 0]].concat();
        for (bytes, expected, tls) in [
            (binary_header(0x21, 0x11, &four), Some("192.0.2.1:4711"), false),
            (binary_header(0x21, 0x21, &six), Some("[::1]:80"), false),
            (binary_header(0x21, 0x11, &fields), Some("192.0.2.1:4711"), true),
            (binary_header(0x20, 0x00, &[]), None, false),
            (binary_header(0x20, 0x11, &four), None, false),
            (binary_header(0x21, 0x31, &[0; 216]), None, false),
            (binary_header(0x21, 0x00, &[7; 20]), None, false),
        ] {
            let header = parse(&bytes).unwrap().unwrap();
            assert_eq!(header.source.map(|source| source.to_string()).as_deref(), expected);
            assert_eq!((header.length, header.tls), (bytes.len(), tls));
        }
    }

    #[test]
    fn other_binary_headers_are_refused() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 1, 187];
        let cut = [&four[..], &[SSL, 0, 5, 1]].concat();
        for bytes in [
            binary_header(0x11, 0x11, &four),
            binary_header(0x22, 0x11, &four),
            binary_header(0x21, 0x13, &four),
            binary_header(0x21, 0x11, &four[..11]),
            binary_header(0x21, 0x21, &four),
            binary_header(0x21, 0x11, &cut),
            binary_header(0x21, 0x11, &[0; 5000]),
            SIGNATURE.iter().copied().chain([0x31]).collect(),
        ] {
            assert_eq!(parse(&bytes), Err(Malformed), "{bytes:?}");
        }
    }

    fn headers() -> impl Strategy<Value = (Vec<u8>, SocketAddr)> {
        let line = (any::<[u8; 4]>(), any::<u16>(), any::<u16>()).prop_map(|(address, port, to)| {
            let address = Ipv4Addr::from(address);
            let text = format!("PROXY TCP4 {address} 192.0.2.2 {port} {to}\r\n");
            (text.into_bytes(), SocketAddr::new(address.into(), port))
        });
        let six = (any::<[u8; 16]>(), any::<u16>(), any::<Vec<u8>>()).prop_map(|(address, port, value)| {
            let value = value.get(..value.len().min(200)).unwrap();
            let field = [&[4, 0, value.len() as u8], value].concat();
            let body = [&address[..], &[0; 16], &port.to_be_bytes(), &[0, 1], &field].concat();
            (binary_header(0x21, 0x21, &body), SocketAddr::new(Ipv6Addr::from(address).into(), port))
        });
        prop_oneof![line, six]
    }

    proptest! {
        #[test]
        fn a_header_says_the_same_however_it_is_cut_and_whatever_follows(
            (bytes, expected) in headers(),
            after in any::<Vec<u8>>(),
        ) {
            for cut in 0..bytes.len() {
                prop_assert_eq!(parse(bytes.get(..cut).unwrap()), Ok(None));
            }
            let header = parse(&[&bytes[..], &after].concat()).unwrap().unwrap();
            prop_assert_eq!((header.length, header.source), (bytes.len(), Some(expected)));
        }

        #[test]
        fn no_bytes_are_read_beyond_their_end(
            bytes in any::<Vec<u8>>(),
            begins in prop_oneof![Just(&b""[..]), Just(SIGNATURE), Just(&b"PROXY TCP4 "[..])],
        ) {
            let bytes = [begins, &bytes].concat();
            if let Ok(Some(header)) = parse(&bytes) {
                prop_assert!(header.length <= bytes.len() && header.length <= MOST);
            }
            // More bytes never turn a refusal into something else.
            if let Some(cut) = (0..bytes.len()).find(|&cut| parse(bytes.get(..cut).unwrap()).is_err()) {
                prop_assert!(parse(bytes.get(cut..).map(|_| &bytes[..]).unwrap()).is_err());
            }
        }
    }
}
