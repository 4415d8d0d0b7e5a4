//! What people want of servers, within limits.

use crate::harness::{Database, at, both, postgresql, server, user, want_running};
use chrono::TimeDelta;
use hub_core::id::SpawnerId;
use hub_core::life::{Desired, Phase};
use hub_store::{StartLimits, Store, WantRunning, WantStopped};
use serde_json::json;
use sqlx::Executor;

const FREE: StartLimits =
    StartLimits { concurrent: None, active: None, reservation: None, devices: std::collections::BTreeMap::new() };

async fn want(store: &Store, id: SpawnerId, limits: StartLimits) -> WantRunning {
    store.want_running(id, None, &json!({"cpu": 1}), limits, at(1)).await.unwrap()
}

async fn a_wish_is_recorded_with_options_and_plan_and_is_due_at_once(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    let options = json!({"image": "a"});
    let answer = store.want_running(lab, Some(&options), &json!({"cpu": 1}), FREE, at(1)).await.unwrap();
    assert_eq!(answer, WantRunning::Accepted);
    let row = store.server_by_id(lab).await.unwrap().unwrap();
    assert_eq!((row.desired, row.phase, row.due_at), (Desired::Running, Phase::Stopped, Some(at(1))));
    assert_eq!((row.user_options.as_ref(), row.plan), (Some(&options), Some(json!({"cpu": 1}))));
    assert_eq!(want(&store, lab, FREE).await, WantRunning::AlreadyStarting);
    crate::servers::bring_up(&store, lab).await;
    assert_eq!(want(&store, lab, FREE).await, WantRunning::AlreadyReady);
    assert_eq!(store.server_by_id(lab).await.unwrap().unwrap().user_options, Some(options));
}

async fn a_stop_wins_over_a_start_under_way(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await;
    assert_eq!(store.want_stopped(lab.id, at(1)).await.unwrap(), WantStopped::AlreadyStopped);
    want_running(&store, lab.id).await;
    store.claim(lab.id, "hub-1", at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    let prepared = crate::servers::prepared(&lab, "");
    let starting = store.prepare(lab.id, "hub-1", &prepared).await.unwrap().unwrap();
    assert_eq!(store.want_stopped(lab.id, at(5)).await.unwrap(), WantStopped::Accepted);
    assert_eq!(store.want_stopped(lab.id, at(6)).await.unwrap(), WantStopped::AlreadyStopping);
    assert_eq!(want(&store, lab.id, FREE).await, WantRunning::Stopping);
    assert!(!store.fail(lab.id, "hub-1", starting.generation, &json!("late"), at(7)).await.unwrap());
    let told =
        store.renew(lab.id, "hub-1", starting.generation, at(30), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert_eq!((told.desired, told.failure), (Desired::Stopped, None));
    assert_eq!(store.prepare(lab.id, "hub-1", &prepared).await.unwrap(), None, "it is not wanted any more");
}

async fn a_server_that_does_not_exist_cannot_be_wanted(Database { store, .. }: Database) {
    assert_eq!(want(&store, SpawnerId(999), FREE).await, WantRunning::Gone);
    assert_eq!(store.want_stopped(SpawnerId(999), at(1)).await.unwrap(), WantStopped::Gone);
}

async fn limits_count_what_starts_and_what_is_active(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let mut labs = Vec::new();
    for name in ["a", "b", "c"] {
        labs.push(server(&store, ann, name).await.id);
    }
    let one_starting = || StartLimits { concurrent: Some(1), active: Some(2), ..StartLimits::default() };
    assert_eq!(want(&store, labs[0], one_starting()).await, WantRunning::Accepted);
    assert_eq!(want(&store, labs[1], one_starting()).await, WantRunning::TooManyStarting);
    assert_eq!(want(&store, labs[0], one_starting()).await, WantRunning::AlreadyStarting, "asking again is no start");
    crate::servers::bring_up(&store, labs[0]).await;
    assert_eq!(want(&store, labs[1], one_starting()).await, WantRunning::Accepted);
    assert_eq!(want(&store, labs[2], one_starting()).await, WantRunning::TooManyActive);
    let refused = store.server_by_id(labs[2]).await.unwrap().unwrap();
    assert_eq!((refused.desired, refused.plan), (Desired::Stopped, None), "a refusal stores nothing");
}

async fn of_many_who_want_the_last_place_one_gets_it(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let mut tasks = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let id = server(&store, ann, name).await.id;
        let store = store.clone();
        let limits = StartLimits { active: Some(1), ..StartLimits::default() };
        tasks.push(tokio::spawn(async move { want(&store, id, limits).await }));
    }
    let mut accepted = 0;
    for task in tasks {
        accepted += usize::from(task.await.unwrap() == WantRunning::Accepted);
    }
    assert_eq!(accepted, 1);
}

both!(
    a_wish_is_recorded_with_options_and_plan_and_is_due_at_once,
    a_stop_wins_over_a_start_under_way,
    a_server_that_does_not_exist_cannot_be_wanted,
    limits_count_what_starts_and_what_is_active,
    of_many_who_want_the_last_place_one_gets_it,
);

#[tokio::test]
async fn a_start_that_waits_for_its_own_row_keeps_no_other_from_starting() {
    let Some(database) = postgresql().await else { return };
    let store = &database.store;
    let ann = user(store, "ann").await.id;
    let (held, free) = (server(store, ann, "held").await.id, server(store, ann, "free").await.id);
    let counted = || StartLimits { concurrent: Some(9), ..FREE };
    let mut other = database.connection().await;
    let lock = format!("BEGIN; UPDATE specola_servers SET changed_at = changed_at WHERE spawner_id = {held}");
    other.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await.unwrap();
    let waiting = want(store, held, counted());
    let meanwhile = async {
        let locks = "SELECT CAST(COUNT(*) AS TEXT) FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock'";
        while database.cell(locks).await == "0" {
            tokio::task::yield_now().await;
        }
        let answer = want(store, free, counted()).await;
        other.execute("COMMIT").await.unwrap();
        answer
    };
    let answers = tokio::join!(waiting, meanwhile);
    assert_eq!(answers, (WantRunning::Accepted, WantRunning::Accepted));
}
