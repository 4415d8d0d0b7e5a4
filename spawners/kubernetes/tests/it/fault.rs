//! An API server that fails, is too busy, or not there.

use std::time::Duration;

use fake_kubernetes::{Fault, How};
use serde_json::Value;
use spawners::contract::{Paper, eventually};
use spawners::{Sight, Spawner, StartError, Stop};

use crate::ground::fake;

#[tokio::test]
async fn one_that_is_busy_or_fails_is_asked_again() {
    let ground = fake().await;
    for how in [
        How::says(429, "TooManyRequests", "the server has received too many requests"),
        How::says(500, "InternalError", "etcdserver: leader changed"),
        How::says(503, "ServiceUnavailable", "apiserver is shutting down"),
        How::Hangs,
    ] {
        ground.fake().fail(Fault::new("POST /api/v1/namespaces/labs/pods", 1, how));
    }
    ground.start(&ground.plan(1, 1)).await.unwrap();
    assert_eq!(ground.fake().asked("POST /api/v1/namespaces/labs/pods"), 5);
    assert_eq!(ground.names().await.len(), 1);
}

#[tokio::test]
async fn a_quota_that_others_count_at_the_same_moment_is_asked_again() {
    let mut ground = fake().await;
    crate::storage::with_storage(&mut ground);
    let late = "Operation cannot be fulfilled on resourcequotas \"compute\": the object has been modified; please apply your \
                changes to the latest version and try again";
    for of in ["POST /api/v1/namespaces/labs/persistentvolumeclaims", "POST /api/v1/namespaces/labs/pods"] {
        ground.fake().fail(Fault::new(of, 2, How::says(409, "Conflict", late)));
    }
    ground.start(&ground.plan(1, 1)).await.unwrap();
    assert_eq!(ground.fake().asked("POST /api/v1/namespaces/labs/pods"), 3);
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_pod() {
    let ground = fake().await;
    ground.fake().fail(Fault::new("POST /api/v1/namespaces/labs/pods", 1, How::Loses));
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    assert_eq!(ground.names().await.len(), 1);
    let driver = ground.driver();
    ground.fake().fail(Fault::new("DELETE", 1, How::Loses));
    driver.stop(&plan.identity, &started.state, Stop { force: true }).await.unwrap();
    assert_eq!(ground.look(&plan.identity, &started.state).await, Sight::Absent);
}

#[tokio::test]
async fn one_that_is_away_says_nothing_about_servers() {
    let mut ground = fake().await;
    ground.config.retry_timeout = Duration::from_secs(4);
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    let away = || How::says(503, "ServiceUnavailable", "no");
    ground.fake().fail(Fault::new("", usize::MAX, away()));
    ground.fake().cut();
    let driver = ground.driver();
    assert!(driver.look(&plan.identity, &started.state).await.is_err());
    assert!(driver.list_owned().await.is_err(), "nothing is judged before there was a list");
    let second = driver.start(&ground.plan(2, 1), &Value::Null, &Paper::default()).await;
    assert!(matches!(second, Err(StartError::Unreachable(_))), "{second:?}");
    // It comes back, and the same driver finds everything as it was.
    ground.fake().mend();
    assert_eq!(driver.look(&plan.identity, &started.state).await.unwrap(), Sight::Up { url: started.url });
    eventually("it is listed", || async { driver.list_owned().await.is_ok_and(|owned| owned.len() == 1) }).await;
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let ground = fake().await;
    let driver = ground.driver();
    let first = driver.start(&ground.plan(1, 1), &Value::Null, &Paper::default()).await.unwrap();
    let lists = || {
        let pods = "GET /api/v1/namespaces/labs/pods";
        ground.fake().asked(pods) - ground.fake().asked(&format!("{pods}/"))
    };
    let before = lists();
    for row in 2..5 {
        ground.fake().cut();
        driver.start(&ground.plan(row, 1), &Value::Null, &Paper::default()).await.unwrap();
    }
    eventually("all are known", || async { driver.list_owned().await.unwrap().len() == 4 }).await;
    assert_eq!(lists(), before, "neither the watch nor a start lists again");
    let sight = driver.look(&ground.identity(1, 1), &first.state).await.unwrap();
    assert_eq!(sight, Sight::Up { url: first.url });
}

#[tokio::test]
async fn a_watch_whose_past_is_forgotten_lists_anew() {
    let ground = fake().await;
    let driver = ground.driver();
    driver.start(&ground.plan(1, 1), &Value::Null, &Paper::default()).await.unwrap();
    ground.fake().silence(true);
    ground.fake().take("pods", "labs", "jupyter-user1");
    ground.fake().forget();
    ground.fake().cut();
    ground.fake().silence(false);
    eventually("it is known to be gone", || async { driver.list_owned().await.unwrap().is_empty() }).await;
}

#[tokio::test]
async fn a_watch_that_says_nothing_declares_nobody_dead() {
    let ground = fake().await;
    let driver = ground.driver();
    assert_eq!(driver.list_owned().await.unwrap(), vec![]);
    ground.fake().silence(true);
    // Another hub starts it, and this one has not heard of it.
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    let sight = driver.look(&plan.identity, &started.state).await.unwrap();
    assert_eq!(sight, Sight::Up { url: started.url });
}
