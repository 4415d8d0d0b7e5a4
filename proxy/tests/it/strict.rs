//! Reads what goes over a connection as strictly as can be: for tests, and for what the fuzz targets hold to be true.

/// A whole request: its line, and its body.
pub type Request = (String, Vec<u8>);

/// Reads strictly what came over one connection: whole requests, and nothing that is not one.
pub fn requests(mut bytes: &[u8]) -> Result<Vec<Request>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(found) };
        let line_end = bytes.windows(2).position(|two| two == b"\r\n").unwrap_or(end);
        // Values may hold any byte from 0x80 on (RFC 9110, obs-text); in the line they are UTF-8.
        let text = str::from_utf8(&bytes[..line_end]).is_ok();
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        if line.split(' ').count() != 3
            || !text
            || head.contains(['\n', '\0']) && head.replace("\r\n", "").contains(['\n', '\r', '\0'])
        {
            return Err(format!("odd head {head:?}"));
        }
        let (mut length, mut chunked) = (None, false);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("odd line {line:?}"))?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" if length.is_none() => {
                    length = Some(value.trim().parse::<usize>().map_err(|e| e.to_string())?)
                }
                "content-length" => return Err("two lengths".to_owned()),
                "transfer-encoding" if value.trim().eq_ignore_ascii_case("chunked") && !chunked => chunked = true,
                "transfer-encoding" => return Err(format!("odd coding {value:?}")),
                name if name.ends_with(char::is_whitespace) || name.is_empty() => {
                    return Err(format!("odd name {name:?}"));
                }
                _ => {}
            }
        }
        let body = match (chunked, length) {
            (true, Some(_)) => return Err("length and coding".to_owned()),
            (true, None) => match chunks(&mut bytes)? {
                Some(body) => body,
                None => return Ok(found),
            },
            (false, length) => {
                let length = length.unwrap_or(0);
                if bytes.len() < length {
                    return Ok(found);
                }
                let (body, rest) = bytes.split_at(length);
                bytes = rest;
                body.to_vec()
            }
        };
        found.push((line, body));
    }
    Ok(found)
}

fn chunks(bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let size = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("odd chunk {size:?}"))?;
        if size == 0 {
            return trailers(bytes, end + 2, body);
        }
        if bytes.len() - end - 2 < size.saturating_add(2) {
            return Ok(None);
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        if &bytes[end + 2 + size..end + 4 + size] != b"\r\n" {
            return Err("a chunk without end".to_owned());
        }
        *bytes = &bytes[end + 4 + size..];
    }
}

fn trailers(bytes: &mut &[u8], mut at: usize, body: Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    loop {
        let rest = &bytes[at..];
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        at += end + 2;
        if line.is_empty() {
            *bytes = &bytes[at..];
            return Ok(Some(body));
        }
        if !line.contains(':') || line.contains(['\n', '\r', '\0']) {
            return Err(format!("odd trailer {line:?}"));
        }
    }
}

/// The status lines of whole answers, and the begin of one that was cut, read as strictly. Informational ones count.
pub fn answers(mut bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(found) };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let line = head.split("\r\n").next().unwrap_or_default().to_owned();
        // Who asked in HTTP/1.0 is answered in it.
        let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
        let Some(status) = status.map(str::to_owned) else { return Err(format!("odd head {head:?}")) };
        if head.replace("\r\n", "").contains(['\n', '\r', '\0']) {
            return Err(format!("odd head {head:?}"));
        }
        let value = |name: &str| {
            let mut all = head.split("\r\n").filter_map(|line| line.split_once(':'));
            all.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let empty = ["1", "204", "304"].iter().any(|begin| status.starts_with(begin));
        found.push(line);
        match (value("transfer-encoding"), value("content-length")) {
            (Some(_), Some(_)) => return Err("length and coding".to_owned()),
            _ if empty => {}
            (Some(coding), None) if coding == "chunked" => {
                if chunks(&mut bytes)?.is_none() {
                    return Ok(found);
                }
            }
            (Some(coding), None) => return Err(format!("odd coding {coding:?}")),
            (None, Some(length)) => {
                let length: usize = length.parse().map_err(|_| format!("odd length {length:?}"))?;
                bytes = bytes.get(length..).unwrap_or_default();
            }
            // Until the end of the connection.
            (None, None) => return Ok(found),
        }
    }
    Ok(found)
}

#[test]
fn what_is_strict_refuses_what_could_be_read_twice() {
    let plain = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(answers(plain).unwrap(), ["HTTP/1.1 204 No Content", "HTTP/1.1 200 OK"]);
    for odd in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"nonsense\r\n\r\n",
    ] {
        assert!(answers(odd).is_err(), "{odd:?}");
    }
    assert!(requests(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx").is_err());
    assert!(requests(b"GET /\xff HTTP/1.1\r\n\r\n").is_err());
    assert_eq!(requests(b"GET / HTTP/1.1\r\nX: \xff\r\n\r\nGET /\xef\xbf\xbd HTTP/1.1\r\n\r\n").unwrap().len(), 2);
}
