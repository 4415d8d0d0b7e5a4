//! A server that is replaced by another: silence, standbys, lost revisions; and the clocks of several hubs.

use crate::harness::{Database, at, impatient, options, postgresql, server, user};
use crate::open::outside;
use crate::postgres::{self, Cluster};
use crate::relay::Relay;
use crate::servers::{arrived, prepared, step};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::Generation;
use hub_core::life::Phase;
use hub_store::{Arrived, Changes, Leases, OpenError, OpenOptions, ServiceSpec, Store, StoreError};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// As a hub is, in less time.
fn brief() -> OpenOptions {
    OpenOptions { busy_timeout: Duration::from_secs(3), patience: Duration::from_secs(1), ..options() }
}

/// The name of a database of the cluster that all tests share, and where that is.
fn parts(url: &str) -> (&str, &Path) {
    let (name, directory) = url.split_once("@/").and_then(|(_, rest)| rest.split_once("?host=")).unwrap();
    (name, Path::new(directory))
}

/// Waits until something is so.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_ends_every_call_and_keeps_no_connection() {
    let Some(url) = postgres::new_database() else { return };
    let (name, cluster) = parts(&url);
    let relay = Relay::to(cluster);
    let store = Store::open(&postgres::url(relay.directory(), name), brief()).await.unwrap();
    user(&store, "ann").await;
    // More than there are connections, so that all are made.
    let many = async |store: &Store| {
        let calls: Vec<_> = (0..9)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.user("ann").await })
            })
            .collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        answers
    };
    assert!(many(&store).await.iter().all(Result::is_ok));
    relay.silence();
    let began = Instant::now();
    let error = store.user("ann").await;
    assert!(matches!(error, Err(StoreError::Unreachable(_))), "{error:?}");
    let error = store.create_user("bea", false, "cookie", at(0)).await;
    assert!(matches!(error, Err(StoreError::Unreachable(_))), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let opened = Store::open(&postgres::url(relay.directory(), name), brief()).await.err();
    assert!(matches!(opened, Some(OpenError::Store(StoreError::Unreachable(_)))), "{opened:?}");
    relay.lead_to(cluster);
    let began = Instant::now();
    let answers = many(&store).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(_)))), "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    store.create_user("bea", false, "cookie", at(0)).await.unwrap();
    relay.silence();
    let began = Instant::now();
    store.close().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_statement_without_an_answer_has_failed_and_its_connection_is_given_up() {
    let Some(Database { store, url, .. }) = postgresql().await else { return };
    let ann = user(&store, "ann").await;
    store.close().await;
    let one = OpenOptions { connections: 1, busy_timeout: Duration::from_secs(20), ..brief() };
    let store = Store::open(&url, one).await.unwrap();
    let (name, socket) = parts(&url);
    let options = sqlx::postgres::PgConnectOptions::new().socket(socket).username("postgres").database(name);
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::Executor::execute(&mut other, "BEGIN").await.unwrap();
    sqlx::Executor::execute(&mut other, "UPDATE users SET name = name").await.unwrap();
    let began = Instant::now();
    let alone = store.rename_user(ann.id, "bea").await;
    assert!(matches!(alone, Err(StoreError::Unreachable(_))), "{alone:?}");
    // In a transaction.
    let among_others = store.touch(&[], &[(ann.id, at(5))]).await;
    assert!(matches!(among_others, Err(StoreError::Unreachable(_))), "{among_others:?}");
    // The only connection there may be.
    store.set_meta("colour", "red").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    sqlx::Executor::execute(&mut other, "ROLLBACK").await.unwrap();
    eventually("nobody holds the row", || async { store.rename_user(ann.id, "bea").await.unwrap_or(false) }).await;
}

#[tokio::test]
async fn sessions_of_a_server_that_was_read_only_are_not_used_again() {
    let Some(Database { store, url, .. }) = postgresql().await else { return };
    let (name, socket) = parts(&url);
    let elsewhere = postgres::url(socket, "postgres");
    let set = async |to| {
        outside(&elsewhere, &format!("ALTER DATABASE {name} SET default_transaction_read_only = {to}")).await;
    };
    set("on").await;
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    outside(&elsewhere, &end).await;
    for _ in 0..5 {
        store.meta("colour").await.unwrap();
        let error = store.set_meta("colour", "red").await;
        assert!(matches!(error, Err(StoreError::ReadOnly(_))), "{error:?}");
    }
    set("off").await;
    // A session has the default of its beginning.
    store.set_meta("colour", "red").await.unwrap();
}

