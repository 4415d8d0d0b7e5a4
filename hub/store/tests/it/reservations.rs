//! What servers take of quotas, counted with the intent.

use crate::harness::{Database, at, both, server, user};
use chrono::TimeDelta;
use hub_core::id::{SpawnerId, UserId};
use hub_core::policy::{Amounts, Charge, Dimension};
use hub_store::{Over, Reservation, StartLimits, Store, WantRunning, WantStopped};
use serde_json::json;

const HOLDER: &str = "hub-1";

fn amounts(servers: Option<u64>, cpu: Option<u64>, gpu: Option<u64>) -> Amounts {
    Amounts { servers, cpu, memory: None, gpu }
}

fn own(quota: Amounts) -> Charge {
    Charge { group: None, quota }
}

fn of(group: &str, quota: Amounts) -> Charge {
    Charge { group: Some(group.to_owned()), quota }
}

async fn want(store: &Store, id: SpawnerId, cpu: u64, gpu: u64, charges: Vec<Charge>) -> WantRunning {
    let takes = Amounts { servers: Some(1), cpu: Some(cpu), memory: Some(1 << 30), gpu: Some(gpu) };
    let limits = StartLimits { reservation: Some(Reservation { takes, charges }), ..StartLimits::default() };
    store.want_running(id, Some(&json!({"cpu": cpu})), &json!({"cpu_limit": cpu}), limits, at(1)).await.unwrap()
}

async fn labs(store: &Store, user: UserId, count: usize) -> Vec<SpawnerId> {
    let mut labs = Vec::new();
    for at in 0..count {
        labs.push(server(store, user, &format!("lab{at}")).await.id);
    }
    labs
}

async fn of_many_starts_at_once_no_more_are_taken_than_the_quota_has(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let mut tasks = Vec::new();
    for id in labs(&store, ann, 8).await {
        let store = store.clone();
        let charges = vec![own(amounts(None, Some(3500), None))];
        tasks.push(tokio::spawn(async move { want(&store, id, 1000, 0, charges).await }));
    }
    let (mut accepted, mut refused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            WantRunning::Accepted => accepted += 1,
            WantRunning::OverQuota(over) => {
                let expected = Over { group: None, dimension: Dimension::Cpu, most: 3500, used: 3000, takes: 1000 };
                assert_eq!(over, expected);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted, refused), (3, 5));
    assert_eq!(store.taken_by(ann).await.unwrap().cpu, Some(3000));
}

async fn the_quota_of_a_group_is_shared_by_its_members(Database { store, .. }: Database) {
    let mut tasks = Vec::new();
    for name in ["ann", "bea", "cid", "dan", "eve", "fay"] {
        let user = user(&store, name).await.id;
        let id = labs(&store, user, 1).await[0];
        let store = store.clone();
        let charges = vec![own(amounts(Some(1), None, None)), of("/physics", amounts(None, None, Some(4)))];
        tasks.push(tokio::spawn(async move { want(&store, id, 1000, 2, charges).await }));
    }
    let mut accepted = 0;
    for task in tasks {
        accepted += usize::from(task.await.unwrap() == WantRunning::Accepted);
    }
    assert_eq!(accepted, 2);
    assert_eq!(store.taken_of_group("/physics").await.unwrap().gpu, Some(4));
    assert_eq!(store.taken_of_group("/chemistry").await.unwrap().gpu, Some(0));
}

async fn what_is_taken_is_free_again_when_the_stop_is_confirmed_and_not_before(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let labs = labs(&store, ann, 2).await;
    let one = || vec![own(amounts(Some(1), None, None)), of("g", amounts(None, Some(1000), None))];
    assert_eq!(want(&store, labs[0], 1000, 0, one()).await, WantRunning::Accepted);
    let running = crate::servers::bring_up(&store, labs[0]).await;
    assert_eq!(store.want_stopped(labs[0], at(20)).await.unwrap(), WantStopped::Accepted);
    let full = |answer| matches!(answer, WantRunning::OverQuota(Over { dimension: Dimension::Servers, .. }));
    assert!(full(want(&store, labs[1], 1000, 0, one()).await), "its stop is only wanted");
    store.claim(labs[0], HOLDER, at(21), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert!(store.begin_stop(labs[0], HOLDER, running.generation, at(60), at(22)).await.unwrap());
    assert!(full(want(&store, labs[1], 1000, 0, one()).await), "it is stopping");
    let only_group = vec![of("g", amounts(None, Some(1000), None))];
    assert!(matches!(want(&store, labs[1], 1, 0, only_group).await, WantRunning::OverQuota(_)));
    assert!(store.finish(labs[0], HOLDER, running.generation, None, at(23)).await.unwrap());
    assert_eq!(store.taken_by(ann).await.unwrap(), Amounts { memory: Some(0), ..amounts(Some(0), Some(0), Some(0)) });
    assert_eq!(want(&store, labs[1], 1000, 0, one()).await, WantRunning::Accepted);
}

async fn a_wish_that_was_taken_back_before_anything_was_made_takes_nothing(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let labs = labs(&store, ann, 2).await;
    let one = || vec![own(amounts(Some(1), None, None))];
    assert_eq!(want(&store, labs[0], 1000, 0, one()).await, WantRunning::Accepted);
    assert_eq!(store.want_stopped(labs[0], at(2)).await.unwrap(), WantStopped::Accepted);
    assert_eq!(want(&store, labs[1], 1000, 0, one()).await, WantRunning::Accepted);
}

async fn a_refusal_stores_nothing_and_a_later_start_replaces_what_was_taken(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let labs = labs(&store, ann, 1).await;
    let small = || vec![own(amounts(None, Some(1000), None)), of("g", amounts(None, None, None))];
    assert!(matches!(want(&store, labs[0], 2000, 0, small()).await, WantRunning::OverQuota(_)));
    let row = store.server_by_id(labs[0]).await.unwrap().unwrap();
    assert_eq!((row.plan, row.user_options), (None, None));
    assert_eq!(want(&store, labs[0], 1000, 0, small()).await, WantRunning::Accepted);
    assert_eq!(store.taken_of_group("g").await.unwrap().cpu, Some(1000));
    store.want_stopped(labs[0], at(2)).await.unwrap();
    assert_eq!(want(&store, labs[0], 500, 0, vec![own(Amounts::default())]).await, WantRunning::Accepted);
    assert_eq!(store.taken_by(ann).await.unwrap().cpu, Some(500));
    assert_eq!(store.taken_of_group("g").await.unwrap().servers, Some(0));
}

async fn a_server_that_jupyterhub_started_counts_as_a_server(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let labs = labs(&store, ann, 2).await;
    crate::harness::want_running(&store, labs[0]).await;
    crate::servers::bring_up(&store, labs[0]).await;
    let one = vec![own(amounts(Some(1), None, None))];
    assert!(matches!(want(&store, labs[1], 1000, 0, one).await, WantRunning::OverQuota(_)));
}

both!(
    of_many_starts_at_once_no_more_are_taken_than_the_quota_has,
    the_quota_of_a_group_is_shared_by_its_members,
    what_is_taken_is_free_again_when_the_stop_is_confirmed_and_not_before,
    a_wish_that_was_taken_back_before_anything_was_made_takes_nothing,
    a_refusal_stores_nothing_and_a_later_start_replaces_what_was_taken,
    a_server_that_jupyterhub_started_counts_as_a_server,
);
