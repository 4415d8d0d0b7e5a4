//! What labs tell of themselves.

use crate::harness::{Database, at, both, server, user, want_running};
use chrono::TimeDelta;
use hub_core::id::Generation;
use serde_json::json;

const HOLDER: &str = "hub-1";

async fn what_a_lab_tells_counts_in_its_run_and_for_a_while(database: Database) {
    let store = &database.store;
    let ann = user(store, "ann").await.id;
    let (lab, other) = (server(store, ann, "").await.id, server(store, ann, "other").await.id);
    want_running(store, lab).await;
    let generation = crate::servers::bring_up(store, lab).await.generation;
    let tell = async |generation, ready: bool, now| {
        store.put_lab(lab, generation, &json!({ "ready": ready }), at(now)).await.unwrap()
    };
    assert!(tell(generation, true, 10).await && tell(generation, false, 11).await);
    assert!(!tell(Generation(generation.0 + 1), true, 12).await, "of another run");
    assert!(!store.put_lab(other, Generation(0), &json!({}), at(12)).await.unwrap(), "it does not run");
    let told = async |since| store.labs(&[lab, other], at(since)).await.unwrap();
    assert_eq!(told(10).await, [(lab, json!({ "ready": false }))]);
    assert_eq!(told(11).await, []);

    store.want_stopped(lab, at(20)).await.unwrap();
    store.claim(lab, HOLDER, at(20), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert!(store.begin_stop(lab, HOLDER, generation, at(40), at(20)).await.unwrap());
    assert!(store.finish(lab, HOLDER, generation, None, at(21)).await.unwrap());
    assert_eq!(database.cell("SELECT CAST(COUNT(*) AS text) FROM specola_labs").await, "0", "it goes with the stop");
    assert!(!tell(generation, true, 22).await);
}

both!(what_a_lab_tells_counts_in_its_run_and_for_a_while);