#[tokio::test]
async fn a_promoted_standby_that_lost_revisions_gives_every_proxy_all_routes_anew() {
    let Some(first) = Cluster::own() else { return };
    let relay = Relay::to(&first.directory);
    let url = postgres::url(relay.directory(), "postgres");
    let short = || OpenOptions { patience: Duration::from_secs(5), ..impatient() };
    let store = Store::open(&url, short()).await.unwrap();
    let put = async |store: &Store, target: &str| {
        store.put_route("/user/ann/", target, &json!({ "user": "ann" })).await.unwrap()
    };
    for number in 1..=3 {
        assert_eq!(put(&store, &format!("http://kept:{number}")).await, number);
    }
    let standby = first.standby();
    for number in 4..=6 {
        assert_eq!(put(&store, &format!("http://lost:{number}")).await, number);
    }
    assert!(store.ack("proxy", 6, at(1)).await.unwrap());
    assert!(!store.ack("proxy", 7, at(1)).await.unwrap(), "nobody has given that out");
    relay.silence();
    relay.lead_to(&standby.directory);
    let error = store.user("ann").await;
    assert!(matches!(error, Err(StoreError::Unreachable(_))), "a standby is not even read from: {error:?}");
    let opened = Store::open(&url, short()).await.err();
    assert!(matches!(opened, Some(OpenError::Store(StoreError::ReadOnly(_)))), "{opened:?}");
    outside(&standby.url("postgres"), "SELECT pg_promote()").await;
    // A hub that went on, and as many changes as were lost: by the number alone a proxy would miss nothing.
    eventually("it is the server now", || async { store.user("ann").await.is_ok() }).await;
    for number in 4..=6 {
        put(&store, &format!("http://new:{number}")).await;
    }
    assert_eq!(store.routes_since(6).await.unwrap(), None, "a snapshot is what a proxy needs that was at 6");
    let (revision, routes) = store.routes_snapshot().await.unwrap();
    assert!(revision > 1_000_000, "{revision}");
    assert_eq!(routes[0].target, "http://new:6");
    // Once.
    let again = Store::open(&url, short()).await.unwrap();
    assert_eq!(again.routes_since(revision).await.unwrap(), Some(Changes { revision, ..Changes::default() }));
    assert_eq!(put(&again, "http://new:7").await, revision + 1);
}

#[tokio::test]
async fn hubs_whose_clocks_are_days_apart_share_leases_turns_and_what_is_due() {
    let Some(url) = postgres::new_database() else { return };
    let by_database = || OpenOptions { leases: Leases::ByDatabase, ..options() };
    let (store, long) = (Store::open(&url, by_database()).await.unwrap(), TimeDelta::seconds(30));
    let (ann, early, late) = (user(&store, "ann").await, at(0), at(86_400));
    let lab = server(&store, ann.id, "").await.id;
    // Wanted by the one that is ahead, and due for the one that is behind.
    store.want_running(lab, None, &json!({}), Default::default(), late).await.unwrap();
    let due = async |holder, now| store.claim_due(holder, now, long, 9).await.unwrap().len();
    assert_eq!(due("behind", early).await, 1);
    assert_eq!(due("ahead", late).await, 0, "its clock says that the lease is over");
    assert!(store.claim(lab, "ahead", late, long).await.unwrap().is_none());
    assert!(store.renew(lab, "behind", Generation(0), early, long).await.unwrap().is_some());
    assert_eq!(due("ahead", late).await, 0);
    // And it does end.
    store.renew(lab, "behind", Generation(0), early, TimeDelta::milliseconds(300)).await.unwrap().unwrap();
    eventually("the lease is over", || async { due("ahead", late).await == 1 }).await;
    assert!(store.hand_over(lab, "ahead", late).await.unwrap());
    assert_eq!(due("behind", early).await, 1);

    assert!(store.take_turn("work", early, early + long).await.unwrap());
    assert!(!store.take_turn("work", late, late + long).await.unwrap());
    let spec = ServiceSpec { name: "idle".to_owned(), from_config: true, ..ServiceSpec::default() };
    let service = store.sync_service(&spec).await.unwrap();
    assert!(store.claim_service(service, "behind", early, long).await.unwrap());
    assert!(!store.claim_service(service, "ahead", late, long).await.unwrap());
    let held = store.claim(lab, "behind", early, long).await.unwrap().unwrap();
    let began = store.prepare(lab, "behind", &prepared(&held, "")).await.unwrap().unwrap();
    // Each deadline is as far from now for the hub that goes on as it was for the one that set it.
    let away = |deadline: Option<Time>, now: Time| (deadline.unwrap() - now).num_seconds();
    let plan = prepared(&held, "");
    let given = away(Some(plan.deadline_at), plan.now);
    assert!((1..=given).contains(&away(began.deadline_at, plan.now)), "{began:?}");
    let taken_over = async |from: &str, by: &str, now| {
        assert!(store.hand_over(lab, from, now).await.unwrap());
        store.claim(lab, by, now, long).await.unwrap().unwrap().deadline_at
    };
    let left = away(taken_over("behind", "ahead", late).await, late);
    assert!((1..=given).contains(&left), "{left}");
    let hour = TimeDelta::hours(1);
    assert!(store.put_off(lab, Generation(1), late + hour, late).await.unwrap());
    assert!((3000..=3600).contains(&away(taken_over("ahead", "behind", early).await, early)));
    assert!(store.begin_deadline_anew(lab, Generation(1), early + hour * 2, early).await.unwrap());
    let renewed = store.renew(lab, "behind", Generation(1), early, long).await.unwrap().unwrap();
    assert!((6000..=7200).contains(&away(renewed.deadline_at, early)), "{renewed:?}");
    let up = Arrived { deadline_at: early + hour, ..arrived(4000) };
    assert!(store.arrive(lab, &up, &step("behind", Generation(1), early)).await.unwrap().is_some());
    assert!((3000..=3600).contains(&away(taken_over("behind", "ahead", late).await, late)));
    let onward = step("ahead", Generation(1), late);
    assert!(store.advance(lab, Phase::Routing, Some(late + hour * 2), &onward).await.unwrap().is_some());
    assert!((6000..=7200).contains(&away(taken_over("ahead", "behind", early).await, early)));
    // A stop that has time left is not forced by a hub whose clock is ahead.
    assert!(store.begin_stop(lab, "behind", Generation(1), early + hour, early).await.unwrap());
    assert!((3000..=3600).contains(&away(taken_over("behind", "ahead", late).await, late)));
    assert!(store.hand_over(lab, "ahead", late).await.unwrap());
    store.claim(lab, "behind", early, long).await.unwrap().unwrap();
    assert!(store.finish(lab, "behind", Generation(1), Some(&json!({})), late).await.unwrap());
    assert_eq!(store.claim_after_stop(early, early + long, 9).await.unwrap().len(), 1);
    assert_eq!(store.claim_after_stop(late, late + long, 9).await.unwrap(), []);

    store.ack("proxy", 0, early).await.unwrap();
    let heard = async |now| store.connected_proxies(now, now - long).await.unwrap().len();
    assert_eq!((heard(early).await, heard(late).await), (1, 1));
    assert!(store.saw_proxy("proxy", early).await.unwrap());
    assert_eq!(heard(late).await, 1);
}

