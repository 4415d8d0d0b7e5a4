//! What is told after a stop.

use crate::harness::{Database, at, both, server, user, want_running};
use chrono::TimeDelta;
use hub_core::life::Phase;
use serde_json::json;

const HOLDER: &str = "hub-1";

/// Notes one of a server that is gone, as a stop does, to be told from then on.
async fn note(database: &Database, generation: i64, question: i64, due: i64) {
    let due = at(due).format("%F %T%.6f");
    let sql = format!(
        "INSERT INTO specola_after_stop (spawner_id, generation, question, attempts, due_at)
         VALUES (7, {generation}, '{question}', 0, '{due}')"
    );
    database.hand(&sql).await;
}

async fn a_stop_is_told_once_and_again_if_who_had_it_is_gone(database: Database) {
    let store = &database.store;
    note(&database, 1, 1, 50).await;
    note(&database, 2, 3, 200).await;
    assert_eq!(store.claim_after_stop(at(49), at(60), 10).await.unwrap(), []);
    let claimed = store.claim_after_stop(at(50), at(60), 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!((&claimed[0].question, claimed[0].attempts), (&json!(1), 1));
    assert_eq!(store.claim_after_stop(at(59), at(70), 10).await.unwrap(), [], "somebody has it");
    assert_eq!(store.claim_after_stop(at(60), at(70), 10).await.unwrap()[0].attempts, 2, "who had it is gone");
    assert!(store.put_off_after_stop(claimed[0].id, at(90)).await.unwrap());
    assert_eq!(store.claim_after_stop(at(80), at(99), 10).await.unwrap(), []);
    assert!(store.forget_after_stop(claimed[0].id).await.unwrap());
    assert!(!store.forget_after_stop(claimed[0].id).await.unwrap());
    let rest = store.claim_after_stop(at(999), at(1000), 10).await.unwrap();
    assert_eq!(rest.iter().map(|row| &row.question).collect::<Vec<_>>(), [&json!(3)]);
}

async fn the_longest_waiting_come_first(database: Database) {
    for (generation, due) in [(1, 30), (2, 10), (3, 20)] {
        note(&database, generation, generation, due).await;
    }
    let mut first = database.store.claim_after_stop(at(99), at(200), 2).await.unwrap();
    first.sort_by_key(|row| row.question.as_i64());
    assert_eq!(first.iter().map(|row| row.question.as_i64()).collect::<Vec<_>>(), [Some(2), Some(3)]);
}

/// One without the other would be a stop that is never told, or one that was told and never came to its end.
async fn a_stop_ends_with_the_note_of_it_or_not_at_all(database: Database) {
    let store = &database.store;
    let ann = user(store, "ann").await.id;
    let lab = server(store, ann, "").await;
    want_running(store, lab.id).await;
    crate::servers::bring_up(store, lab.id).await;
    store.want_stopped(lab.id, at(20)).await.unwrap();
    let held = store.claim(lab.id, HOLDER, at(20), TimeDelta::seconds(30)).await.unwrap().unwrap();
    let generation = held.generation;
    assert!(store.begin_stop(lab.id, HOLDER, generation, at(40), at(20)).await.unwrap());
    let question = json!({ "n": 1 });
    let finish = async |at| store.finish(lab.id, HOLDER, generation, Some(&question), at).await;
    database.hand("ALTER TABLE specola_after_stop RENAME TO elsewhere").await;
    finish(at(21)).await.unwrap_err();
    assert_eq!(store.server_by_id(lab.id).await.unwrap().unwrap().phase, Phase::Stopping);
    database.hand("ALTER TABLE elsewhere RENAME TO specola_after_stop").await;
    assert!(finish(at(22)).await.unwrap() && !finish(at(23)).await.unwrap());
    let told = store.claim_after_stop(at(22), at(60), 10).await.unwrap();
    assert_eq!(told.iter().map(|row| (row.spawner_id, &row.question)).collect::<Vec<_>>(), [(lab.id, &question)]);
}

both!(
    a_stop_is_told_once_and_again_if_who_had_it_is_gone,
    the_longest_waiting_come_first,
    a_stop_ends_with_the_note_of_it_or_not_at_all,
);
