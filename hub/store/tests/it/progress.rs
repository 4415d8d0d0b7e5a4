//! Events of starts.

use crate::harness::{Database, at, both, server, user};
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::Phase;
use hub_store::{NewEvent, StoreError};
use serde_json::json;

fn event(spawner_id: SpawnerId, generation: i64, progress: u8, seconds: i64) -> NewEvent {
    NewEvent {
        spawner_id,
        generation: Generation(generation),
        at: at(seconds),
        progress,
        phase: Phase::Starting,
        message: format!("{progress} % <done>"),
        detail: (progress > 50).then(|| json!({"html_message": "<b>x</b>"})),
    }
}

async fn a_listener_hears_every_event_of_its_start_from_where_it_was(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let (a, b) = (server(&store, ann, "a").await.id, server(&store, ann, "b").await.id);
    let first = store.append_event(&event(a, 1, 10, 1)).await.unwrap();
    store.append_event(&event(b, 1, 20, 2)).await.unwrap();
    store.append_event(&event(a, 2, 30, 3)).await.unwrap();
    let last = store.append_event(&event(a, 1, 200, 4)).await.unwrap();
    assert!(last > first);
    let heard = store.events_since(a, Generation(1), 0).await.unwrap();
    assert_eq!(heard.iter().map(|event| (event.id, event.progress)).collect::<Vec<_>>(), [(first, 10), (last, 100)]);
    assert_eq!((heard[0].at, heard[0].phase, heard[0].detail.as_ref()), (at(1), Phase::Starting, None));
    assert_eq!(heard[0].message, "10 % <done>");
    let later = store.events_since(a, Generation(1), first).await.unwrap();
    assert_eq!(later, heard[1..]);
    assert_eq!(later[0].detail, Some(json!({"html_message": "<b>x</b>"})));
    assert_eq!(store.events_since(a, Generation(1), last).await.unwrap(), []);
}

async fn old_events_are_purged_and_those_of_a_deleted_server_gone(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "a").await.id;
    store.append_event(&event(lab, 1, 10, 1)).await.unwrap();
    let kept = store.append_event(&event(lab, 1, 20, 100)).await.unwrap();
    assert_eq!(store.purge_events(at(100)).await.unwrap(), 1);
    assert_eq!(store.events_since(lab, Generation(1), 0).await.unwrap()[0].id, kept);
    assert!(store.delete_server(lab).await.unwrap());
    assert_eq!(store.events_since(lab, Generation(1), 0).await.unwrap(), []);
    let stray = store.append_event(&event(lab, 1, 10, 1)).await;
    assert!(matches!(stray, Err(StoreError::Missing(_))), "{stray:?}");
}

async fn an_id_is_never_given_to_two_events(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "a").await.id;
    let first = store.append_event(&event(lab, 1, 10, 1)).await.unwrap();
    store.purge_events(at(100)).await.unwrap();
    assert!(store.append_event(&event(lab, 1, 10, 1)).await.unwrap() > first);
}

both!(
    a_listener_hears_every_event_of_its_start_from_where_it_was,
    old_events_are_purged_and_those_of_a_deleted_server_gone,
    an_id_is_never_given_to_two_events,
);
