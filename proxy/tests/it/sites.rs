//! Two sites: what is for a server of the other one goes through the proxy that is there.

use std::time::{Duration, Instant};

use specola_proxy::{Options, wire::Route};

use crate::{
    client::{ask, get, until},
    hub::{TOKEN, hub_route, user_route},
    secure::{Authority, files},
    tunnels::{echoes, open, raw_echo},
    upstream::Upstream,
    world::{World, world, world_with},
};

/// A person's server at another site, whose proxies have this address.
fn elsewhere(prefix: &str, proxies: &str) -> Route {
    let mut route = user_route(prefix, proxies);
    route.data.insert("elsewhere".into(), "cnaf".into());
    route
}

fn url(world: &World) -> String {
    format!("http://{}", world.address)
}

/// The proxies of two sites with one hub's token, and the servers `/user/a/` at the first, `/user/b/` at the second.
async fn two_sites(a: &Upstream, b: &Upstream) -> (World, World, Upstream) {
    let hub = Upstream::named("hub").await;
    let cnaf = world(vec![user_route("/user/a/", &a.url()), hub_route("/", &hub.url())]).await;
    let bari = world(vec![elsewhere("/user/a/", &url(&cnaf)), user_route("/user/b/", &b.url())]).await;
    let revision = cnaf.hub.change(vec![elsewhere("/user/b/", &url(&bari))], &[]);
    cnaf.hub.acknowledged(revision).await;
    (cnaf, bari, hub)
}

#[tokio::test]
async fn a_server_of_the_other_site_hears_of_the_browser_what_it_hears_at_its_own() {
    let [a, b] = [Upstream::named("a").await, Upstream::named("b").await];
    let (cnaf, bari, _hub) = two_sites(&a, &b).await;
    let request = "POST /user/a/x%2Fy?q=1 HTTP/1.1\r\nHost: hub.example.org:8443\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nContent-Length: 5\r\n\r\nhello";
    for address in [cnaf.address, bari.address] {
        let answer = ask(address, request).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "a"));
        assert!(answer.all("x-specola-led-to").is_empty(), "the way is not told to browsers");
    }
    let seen = a.seen();
    let line = seen[1].line().to_owned();
    assert_eq!((line.as_str(), seen[1].body.as_slice()), ("POST /user/a/x%2Fy?q=1 HTTP/1.1", &b"hello"[..]));
    for name in ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"] {
        assert_eq!(seen[0].all(name), seen[1].all(name), "{name}");
        assert_eq!(seen[1].all(name).len(), 1, "{name}");
    }
    assert_eq!(seen[1].all("x-forwarded-for"), ["127.0.0.1"], "what a browser claims is not believed");
    assert!(seen.iter().all(|seen| seen.all("x-specola-proxy").is_empty()), "servers never see the proof");
    // And the other way.
    assert_eq!(get(cnaf.address, "/user/b/").await.text(), "b");
}

#[tokio::test]
async fn a_websocket_goes_the_same_way() {
    let [a, b] = [raw_echo().await, Upstream::named("b").await];
    let (_cnaf, bari, _hub) = two_sites(&a, &b).await;
    let mut socket = open(&bari, "/user/a/socket").await;
    echoes(&mut socket).await;
    echoes(&mut socket).await;
}

#[tokio::test]
async fn only_the_proof_of_the_same_token_is_believed_and_only_to_who_shows_it_the_way_is_told() {
    let [a, b] = [Upstream::named("a").await, Upstream::named("b").await];
    let (cnaf, _bari, _hub) = two_sites(&a, &b).await;
    let proof = specola_proxy::wire::proof(TOKEN);
    let asked = async |path: &str, proofs: &[&str]| {
        let shown: String = proofs.iter().map(|proof| format!("X-Specola-Proxy: {proof}\r\n")).collect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{shown}X-Forwarded-For: 6.6.6.6\r\n\r\n");
        ask(cnaf.address, head).await
    };
    assert_eq!(asked("/user/a/", &[&proof]).await.all("x-specola-led-to"), ["user"]);
    assert_eq!(a.last().all("x-forwarded-for"), ["6.6.6.6"]);
    assert_eq!(asked("/hub/home", &[&proof]).await.all("x-specola-led-to"), ["hub"]);
    let other = specola_proxy::wire::proof("another token");
    for wrong in [&[][..], &[""], &[&other], &[TOKEN], &[&proof, &proof], &[&other, &proof]] {
        assert!(asked("/user/a/", wrong).await.all("x-specola-led-to").is_empty(), "{wrong:?}");
        assert_eq!(a.last().all("x-forwarded-for"), ["127.0.0.1"], "{wrong:?}");
        assert!(a.last().all("x-specola-proxy").is_empty(), "{wrong:?}");
    }
}

