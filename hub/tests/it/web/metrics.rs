//! The metrics, in process: who may read them, and what a request is counted as.

use super::house::{House, by_token, request, send};

#[actix_web::test]
async fn metrics_take_their_right_unless_they_are_open() {
    let house = House::new().await;
    let site = house.site().await;
    for path in ["/hub/metrics", "/hub/api/metrics"] {
        let answer = send(&site, request("GET", path)).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text.contains("Access to metrics requires scope"), "{path}: {}", answer.text);
        let token = house.token("root", &["read:metrics".to_owned()]).await;
        let answer = by_token(&site, &token, "GET", path, None).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=1.0.0; charset=utf-8"));
        assert_eq!(send(&site, request("POST", path)).await.status, 405);
    }
    let open = House::with("authenticate_prometheus = false").await;
    assert_eq!(send(&open.site().await, request("GET", "/hub/metrics")).await.status, 200);
}

#[actix_web::test]
async fn a_request_is_counted_under_jupyterhubs_class_and_an_invented_method_under_other() {
    let house = House::with("authenticate_prometheus = false").await;
    let site = house.site().await;
    for (method, path) in [
        ("GET", "/hub/api/users/nobody/tokens/a1"),
        ("BREW", "/hub/api/users"),
        ("GET", "/hub/api/nowhere"),
        ("GET", "/hub/nowhere"),
        ("GET", "/user/alice/lab"),
        ("GET", "/hub/user/alice/lab"),
    ] {
        send(&site, request(method, path)).await;
    }
    let text = send(&site, request("GET", "/hub/metrics")).await.text;
    for (method, handler, code) in [
        ("GET", "jupyterhub.apihandlers.users.UserTokenAPIHandler", 403),
        ("OTHER", "jupyterhub.apihandlers.users.UserListAPIHandler", 405),
        ("GET", "jupyterhub.apihandlers.base.API404", 404),
        ("GET", "jupyterhub.handlers.base.Template404", 404),
        ("GET", "jupyterhub.handlers.base.PrefixRedirectHandler", 302),
        ("GET", "jupyterhub.handlers.base.UserUrlHandler", 302),
    ] {
        let labels = format!("code=\"{code}\",handler=\"{handler}\",method=\"{method}\"");
        assert!(text.contains(&format!("jupyterhub_request_duration_seconds_count{{{labels}}}")), "{labels}\n{text}");
    }
    assert!(!text.contains("BREW"));
}

#[actix_web::test]
async fn a_hub_whose_proxy_was_not_heard_is_not_ready_and_says_which_part() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let answer = send(&site, request("GET", "/hub/health/ready")).await;
    assert_eq!((answer.status, answer.json()["parts"]["database"].as_str()), (503, Some("ok")));
    assert_eq!(answer.json()["parts"]["proxy"], "failed");
    app.store.ack("proxy", 1, app.now()).await.unwrap();
    let answer = send(&site, request("GET", "/hub/health/ready")).await;
    assert_eq!((answer.status, answer.json()["ready"].as_bool()), (200, Some(true)));
    app.store.close().await;
    let answer = send(&site, request("GET", "/hub/health/ready")).await;
    assert_eq!((answer.status, answer.json()["parts"]["database"].as_str()), (503, Some("failed")));
    assert_eq!(send(&site, request("GET", "/hub/health")).await.status, 200);
}

#[actix_web::test]
async fn a_hub_whose_servers_are_pods_tells_of_its_cluster_and_is_ready_without_it() {
    let kubernetes = "[spawner]\ndriver = \"kubernetes\"\n[spawner.kubernetes]\nimage = \"lab:1\"\nk8s_api_host = \"http://127.0.0.1:9\"\n";
    let house = House::changed("", |settings| settings.replace("[spawner]\ncmd = [\"true\"]\n", kubernetes)).await;
    let (site, app) = (house.site().await, house.app());
    app.store.ack("proxy", 1, app.now()).await.unwrap();
    let answer = send(&site, request("GET", "/hub/health/ready")).await;
    assert_eq!((answer.status, answer.json()["parts"]["cluster"].as_str()), (200, Some("ok")), "it has just begun");
    let _ = specola::metrics::begin(&specola::config::Environment::new());
    specola::metrics::watched("kubernetes", app.driver.heard());
    let text = specola::metrics::text(0).unwrap();
    assert!(text.contains("specola_watch_age_seconds{spawner=\"kubernetes\"}"), "{text}");
}
