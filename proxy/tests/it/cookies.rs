//! Item 16: the cookie firewall, which is off unless it is asked for.

use specola_proxy::CookieFirewall;

use crate::{
    client::{Answer, Raw, ask, values},
    hub::{hub_route, route},
    tunnels::{HANDSHAKE, SWITCH},
    upstream::{Upstream, read},
    world::world_with,
};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: jupyterhub-hub-login=forged; Path=/hub/\r\nSet-Cookie: own=1; Path=/; Domain=example.org\r\nClear-Site-Data: \"*\"\r\nService-Worker-Allowed: /\r\n\r\n";
const COOKIES: &str = "GET PATH HTTP/1.1\r\nHost: a\r\nCookie: own=1; jupyterhub-hub-login=secret\r\n\r\n";

#[tokio::test]
async fn item_16_the_firewall_stands_between_the_hubs_cookies_and_servers() {
    for on in [true, false] {
        let upstream = Upstream::fixed(ANSWER).await;
        let routes = vec![hub_route("/", &upstream.url()), route("/user/a/", &upstream.url())];
        let world = world_with(routes, |options| {
            options.cookie_firewall = on.then(|| CookieFirewall::new(["jupyterhub-hub-login".to_owned()]));
        })
        .await;
        let hub = ask(world.address, COOKIES.replace("PATH", "/hub/home")).await;
        assert_eq!(upstream.last().all("cookie"), ["own=1; jupyterhub-hub-login=secret"]);
        assert_eq!(hub.all("set-cookie").len(), 2);
        let of_host =
            |answer: &Answer| ["clear-site-data", "service-worker-allowed"].map(|name| answer.all(name).len());
        assert_eq!(of_host(&hub), [1, 1]);
        let lab = ask(world.address, COOKIES.replace("PATH", "/user/a/lab")).await;
        let seen = upstream.last().all("cookie");
        assert_eq!(of_host(&lab), if on { [0, 0] } else { [1, 1] });
        if on {
            assert_eq!(seen, ["own=1"]);
            assert_eq!(lab.all("set-cookie"), ["own=1; Path=/user/a/"]);
            // Browsers keep the cookies of a websocket that is refused.
            let refused = ask(world.address, format!("GET /user/a/ws HTTP/1.1\r\n{HANDSHAKE}")).await;
            assert_eq!((refused.status, refused.all("set-cookie")), (200, vec!["own=1; Path=/user/a/".to_owned()]));
        } else {
            assert_eq!(seen, ["own=1; jupyterhub-hub-login=secret"]);
            assert_eq!(lab.all("set-cookie").len(), 2);
        }
    }
}

#[tokio::test]
async fn item_16_the_firewall_stands_before_websockets_too() {
    for on in [true, false] {
        let upstream = Upstream::raw(|number, mut peer, seen| async move {
            let request = read(&mut peer, number).await.unwrap();
            seen.lock().unwrap().push(request);
            let cookies = "Set-Cookie: jupyterhub-hub-login=forged; Path=/hub/\r\nSet-Cookie: own=1; Path=/";
            peer.send(format!("{SWITCH}{cookies}\r\n\r\nhello")).await;
            peer.rest().await;
        })
        .await;
        let routes = vec![hub_route("/", &upstream.url()), route("/user/a/", &upstream.url())];
        let world = world_with(routes, |options| {
            options.cookie_firewall = on.then(|| CookieFirewall::new(["jupyterhub-hub-login".to_owned()]));
        })
        .await;
        for (path, guarded) in [("/user/a/ws", on), ("/hub/ws", false)] {
            let cookies = "Cookie: own=1; jupyterhub-hub-login=secret\r\n";
            let mut raw = Raw::connect(world.address).await;
            raw.send(format!("GET {path} HTTP/1.1\r\n{cookies}{HANDSHAKE}")).await;
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert_eq!(raw.exact(5).await, b"hello");
            let (seen, set) = (upstream.last().all("cookie"), values(&head, "set-cookie"));
            if guarded {
                assert_eq!((seen, set), (vec!["own=1".to_owned()], vec!["own=1; Path=/user/a/".to_owned()]));
            } else {
                assert_eq!(seen, ["own=1; jupyterhub-hub-login=secret"], "{path}");
                assert_eq!(set.len(), 2, "{path}");
            }
        }
    }
}
