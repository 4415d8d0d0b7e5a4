//! What a request costs the proxy beside reading and writing: finding its route, and its head.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use specola_proxy::fuzzing::bench::{Heads, Routes};

/// As `measure/work.py` has them: cookies of 1.5 kB and some twenty headers more.
fn browser() -> Vec<(String, String)> {
    let cookies: Vec<_> = (0..6).map(|number| format!("cookie-{number}={}", "c".repeat(240))).collect();
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0";
    let mut headers = vec![
        ("Host".to_owned(), "127.0.0.1:8000".to_owned()),
        ("Cookie".to_owned(), cookies.join("; ")),
        ("Accept".to_owned(), "application/json".to_owned()),
        ("Accept-Language".to_owned(), "it-IT,it;q=0.9,en;q=0.8".to_owned()),
        ("Cache-Control".to_owned(), "no-cache".to_owned()),
        ("Pragma".to_owned(), "no-cache".to_owned()),
        ("Referer".to_owned(), "http://127.0.0.1/user/alice/lab/tree/notebook.ipynb".to_owned()),
        ("X-XSRFToken".to_owned(), format!("2|{}", "a".repeat(60))),
        ("User-Agent".to_owned(), agent.to_owned()),
    ];
    headers.extend(
        ["Dest", "Mode", "Site", "User", "Storage"].map(|name| (format!("Sec-Fetch-{name}"), "same-origin".to_owned())),
    );
    headers.extend((0..10).map(|number| (format!("X-Measured-{number}"), "some value of a header".to_owned())));
    headers
}

fn routes(criterion: &mut Criterion) {
    for count in [10, 1_000, 100_000] {
        let routes = Routes::new(count);
        let path = format!("/user/somebody-{}/api/contents/notebook.ipynb", count / 2);
        assert!(routes.find(&path));
        criterion.bench_function(&format!("route of a path, of {count}"), |bencher| {
            bencher.iter(|| routes.find(black_box(&path)));
        });
    }
}

fn heads(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let heads = runtime.block_on(Heads::new());
    let lines: String = browser().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let plain = format!("GET /user/alice/api/contents HTTP/1.1\r\n{lines}\r\n").into_bytes();
    let mut written = Vec::new();
    assert!(heads.write(&plain, &mut written));
    criterion.bench_function("head of a browser, read and written", |bencher| {
        bencher.iter(|| {
            written.clear();
            heads.write(black_box(&plain), &mut written)
        });
    });
    let pair =
        |(name, value): (String, String)| (name.parse::<HeaderName>().unwrap(), HeaderValue::try_from(value).unwrap());
    let map: HeaderMap = browser().into_iter().map(pair).collect();
    assert!(heads.clean(&mut map.clone()));
    criterion.bench_function("headers of a browser, copied", |bencher| bencher.iter(|| black_box(&map).clone()));
    criterion.bench_function("headers of a browser, copied and cleaned", |bencher| {
        bencher.iter(|| {
            let mut map = black_box(&map).clone();
            heads.clean(&mut map);
            map
        });
    });
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = routes, heads
}
criterion_main!(all);
