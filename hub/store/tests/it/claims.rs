//! Leases.

use crate::harness::{Database, at, both, server, user, want_running};
use crate::servers::{arrived, prepared, step};
use chrono::TimeDelta;
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::{Desired, Phase};
use hub_store::{NewEvent, Prepared, Server, Step, Store};
use serde_json::json;

const LEASE: TimeDelta = TimeDelta::seconds(30);

async fn wanted(store: &Store, names: &[&str]) -> Vec<SpawnerId> {
    let ann = user(store, "ann").await.id;
    let mut ids = Vec::new();
    for name in names {
        let id = server(store, ann, name).await.id;
        want_running(store, id).await;
        ids.push(id);
    }
    ids
}

async fn due(store: &Store, holder: &str, seconds: i64, max: u32) -> Vec<SpawnerId> {
    let servers = store.claim_due(holder, at(seconds), LEASE, max).await.unwrap();
    servers.into_iter().map(|server| server.id).collect()
}

async fn what_is_due_is_claimed_once(Database { store, .. }: Database) {
    let ids = wanted(&store, &["a", "b", "c"]).await;
    assert_eq!(due(&store, "hub-1", 0, 9).await, [], "not yet due");
    assert_eq!(due(&store, "hub-1", 1, 2).await.len(), 2);
    assert_eq!(due(&store, "hub-2", 1, 9).await.len(), 1);
    assert_eq!(due(&store, "hub-1", 2, 9).await, []);
    let held = store.server_by_id(ids[0]).await.unwrap().unwrap();
    assert_eq!((held.held_by.as_deref(), held.held_until, held.due_at), (Some("hub-1"), Some(at(31)), None));
}

