//! Whom the culler finds, and stops that hold only where nothing changed meanwhile.

use crate::harness::{Database, at, both, server, user, want_running};
use chrono::TimeDelta;
use hub_core::id::{SpawnerId, UserId};
use hub_core::life::Desired;
use hub_store::{Judged, Server, Store, WantStopped};
use serde_json::json;

async fn running(store: &Store, user: UserId, name: &str) -> Server {
    let id = server(store, user, name).await.id;
    want_running(store, id).await;
    crate::servers::bring_up(store, id).await
}

fn judged(server: &Server) -> Judged {
    Judged { id: server.id, generation: server.generation, last_activity: server.last_activity }
}

async fn again(store: &Store, id: SpawnerId) -> Server {
    store.server_by_id(id).await.unwrap().unwrap()
}

/// What the keeper does with a stop, without a spawner.
async fn let_stop(store: &Store, id: SpawnerId) {
    let lease = TimeDelta::seconds(30);
    let held = store.claim(id, "hub-1", at(100), lease).await.unwrap().unwrap();
    assert!(store.begin_stop(id, "hub-1", held.generation, at(200), at(100)).await.unwrap());
    assert!(store.finish(id, "hub-1", held.generation, None, at(101)).await.unwrap());
    store.release(id, "hub-1", None).await.unwrap();
}

async fn a_turn_is_given_to_one_hub(Database { store, .. }: Database) {
    let take = async |now, until| store.take_turn("cull", at(now), at(until)).await.unwrap();
    assert!(take(0, 60).await);
    assert!(!take(0, 60).await);
    assert!(!take(59, 120).await);
    assert!(store.take_turn("other", at(59), at(60)).await.unwrap(), "another work has turns of its own");
    let mut hubs = Vec::new();
    for _ in 0..6 {
        let store = store.clone();
        hubs.push(tokio::spawn(async move { store.take_turn("cull", at(60), at(120)).await.unwrap() }));
    }
    let mut taken = 0;
    for hub in hubs {
        taken += usize::from(hub.await.unwrap());
    }
    assert_eq!(taken, 1);
}

async fn only_ready_servers_that_are_idle_or_old_are_found(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let idle = running(&store, ann, "").await;
    let busy = running(&store, ann, "busy").await;
    store.touch_server(busy.id, at(500)).await.unwrap();
    let starting = server(&store, ann, "starting").await;
    want_running(&store, starting.id).await;
    let stopping = running(&store, ann, "stopping").await;
    store.want_stopped(stopping.id, at(6)).await.unwrap();
    server(&store, ann, "stopped").await;
    let found = async |active, started: Option<i64>| {
        let servers = store.idle_servers(at(active), started.map(at), SpawnerId(0), 10).await.unwrap();
        servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(400, None).await, [""]);
    assert_eq!(found(500, None).await, ["", "busy"]);
    assert_eq!(found(-1000, None).await, Vec::<String>::new());
    assert_eq!(found(-1000, Some(400)).await, ["", "busy"], "by their age");
    let behind = store.idle_servers(at(500), None, idle.id, 10).await.unwrap();
    assert_eq!(behind.len(), 1, "the next part");
    assert_eq!(store.idle_servers(at(500), None, SpawnerId(0), 1).await.unwrap().len(), 1);
}

async fn a_stop_holds_only_if_nothing_happened_since(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = running(&store, ann, "").await;
    let seen = judged(&lab);
    store.touch_server(lab.id, at(300)).await.unwrap();
    assert!(!store.want_idle_stopped(&seen, false, at(301)).await.unwrap(), "it was used meanwhile");
    assert_eq!(again(&store, lab.id).await.desired, Desired::Running);
    let seen = judged(&again(&store, lab.id).await);
    let older = Judged { generation: hub_core::id::Generation(0), ..seen };
    assert!(!store.want_idle_stopped(&older, false, at(302)).await.unwrap(), "another start");
    assert!(store.want_idle_stopped(&seen, false, at(303)).await.unwrap());
    let row = again(&store, lab.id).await;
    assert_eq!((row.desired, row.due_at), (Desired::Stopped, Some(at(303))));
    assert!(!store.want_idle_stopped(&seen, false, at(304)).await.unwrap(), "once is enough");
}

