//! Routes and the proxies that follow them.

use crate::harness::{Database, at, both};
use hub_store::{Changes, Store};
use serde_json::json;

async fn put(store: &Store, prefix: &str, target: &str) -> i64 {
    store.put_route(prefix, target, &json!({"user": "ann"})).await.unwrap()
}

async fn changes(store: &Store, since: i64) -> (i64, Vec<String>, Vec<String>) {
    let Changes { revision, changed, deleted } = store.routes_since(since).await.unwrap().unwrap();
    (revision, changed.into_iter().map(|route| route.prefix).collect(), deleted)
}

async fn every_change_raises_the_revision_and_no_change_does_not(Database { store, .. }: Database) {
    assert_eq!(store.routes_snapshot().await.unwrap(), (0, vec![]));
    assert_eq!(put(&store, "/user/ann/", "http://a:1").await, 1);
    assert_eq!(put(&store, "/user/ann/", "http://a:1").await, 1);
    assert_eq!(put(&store, "/user/bea/", "http://b:1").await, 2);
    assert_eq!(put(&store, "/user/ann/", "http://a:2").await, 3);
    assert_eq!(store.put_route("/user/ann/", "http://a:2", &json!({"user": "x"})).await.unwrap(), 4);
    assert_eq!(store.delete_route("/user/none/").await.unwrap(), None);
    assert_eq!(store.delete_route("/user/bea/").await.unwrap(), Some(5));
    assert_eq!(store.delete_route("/user/bea/").await.unwrap(), None);
    let (revision, routes) = store.routes_snapshot().await.unwrap();
    assert_eq!((revision, routes.len()), (5, 1));
    assert_eq!(
        (routes[0].target.as_str(), &routes[0].data, routes[0].revision),
        ("http://a:2", &json!({"user": "x"}), 4)
    );
    assert_eq!(put(&store, "/user/bea/", "http://b:1").await, 6, "a deleted route can come back");
}

async fn routes_are_found_by_their_prefixes(Database { store, .. }: Database) {
    put(&store, "/user/ann/", "http://a:1").await;
    put(&store, "/user/bea/", "http://b:1").await;
    put(&store, "/user/cat/", "http://c:1").await;
    store.delete_route("/user/bea/").await.unwrap();
    let found = store.routes_at(&["/user/ann/", "/user/bea/", "/user/dan/"].map(str::to_owned)).await.unwrap();
    assert_eq!((found.len(), found[0].target.as_str(), &found[0].data), (1, "http://a:1", &json!({"user": "ann"})));
}

async fn a_proxy_hears_what_happened_after_its_revision(Database { store, .. }: Database) {
    put(&store, "/a/", "http://a:1").await;
    put(&store, "/b/", "http://b:1").await;
    put(&store, "/a/", "http://a:2").await;
    store.delete_route("/b/").await.unwrap();
    let list = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(changes(&store, 0).await, (4, list(&["/a/"]), list(&["/b/"])));
    assert_eq!(changes(&store, 3).await, (4, list(&[]), list(&["/b/"])));
    assert_eq!(changes(&store, 4).await, (4, list(&[]), list(&[])));
    assert_eq!(store.routes_since(5).await.unwrap(), None, "a revision of another database");
}

async fn who_is_behind_what_was_forgotten_needs_a_snapshot(Database { store, .. }: Database) {
    put(&store, "/a/", "http://a:1").await;
    put(&store, "/b/", "http://b:1").await;
    store.delete_route("/a/").await.unwrap();
    store.delete_route("/b/").await.unwrap();
    assert_eq!(store.purge_routes(2).await.unwrap(), 0, "the deletions are revisions 3 and 4");
    assert!(store.routes_since(0).await.unwrap().is_some());
    assert_eq!(store.purge_routes(3).await.unwrap(), 1);
    assert_eq!(store.routes_since(2).await.unwrap(), None);
    assert_eq!(changes(&store, 3).await, (4, vec![], vec!["/b/".to_owned()]));
    assert_eq!(store.purge_routes(4).await.unwrap(), 1);
    assert_eq!(changes(&store, 4).await, (4, vec![], vec![]));
}

async fn revisions_of_many_writers_are_all_different(Database { store, .. }: Database) {
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, &format!("/{number}/"), "http://a:1").await })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=12).collect::<Vec<_>>());
}

async fn proxies_that_are_alive_and_behind_are_known(Database { store, .. }: Database) {
    for number in 1..=6 {
        put(&store, "/user/ann/", &format!("http://a:{number}")).await;
    }
    store.ack("one", 3, at(10)).await.unwrap();
    store.ack("two", 5, at(20)).await.unwrap();
    store.ack("dead", 1, at(0)).await.unwrap();
    let behind = async |revision| {
        let proxies = store.proxies_behind(revision, at(5)).await.unwrap();
        proxies.into_iter().map(|proxy| proxy.id).collect::<Vec<_>>()
    };
    assert_eq!(behind(5).await, ["one"]);
    assert_eq!(behind(6).await, ["one", "two"]);
    assert_eq!(behind(3).await, [""; 0]);
    store.ack("one", 6, at(30)).await.unwrap();
    assert_eq!(behind(6).await, ["two"]);
    let all = store.list_proxies().await.unwrap();
    assert_eq!(all.iter().map(|proxy| proxy.id.as_str()).collect::<Vec<_>>(), ["dead", "one", "two"]);
    assert_eq!((all[1].revision, all[1].seen_at), (6, at(30)));
    assert!(store.saw_proxy("dead", at(40)).await.unwrap());
    assert!(!store.saw_proxy("never", at(40)).await.unwrap());
    let dead = store.list_proxies().await.unwrap().into_iter().find(|proxy| proxy.id == "dead").unwrap();
    assert_eq!((dead.revision, dead.seen_at), (1, at(40)));
    assert!(store.delete_proxy("dead").await.unwrap());
    assert!(!store.delete_proxy("dead").await.unwrap());
}

both!(
    routes_are_found_by_their_prefixes,
    every_change_raises_the_revision_and_no_change_does_not,
    a_proxy_hears_what_happened_after_its_revision,
    who_is_behind_what_was_forgotten_needs_a_snapshot,
    revisions_of_many_writers_are_all_different,
    proxies_that_are_alive_and_behind_are_known,
);