async fn many_hubs_share_what_is_due(Database { store, .. }: Database) {
    let ids = wanted(&store, &["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    let tasks: Vec<_> = (0..4)
        .map(|hub| {
            let store = store.clone();
            tokio::spawn(async move { due(&store, &format!("hub-{hub}"), 1, 3).await })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap());
    }
    // One that lost a race may have got fewer than there were; nothing is claimed twice, nothing is lost.
    claimed.extend(due(&store, "last", 1, 99).await);
    claimed.sort();
    assert_eq!(claimed, ids);
}

async fn a_step_is_told_of_holds_on_and_shows_what_is_wanted_by_then(Database { store, .. }: Database) {
    let lab = wanted(&store, &["a"]).await[0];
    let server = store.claim(lab, "hub-1", at(1), LEASE).await.unwrap().unwrap();
    let tell = |progress, phase| NewEvent {
        spawner_id: lab,
        generation: server.generation,
        at: at(2),
        progress,
        phase,
        message: format!("{progress} percent"),
        detail: None,
    };
    let prepared = Prepared { told: vec![tell(0, Phase::Stopped), tell(10, Phase::Starting)], ..prepared(&server, "") };
    let generation = store.prepare(lab, "hub-1", &prepared).await.unwrap().unwrap().generation;
    let by = |told| Step { told, ..step("hub-1", generation, at(20)) };
    let fresh = store.arrive(lab, &arrived(1), &by(vec![tell(60, Phase::Waiting)])).await.unwrap().unwrap();
    assert_eq!((fresh.phase, fresh.desired), (Phase::Waiting, Desired::Running));
    assert_eq!((fresh.held_until, fresh.due_at), (Some(at(50)), None));
    // What somebody wants meanwhile shows in the row, and is not due any more.
    store.want_stopped(lab, at(21)).await.unwrap();
    let fresh = store.advance(lab, Phase::Routing, None, &by(vec![tell(80, Phase::Routing)])).await.unwrap().unwrap();
    assert_eq!((fresh.phase, fresh.desired, fresh.due_at), (Phase::Routing, Desired::Stopped, None));
    // Whoever has lost it changes nothing and tells nothing.
    let late = Step { told: vec![tell(100, Phase::Ready)], ..step("hub-2", generation, at(22)) };
    assert_eq!(store.advance(lab, Phase::Ready, None, &late).await.unwrap(), None);
    let told = store.events_since(lab, generation, 0).await.unwrap();
    assert_eq!(told.iter().map(|event| event.progress).collect::<Vec<_>>(), [0, 10, 60, 80]);
    // It is let go of as it was read, or not at all.
    let read = Server { desired: Desired::Running, ..fresh.clone() };
    assert!(!store.release_as_read(&read, "hub-1").await.unwrap());
    assert!(!store.release_as_read(&fresh, "hub-2").await.unwrap());
    assert!(store.release_as_read(&fresh, "hub-1").await.unwrap());
    assert_eq!(store.server_by_id(lab).await.unwrap().unwrap().held_by, None);
}

async fn a_lease_is_respected_until_it_runs_out(Database { store, .. }: Database) {
    let ids = wanted(&store, &["a"]).await;
    assert_eq!(due(&store, "hub-1", 1, 9).await, ids);
    assert!(store.claim(ids[0], "hub-2", at(30), LEASE).await.unwrap().is_none());
    assert!(store.claim(ids[0], "hub-1", at(30), LEASE).await.unwrap().is_some(), "its own holder may claim again");
    assert_eq!(due(&store, "hub-2", 59, 9).await, []);
    assert_eq!(due(&store, "hub-2", 60, 9).await, ids, "a dead hub's server is due when its lease is over");
    assert_eq!(store.renew(ids[0], "hub-1", Generation(0), at(69), LEASE).await.unwrap(), None);
    assert!(!store.release(ids[0], "hub-1", None).await.unwrap());
    assert!(store.claim(SpawnerId(999), "hub-1", at(1), LEASE).await.unwrap().is_none());
}

async fn a_lease_can_be_renewed_and_shows_the_row_as_it_is(Database { store, .. }: Database) {
    let ids = wanted(&store, &["a"]).await;
    due(&store, "hub-1", 1, 9).await;
    store.set_server_options(ids[0], Some(&json!({"new": 1}))).await.unwrap();
    let fresh = store.renew(ids[0], "hub-1", Generation(0), at(170), LEASE).await.unwrap().unwrap();
    assert_eq!((fresh.held_until, fresh.user_options), (Some(at(200)), Some(json!({"new": 1}))));
}

async fn a_wish_that_comes_while_a_server_is_held_is_not_lost(Database { store, .. }: Database) {
    let ids = wanted(&store, &["a"]).await;
    due(&store, "hub-1", 1, 9).await;
    store.want_stopped(ids[0], at(5)).await.unwrap();
    assert_eq!(due(&store, "hub-2", 6, 9).await, [], "held");
    assert!(store.release(ids[0], "hub-1", Some(at(500))).await.unwrap());
    assert_eq!(store.server_by_id(ids[0]).await.unwrap().unwrap().due_at, Some(at(5)));
    assert_eq!(due(&store, "hub-2", 6, 9).await, ids);
    assert!(store.release(ids[0], "hub-2", Some(at(500))).await.unwrap());
    assert_eq!(due(&store, "hub-2", 499, 9).await, []);
    assert!(store.nudge(ids[0], at(300)).await.unwrap());
    assert!(!store.nudge(ids[0], at(400)).await.unwrap(), "it is due earlier already");
    assert_eq!(due(&store, "hub-2", 300, 9).await, ids);
    assert!(store.release(ids[0], "hub-2", None).await.unwrap());
    assert_eq!(store.server_by_id(ids[0]).await.unwrap().unwrap().due_at, None);
}

async fn a_hub_that_comes_back_releases_what_it_held(Database { store, .. }: Database) {
    let ids = wanted(&store, &["a", "b"]).await;
    due(&store, "hub-1", 1, 1).await;
    assert_eq!(due(&store, "hub-2", 1, 1).await.len(), 1);
    assert_eq!(store.release_all("hub-1", at(2)).await.unwrap(), 1);
    assert_eq!(due(&store, "hub-1", 2, 9).await, [ids[0]]);
}

both!(
    what_is_due_is_claimed_once,
    many_hubs_share_what_is_due,
    a_step_is_told_of_holds_on_and_shows_what_is_wanted_by_then,
    a_lease_is_respected_until_it_runs_out,
    a_lease_can_be_renewed_and_shows_the_row_as_it_is,
    a_wish_that_comes_while_a_server_is_held_is_not_lost,
    a_hub_that_comes_back_releases_what_it_held,
);