async fn a_marked_server_is_found_once_it_has_stopped_and_not_if_it_started_again(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let (gone, back) = (running(&store, ann, "gone").await, running(&store, ann, "back").await);
    for lab in [&gone, &back] {
        assert!(store.want_idle_stopped(&judged(lab), true, at(50)).await.unwrap());
    }
    assert_eq!(store.marked_servers().await.unwrap(), []);
    for lab in [&gone, &back] {
        let_stop(&store, lab.id).await;
    }
    want_running(&store, back.id).await;
    let names: Vec<String> = store.marked_servers().await.unwrap().into_iter().map(|(server, _)| server.name).collect();
    assert_eq!(names, ["gone"]);
    crate::servers::bring_up(&store, back.id).await;
    store.want_stopped(back.id, at(300)).await.unwrap();
    let_stop(&store, back.id).await;
    assert_eq!(store.marked_servers().await.unwrap().len(), 1, "a stop by its owner deletes nothing");
    assert!(store.delete_server(gone.id).await.unwrap());
    assert_eq!(store.marked_servers().await.unwrap(), []);
}

async fn a_wish_to_delete_stands_with_the_wish_to_stop_until_somebody_starts_it(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let (gone, back) = (running(&store, ann, "gone").await, running(&store, ann, "back").await);
    let by = json!({ "who": "user:ann" });
    for lab in [&gone, &back] {
        assert_eq!(store.want_removed(lab.id, &by, at(50)).await.unwrap(), WantStopped::Accepted);
        assert_eq!(store.want_removed(lab.id, &by, at(51)).await.unwrap(), WantStopped::AlreadyStopping);
        assert_eq!(store.marked_servers().await.unwrap(), [], "not before it has stopped");
    }
    for lab in [&gone, &back] {
        let_stop(&store, lab.id).await;
    }
    // Started, and called off before anything was done: in the same generation.
    want_running(&store, back.id).await;
    assert_eq!(store.want_stopped(back.id, at(300)).await.unwrap(), WantStopped::Accepted);
    let marked = store.marked_servers().await.unwrap();
    let marked: Vec<_> = marked.iter().map(|(server, by)| (server.name.as_str(), by.as_ref())).collect();
    assert_eq!(marked, [("gone", Some(&by))]);
    // One that has stopped already, whose deletion its asker did not come to.
    assert_eq!(store.want_removed(back.id, &by, at(301)).await.unwrap(), WantStopped::AlreadyStopped);
    assert_eq!(store.marked_servers().await.unwrap().len(), 2);
    assert_eq!(store.want_removed(SpawnerId(999), &by, at(1)).await.unwrap(), WantStopped::Gone);
}

async fn users_are_found_who_are_away_and_have_no_server_in_use(Database { store, .. }: Database) {
    for (name, active) in [("away", Some(100)), ("here", Some(900)), ("never", None), ("running", Some(100))] {
        let user = user(&store, name).await;
        if let Some(active) = active {
            store.touch_user(user.id, at(active)).await.unwrap();
        }
    }
    let ann = store.user("running").await.unwrap().unwrap().id;
    running(&store, ann, "").await;
    server(&store, store.user("away").await.unwrap().unwrap().id, "stopped").await;
    let found = async |active, created: Option<i64>, after| {
        let users = store.idle_users(at(active), created.map(at), UserId(after), 10).await.unwrap();
        users.into_iter().map(|user| user.name).collect::<Vec<_>>()
    };
    assert_eq!(found(500, None, 0).await, ["away", "never"]);
    assert_eq!(found(-500, None, 0).await, Vec::<String>::new());
    assert_eq!(found(-500, Some(1), 0).await, ["away", "here", "never"]);
    let first = store.user("away").await.unwrap().unwrap().id.0;
    assert_eq!(found(500, None, first).await, ["never"]);
}

both!(
    a_turn_is_given_to_one_hub,
    only_ready_servers_that_are_idle_or_old_are_found,
    a_stop_holds_only_if_nothing_happened_since,
    a_wish_to_delete_stands_with_the_wish_to_stop_until_somebody_starts_it,
    a_marked_server_is_found_once_it_has_stopped_and_not_if_it_started_again,
    users_are_found_who_are_away_and_have_no_server_in_use,
);