#[tokio::test]
async fn two_sites_that_each_take_the_other_for_the_right_one_send_nobody_round() {
    let (mut cnaf, bari) = (world(vec![]).await, world(vec![]).await);
    for (at, other) in [(&cnaf, &bari), (&bari, &cnaf)] {
        let revision = at.hub.change(vec![elsewhere("/user/a/", &url(other))], &[]);
        at.hub.acknowledged(revision).await;
    }
    for world in [&cnaf, &bari] {
        let head = "GET /user/a/api/status HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n";
        let answer = ask(world.address, head).await;
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("do not agree"), "{}", answer.text());
    }
    cnaf.end().await;
}

#[tokio::test]
async fn a_site_that_is_not_reached_is_told_at_once_and_its_servers_are_not_doubted() {
    let [a, b] = [Upstream::named("a").await, Upstream::named("b").await];
    let (mut cnaf, bari, _hub) = two_sites(&a, &b).await;
    cnaf.end().await;
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = get(bari.address, "/user/a/").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(get(bari.address, "/user/b/").await.text(), "b");
    cnaf.options.listen = vec![cnaf.address];
    cnaf.start().await;
    until("the site is back", async || get(bari.address, "/user/a/").await.text() == "a").await;
    assert!(bari.hub.told.lock().unwrap().doubts.is_empty(), "no word of the hub was needed");
}

#[tokio::test]
async fn one_waits_for_a_site_that_gives_no_sign_and_the_next_do_not() {
    let short = |options: &mut Options| options.limits.connect = Duration::from_millis(300);
    // Connections are taken, and nobody says a word on them.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("https://{}", mute.local_addr().unwrap());
    let world = world_with(vec![elsewhere("/user/a/", &there)], short).await;
    assert_eq!(get(world.address, "/user/a/").await.status, 503);
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(get(world.address, "/user/a/").await.status, 503);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_proxies_of_another_site_are_believed_by_their_certificate_alone() {
    let (a, authority) = (Upstream::named("a").await, Authority::new());
    let certificate = authority.sign("cnaf", &["127.0.0.1"]);
    let secured = |options: &mut Options| options.tls = Some(files(vec![certificate]));
    let cnaf = world_with(vec![user_route("/user/a/", &a.url())], secured).await;
    let there = format!("https://{}", cnaf.address);
    let knows = |options: &mut Options| options.client_ca = Some(authority.file());
    let bari = world_with(vec![elsewhere("/user/a/", &there)], knows).await;
    assert_eq!(get(bari.address, "/user/a/").await.text(), "a");
    let proto = a.last().all("x-forwarded-proto");
    assert_eq!(proto, ["http"], "as the browser came, not as the proxy did");
    // Nobody vouches for whoever answers there.
    let other = world(vec![elsewhere("/user/a/", &there)]).await;
    assert_eq!(get(other.address, "/user/a/").await.status, 503);
    assert_eq!(a.seen().len(), 1);
}

#[tokio::test]
async fn a_proxy_says_where_it_is() {
    let world = world_with(vec![], |options| options.site = Some("ba ri".into())).await;
    let streams = world.hub.told.lock().unwrap().streams.clone();
    assert!(streams.iter().all(|query| query.contains("&site=ba%20ri")), "{streams:?}");
    assert!(!streams.is_empty());
}
