//! What is told after a stop.

use crate::harness::{Database, at, both};
use hub_core::id::{Generation, SpawnerId};
use serde_json::json;

const SERVER: SpawnerId = SpawnerId(7);

async fn a_stop_is_told_once_however_often_it_is_noted(Database { store, .. }: Database) {
    store.note_after_stop(SERVER, Generation(1), &json!({"n": 1}), at(100)).await.unwrap();
    store.note_after_stop(SERVER, Generation(1), &json!({"n": 2}), at(0)).await.unwrap();
    store.note_after_stop(SERVER, Generation(2), &json!({"n": 3}), at(200)).await.unwrap();
    assert_eq!(store.claim_after_stop(at(50), at(60), 10).await.unwrap(), []);
    assert!(store.after_stop_is_due(SERVER, Generation(1), at(50)).await.unwrap());
    let claimed = store.claim_after_stop(at(50), at(60), 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!((&claimed[0].question, claimed[0].attempts), (&json!({"n": 1}), 1));
    assert!(!store.after_stop_is_due(SERVER, Generation(1), at(50)).await.unwrap(), "it is being told");
    assert_eq!(store.claim_after_stop(at(59), at(70), 10).await.unwrap(), [], "somebody has it");
    assert_eq!(store.claim_after_stop(at(60), at(70), 10).await.unwrap()[0].attempts, 2, "who had it is gone");
    assert!(store.put_off_after_stop(claimed[0].id, at(90)).await.unwrap());
    assert_eq!(store.claim_after_stop(at(80), at(99), 10).await.unwrap(), []);
    assert!(store.forget_after_stop(claimed[0].id).await.unwrap());
    assert!(!store.forget_after_stop(claimed[0].id).await.unwrap());
    let rest = store.claim_after_stop(at(999), at(1000), 10).await.unwrap();
    assert_eq!(rest.iter().map(|row| &row.question).collect::<Vec<_>>(), [&json!({"n": 3})]);
}

async fn the_longest_waiting_come_first(Database { store, .. }: Database) {
    for (generation, due) in [(1, 30), (2, 10), (3, 20)] {
        store.note_after_stop(SERVER, Generation(generation), &json!(generation), at(due)).await.unwrap();
    }
    let mut first = store.claim_after_stop(at(99), at(200), 2).await.unwrap();
    first.sort_by_key(|row| row.question.as_i64());
    assert_eq!(first.iter().map(|row| row.question.as_i64()).collect::<Vec<_>>(), [Some(2), Some(3)]);
}

both!(a_stop_is_told_once_however_often_it_is_noted, the_longest_waiting_come_first);
