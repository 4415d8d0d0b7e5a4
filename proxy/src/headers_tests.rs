//! Tables for the header rules.

use super::*;

fn origin(trusted: bool) -> Origin {
    Origin {
        address: HeaderValue::from_static("192.0.2.7"),
        trusted,
        vouched: false,
        appended: false,
        told: true,
        proto: HeaderValue::from_static("http"),
        port: HeaderValue::from_static("80"),
    }
}

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn headers_of_one_hop_and_nominated_ones_do_not_pass() {
    let mut headers = map(&[
        ("host", "hub.example"),
        ("connection", "keep-alive, X-Secret"),
        ("connection", "close"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=9"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAAA"),
        ("te", "gzip"),
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ]);
    clean_request(&mut headers, &origin(false), None).unwrap();
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected =
        ["accept", "cookie", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];
    assert_eq!(names, expected);
    assert_eq!(all(&headers, "cookie"), ["a=1", "b=2"]);
}

#[test]
fn nominations_cannot_take_away_what_protects() {
    let mut headers = map(&[
        ("host", "hub.example"),
        ("connection", "host, cookie, authorization, x-forwarded-for, content-length"),
        ("cookie", "a=1"),
        ("authorization", "token x"),
    ]);
    clean_request(&mut headers, &origin(false), None).unwrap();
    for name in ["host", "cookie", "authorization", "x-forwarded-for"] {
        assert!(headers.contains_key(name), "{name}");
    }
}

#[test]
fn too_many_nominations_are_refused() {
    let names: Vec<String> = (0..40).map(|number| format!("x-{number}")).collect();
    let mut headers = map(&[("host", "a")]);
    headers.insert(CONNECTION, names.join(",").parse().unwrap());
    assert_eq!(clean_request(&mut headers, &origin(false), None), Err(StatusCode::BAD_REQUEST));
}

#[test]
fn claims_of_an_untrusted_client_are_replaced() {
    let mut headers = map(&[
        ("host", "hub.example:8000"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/evil"),
        ("x-real-ip", "1.2.3.4"),
        ("x-scheme", "https"),
        ("forwarded", "for=1.2.3.4"),
        ("x_forwarded_for", "1.2.3.4"),
        ("x_forwarded-host", "evil"),
        ("x_other", "kept"),
    ]);
    clean_request(&mut headers, &origin(false), None).unwrap();
    let cases = [
        ("x-forwarded-for", vec!["192.0.2.7"]),
        ("x-forwarded-host", vec!["hub.example:8000"]),
        ("x-forwarded-port", vec!["8000"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-prefix", vec![]),
        ("x-real-ip", vec![]),
        ("x-scheme", vec![]),
        ("forwarded", vec![]),
        ("x_forwarded_for", vec![]),
        ("x_forwarded-host", vec![]),
        ("x_other", vec!["kept"]),
    ];
    for (name, expected) in cases {
        assert_eq!(all(&headers, name), expected, "{name}");
    }
}

#[test]
fn claims_of_a_trusted_front_stay_and_its_address_is_appended() {
    let mut headers = map(&[
        ("host", "hub.example"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "5.6.7.8"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "public.example"),
    ]);
    clean_request(&mut headers, &origin(true), None).unwrap();
    assert_eq!(all(&headers, "x-forwarded-for"), ["1.2.3.4,5.6.7.8,192.0.2.7"]);
    assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&headers, "x-forwarded-host"), ["public.example"]);
    assert_eq!(all(&headers, "x-forwarded-port"), ["80"]);
}

#[test]
fn a_body_is_framed_by_what_it_is() {
    let cases = [
        (None, None, None, None),
        (Some("7"), None, Some("0"), None),
        (Some("5"), Some(SizeHint::with_exact(5)), Some("5"), None),
        (Some("5"), Some(SizeHint::new()), None, Some("chunked")),
        (None, Some(SizeHint::new()), None, Some("chunked")),
    ];
    for (said, size, length, coding) in cases {
        let mut headers = map(&[("host", "a")]);
        if let Some(said) = said {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(said));
        }
        clean_request(&mut headers, &origin(false), size).unwrap();
        assert_eq!(all(&headers, "content-length"), Vec::from_iter(length), "{said:?} {size:?}");
        assert_eq!(all(&headers, "transfer-encoding"), Vec::from_iter(coding), "{said:?} {size:?}");
    }
}

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    for (coding, passes) in [("chunked", true), ("Chunked", true), ("gzip, chunked", false), ("identity", false)] {
        let mut headers = map(&[("host", "a")]);
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static(coding));
        let cleaned = clean_request(&mut headers, &origin(false), Some(SizeHint::new()));
        assert_eq!(cleaned.is_ok(), passes, "{coding}");
    }
}

#[test]
fn an_answer_keeps_its_cookies_and_loses_its_hop() {
    let mut headers = map(&[
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("set-cookie", "c=3"),
        ("connection", "close, x-internal"),
        ("x-internal", "1"),
        ("keep-alive", "timeout=99"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("trailer", "x-sum"),
    ]);
    assert!(clean_response(&mut headers, false));
    assert_eq!(all(&headers, "set-cookie"), ["a=1", "b=2", "c=3"]);
    assert_eq!(headers.keys().count(), 1);
}

#[test]
fn there_is_exactly_one_valid_host() {
    let cases: [(&[&'static str], bool); 8] = [
        (&["hub.example:8000"], true),
        (&["[::1]:80"], true),
        (&[], false),
        (&[""], false),
        (&["a", "a"], false),
        (&["a/b"], false),
        (&["a b"], false),
        (&["user@a"], false),
    ];
    for (hosts, valid) in cases {
        let lines: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        assert_eq!(only_host(&map(&lines)).is_some(), valid, "{hosts:?}");
    }
}

#[test]
fn what_decides_over_a_message_does_not_come_after_it() {
    let headers = map(&[
        ("trailer", "X-Checksum, Set-Cookie, Content-Length, Transfer-Encoding, Host, Authorization"),
        ("trailer", "X-Forwarded-For, Connection, Cache-Control, Location, TE, Trailer, Server-Timing"),
    ]);
    let names = named_trailers(&headers);
    assert_eq!(names.iter().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum", "server-timing"]);
}