#[tokio::test]
async fn one_hub_at_a_time_brings_its_configuration() {
    let Some(Database { store, url, .. }) = postgresql().await else { return };
    let other = Store::open(&url, impatient()).await.unwrap();
    let alone = store.alone().await.unwrap();
    let refused = other.alone().await.err();
    assert!(matches!(refused, Some(StoreError::Busy(_))), "{refused:?}");
    drop(alone);
    drop(other.alone().await.unwrap());
    assert_eq!(store.ensure_meta("adopted_at", "then").await.unwrap(), "then");
    assert_eq!(other.ensure_meta("adopted_at", "later").await.unwrap(), "then");
}

#[tokio::test]
async fn of_several_servers_the_one_that_can_be_written_to_is_found_again_after_each_change() {
    let Some(first) = Cluster::own() else { return };
    let (one, other) = (Relay::to(&first.directory), Relay::to(&first.directory));
    let url = format!(
        "postgresql://postgres@/postgres?host={}&host={}",
        one.directory().display(),
        other.directory().display()
    );
    let short = || OpenOptions { patience: Duration::from_secs(5), ..impatient() };
    Store::open(&url, short()).await.unwrap().close().await;
    let standby = first.standby();
    // The standby is named first, and is passed over.
    one.silence();
    one.lead_to(&standby.directory);
    let store = Store::open(&url, short()).await.unwrap();
    // The primary is gone without a word; nobody can be written to until the standby is promoted.
    other.silence();
    let error = store.create_user("bea", false, "cookie", at(0)).await;
    assert!(matches!(error, Err(StoreError::Unreachable(_) | StoreError::ReadOnly(_))), "{error:?}");
    outside(&standby.url("postgres"), "SELECT pg_promote()").await;
    eventually("the promoted one is found", || async {
        store.create_user("bea", false, "cookie", at(0)).await.is_ok()
    })
    .await;
    // The primary of before comes back and does not know what happened: whoever opens the database now is not misled.
    other.lead_to(&first.directory);
    let again = Store::open(&url, short()).await.unwrap();
    assert!(again.user("bea").await.unwrap().is_some());
    assert!(store.user("bea").await.unwrap().is_some());
    // And whoever knew the later one does not go back, also while that one is away.
    one.silence();
    for _ in 0..5 {
        let asked = store.user("bea").await;
        assert!(matches!(asked, Err(StoreError::Unreachable(_) | StoreError::ReadOnly(_))), "{asked:?}");
    }
    one.lead_to(&standby.directory);
    eventually("the later one is found again", || async { matches!(store.user("bea").await, Ok(Some(_))) }).await;
}
