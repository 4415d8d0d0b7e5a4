//! Items 13 to 15: paths pass as they are, and match on decoded segments.

use crate::{
    client::{ask, get},
    hub::route,
    upstream::Upstream,
    world::world,
};

#[tokio::test]
async fn item_13_the_raw_path_and_query_pass_byte_for_byte() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let paths = [
        "/user/a/files/a%2Fb%20c",
        "/user/a//b///c",
        "//x/user/a",
        "/user/a;v=1,2/x+y",
        "/a?q=a+b%2f&r=%zz&s=/../x",
        "/a?",
        "/%c3%a9/%E2%82%AC",
        "/~a/@b/!$&'()*",
        "/a/.hidden/..x/...",
        "/user/%61lice/",
    ];
    for path in paths {
        assert_eq!(get(world.address, path).await.status, 200, "{path}");
        assert_eq!(upstream.last().line(), format!("GET {path} HTTP/1.1"));
    }
}

#[tokio::test]
async fn item_13_ambiguous_paths_are_refused() {
    let upstream = Upstream::named("up").await;
    let world = world(vec![route("/", &upstream.url())]).await;
    let paths = [
        "/user/a/../b/",
        "/user/a/%2e%2e/b",
        "/user/a/.%2E/b",
        "/user/./a",
        "/user/a/..",
        "/user\\a",
        "/%",
        "/%zz",
        "/user/a/%ff",
        "/a/%c3",
    ];
    for path in paths {
        assert_eq!(get(world.address, path).await.status, 400, "{path}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn item_14_the_longest_prefix_on_decoded_segments_wins() {
    let hub = Upstream::named("hub").await;
    let alice = Upstream::named("alice").await;
    let named = Upstream::named("named").await;
    let bob = Upstream::named("bob").await;
    let world = world(vec![
        route("/", &hub.url()),
        route("/user/alice/", &alice.url()),
        route("/user/alice/named/", &named.url()),
        route("/user/b%40r%20x/", &bob.url()),
    ])
    .await;
    let cases = [
        ("/", "hub"),
        ("/user/alice", "alice"),
        ("/user/alice?x=1", "alice"),
        ("/user/alice/lab/tree/x", "alice"),
        ("/user/%61lice/x", "alice"),
        ("/user/alice/named/x", "named"),
        ("/user/alice/namedx", "alice"),
        ("/user/alicex", "hub"),
        ("/user/ALICE/", "hub"),
        ("/user/alice%2Fx", "hub"),
        ("/user%2Falice/x", "hub"),
        ("//user/alice/x", "hub"),
        ("//x/user/alice/", "hub"),
        ("/user/b%40r%20x/y", "bob"),
        ("/user/b@r%20x/y", "bob"),
    ];
    for (path, expected) in cases {
        assert_eq!(get(world.address, path).await.text(), expected, "{path}");
    }
    assert_eq!(ask(world.address, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "hub");
    assert_eq!(hub.last().line(), "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn item_15_hosts_match_without_case_port_and_final_dot() {
    let hub = Upstream::named("hub").await;
    let alice = Upstream::named("alice").await;
    let six = Upstream::named("six").await;
    let world = world(vec![
        route("/", &hub.url()),
        route("alice.hub.example/user/alice/", &alice.url()),
        route("[::1]/", &six.url()),
    ])
    .await;
    let cases = [
        ("alice.hub.example", "/user/alice/x", "alice"),
        ("Alice.Hub.Example.:8000", "/user/alice/x", "alice"),
        ("alice.hub.example", "/other", "hub"),
        ("other.hub.example", "/user/alice/x", "hub"),
        ("[::1]:8000", "/x", "six"),
    ];
    for (host, path, expected) in cases {
        let answer = ask(world.address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.text(), expected, "{host}{path}");
    }
}
