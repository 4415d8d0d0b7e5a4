//! From a raw request path to the key that routes are found by. Pure.
//!
//! A key is the decoded path, where `/` parts segments and an encoded slash inside a segment is the
//! byte `0xFF`, which no UTF-8 text holds. So `/user/a%2Fx` never matches `/user/a/`. What is sent
//! upstream is always the raw path, therefore paths that an upstream may resolve to another route
//! (dot segments, backslashes) are refused, not resolved.

use std::borrow::Cow;

/// Why a path is not routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("the path has a dot segment")]
    Dots,
    #[error("the path has a backslash")]
    Backslash,
    #[error("the path has an invalid escape")]
    Escape,
    #[error("the path is not UTF-8")]
    Encoding,
}

/// Stands for an encoded slash inside a segment.
const SLASH: u8 = 0xFF;

/// The key of a raw path; borrowed when nothing is encoded, which is nearly always.
pub(crate) fn key(raw: &str) -> Result<Cow<'_, [u8]>, PathError> {
    let bytes = raw.as_bytes();
    let mut plain = true;
    let mut before = b'/';
    for &byte in bytes {
        match byte {
            b'%' => plain = false,
            b'.' if before == b'/' => plain = false,
            b'\\' => return Err(PathError::Backslash),
            _ => {}
        }
        before = byte;
    }
    if plain {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut key = Vec::with_capacity(bytes.len());
    for (index, segment) in raw.split('/').enumerate() {
        if index > 0 {
            key.push(b'/');
        }
        let start = key.len();
        decode(segment.as_bytes(), &mut key)?;
        let decoded = key.get(start..).unwrap_or_default();
        if decoded == b"." || decoded == b".." {
            return Err(PathError::Dots);
        }
        if decoded.split(|&byte| byte == SLASH).any(|part| std::str::from_utf8(part).is_err()) {
            return Err(PathError::Encoding);
        }
    }
    Ok(Cow::Owned(key))
}

fn decode(segment: &[u8], key: &mut Vec<u8>) -> Result<(), PathError> {
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            key.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|&byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(PathError::Escape);
        };
        match u8::try_from(high * 16 + low) {
            Ok(b'/') => key.push(SLASH),
            // An encoded 0xFF is never valid UTF-8 and must not pass for an encoded slash.
            Ok(SLASH) | Err(_) => return Err(PathError::Encoding),
            Ok(byte) => key.push(byte),
        }
    }
    Ok(())
}

/// The key of a route's prefix (a routespec `[host]/path/`), without its last slash.
pub(crate) fn prefix_key(prefix: &str) -> Result<Vec<u8>, PathError> {
    let (host, path) = match prefix.find('/') {
        Some(at) => prefix.split_at(at),
        None => (prefix, ""),
    };
    let mut whole = host_key(host).into_bytes();
    whole.extend_from_slice(&key(path.strip_suffix('/').unwrap_or(path))?);
    Ok(whole)
}

/// A host as routes spell it: lower case, without port and final dot.
pub(crate) fn host_key(host: &str) -> String {
    let name = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => host.get(..colon).unwrap_or(host),
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_decoded_keys() {
        let cases: [(&str, &[u8]); 9] = [
            ("/user/alice/x", b"/user/alice/x"),
            ("/user/b%40r%20x/", b"/user/b@r x/"),
            ("/user/alice%2Fx", b"/user/alice\xFFx"),
            ("/user%2falice/x", b"/user\xFFalice/x"),
            ("//x/user/alice", b"//x/user/alice"),
            ("/user/.hidden/...", b"/user/.hidden/..."),
            ("/user/%C3%A9", "/user/é".as_bytes()),
            ("/a;v=1/b+c", b"/a;v=1/b+c"),
            ("*", b"*"),
        ];
        for (raw, expected) in cases {
            assert_eq!(key(raw).unwrap().as_ref(), expected, "{raw}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        let cases = [
            ("/user/alice/../bob", PathError::Dots),
            ("/user/alice/%2e%2E/bob", PathError::Dots),
            ("/user/./bob", PathError::Dots),
            ("/user/alice/..", PathError::Dots),
            ("/user\\alice", PathError::Backslash),
            ("/%", PathError::Escape),
            ("/%4", PathError::Escape),
            ("/%zz", PathError::Escape),
            ("/user/alice/%ff", PathError::Encoding),
            ("/user/%c3", PathError::Encoding),
            ("/user/%c3%2f%a9", PathError::Encoding),
        ];
        for (raw, expected) in cases {
            assert_eq!(key(raw), Err(expected), "{raw}");
        }
    }

    #[test]
    fn prefixes_lose_their_last_slash_and_hosts_their_port() {
        let cases: [(&str, &[u8]); 6] = [
            ("/", b""),
            ("/user/a%40b/", b"/user/a@b"),
            ("/user/a", b"/user/a"),
            ("Ex.COM./sub/", b"ex.com/sub"),
            ("ex.com/", b"ex.com"),
            ("[::1]:8000/x/", b"[::1]/x"),
        ];
        for (prefix, expected) in cases {
            assert_eq!(prefix_key(prefix).unwrap(), expected, "{prefix}");
        }
    }
}
