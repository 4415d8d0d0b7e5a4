//! What is said of sites, and which servers are at one.

use std::collections::BTreeMap;

use crate::harness::{Database, at, both, server, user};
use hub_core::id::SpawnerId;
use hub_core::life::Desired;
use hub_core::site::{SiteState, Window};
use hub_store::{StartLimits, Store, WantRunning};
use serde_json::{Value, json};

async fn of_two_who_write_at_once_one_does(Database { store, .. }: Database) {
    assert!(store.list_sites().await.unwrap().is_empty());
    let window = Window { begins: at(10), ends: at(20), text: "New \"disks\"".to_owned(), stops_servers: true };
    let planned = SiteState { window: Some(window), ..SiteState::default() };
    let drained = SiteState { drained: true, ..SiteState::default() };
    assert!(store.put_site("cnaf", 0, &planned, "root", at(1)).await.unwrap());
    assert!(!store.put_site("cnaf", 0, &drained, "ann", at(2)).await.unwrap(), "somebody was there before");
    let kept = store.list_sites().await.unwrap().remove("cnaf").unwrap();
    assert_eq!((&kept.state, kept.author.as_str(), kept.changed_at, kept.revision), (&planned, "root", at(1), 1));
    let both = SiteState { lost: true, drained: true, ..planned };
    assert!(store.put_site("cnaf", 1, &both, "ann", at(3)).await.unwrap());
    assert!(!store.put_site("cnaf", 1, &drained, "root", at(4)).await.unwrap());
    assert!(store.put_site("bari", 0, &drained, "root", at(4)).await.unwrap());
    let all = store.list_sites().await.unwrap();
    assert_eq!((all["cnaf"].revision, &all["cnaf"].state), (2, &both));
    assert_eq!((all["bari"].revision, &all["bari"].state), (1, &drained));
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(site, count)| ((*site).to_owned(), *count)).collect()
}

async fn started(store: &Store, name: &str, plan: Value) -> SpawnerId {
    let owner = user(store, name).await;
    let id = server(store, owner.id, "").await.id;
    let wanted = store.want_running(id, None, &plan, StartLimits::default(), at(1)).await.unwrap();
    assert_eq!(wanted, WantRunning::Accepted);
    id
}

async fn servers_are_counted_and_stopped_at_their_site(Database { store, .. }: Database) {
    let here = started(&store, "ann", json!({ "site": "cnaf", "image": "x" })).await;
    let there = started(&store, "bob", json!({ "site": "bari" })).await;
    let old = started(&store, "eve", Value::Null).await;
    let other = started(&store, "joe", json!({ "site": 7 })).await;
    assert_eq!(store.servers_by_site("first").await.unwrap(), counts(&[("bari", 1), ("cnaf", 1), ("first", 2)]));
    assert_eq!(store.wanted_at_site("cnaf", "first").await.unwrap(), [here]);
    let why = json!({ "code": "site_maintenance" });
    for id in [there, other] {
        assert!(!store.want_stopped_at(id, ("cnaf", "first"), &why, at(2)).await.unwrap(), "it is not there");
    }
    assert!(store.want_stopped_at(here, ("cnaf", "first"), &why, at(2)).await.unwrap());
    assert!(!store.want_stopped_at(here, ("cnaf", "first"), &why, at(3)).await.unwrap(), "once");
    assert!(!store.want_stopped_at(SpawnerId(999), ("cnaf", "first"), &why, at(3)).await.unwrap());
    let stopped = store.server_by_id(here).await.unwrap().unwrap();
    assert_eq!((stopped.desired, stopped.failure), (Desired::Stopped, Some(why)));
    assert_eq!(store.server_by_id(there).await.unwrap().unwrap().desired, Desired::Running);
    assert!(store.wanted_at_site("cnaf", "first").await.unwrap().is_empty());
    assert_eq!(store.servers_by_site("first").await.unwrap(), counts(&[("bari", 1), ("first", 2)]));
    // What ran before there were sites is at the first.
    assert_eq!(store.wanted_at_site("first", "first").await.unwrap(), [old, other]);
    assert!(store.want_stopped_at(old, ("first", "first"), &json!({}), at(4)).await.unwrap());
    // The next start, elsewhere, knows nothing of it.
    let plan = json!({ "site": "bari" });
    store.want_running(here, None, &plan, StartLimits::default(), at(4)).await.unwrap();
    assert_eq!(store.server_by_id(here).await.unwrap().unwrap().failure, None);
    assert!(!store.want_stopped_at(here, ("cnaf", "first"), &json!({}), at(5)).await.unwrap());
}

both!(of_two_who_write_at_once_one_does, servers_are_counted_and_stopped_at_their_site);
