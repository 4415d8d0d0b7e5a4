//! An API server that fails, is too busy, or not there.

use std::time::{Duration, Instant};

use fake_kubernetes::{Fault, How};
use serde_json::{Value, json};
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
async fn what_a_node_drops_before_it_begins_is_made_again() {
    let ground = fake().await;
    let plan = ground.plan_of(1, 1, "waits");
    let starting = ground.start(&plan);
    let status = |phase: &str, state: Value| {
        let of_server = json!({ "name": "notebook", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state });
        json!({ "phase": phase, "podIP": "127.0.0.1", "containerStatuses": [of_server] })
    };
    let node = async {
        for (number, phase, state) in [
            (1, "Succeeded", json!({ "terminated": { "exitCode": 0, "startedAt": null, "finishedAt": null } })),
            (2, "Running", json!({ "running": { "startedAt": "2026-11-30T05:55:20Z" } })),
        ] {
            let made = || async { ground.fake().asked("POST /api/v1/namespaces/labs/pods") == number };
            eventually("it is made", || async { made().await && ground.names().await.len() == 1 }).await;
            let name = ground.names().await.remove(0);
            ground.fake().change("pods", "labs", &name, |pod| pod["status"] = status(phase, state));
        }
    };
    let (started, ()) = tokio::join!(starting, node);
    started.unwrap();
    assert_eq!(ground.fake().asked("POST /api/v1/namespaces/labs/pods"), 2);
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

/// What a start or a look hangs on is asked for, by its name or its number.
#[tokio::test]
async fn a_list_that_is_stale_judges_nobody() {
    let mut ground = fake().await;
    crate::storage::with_storage(&mut ground);
    let gone = ground.plan(2, 1);
    let left = ground.start(&gone).await.unwrap();
    ground.fake().remember();
    // Since then one has started, and the other one ended.
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    ground.fake().take("pods", "labs", "jupyter-user2");
    let pods = "GET /api/v1/namespaces/labs/pods";
    ground.fake().fail(Fault::new(pods, 1, How::Stale));
    // Nothing that came after is told for a while.
    ground.fake().silence(true);
    let driver = ground.driver();
    let listed = driver.list_owned().await.unwrap();
    assert_eq!(listed.iter().map(|owned| owned.identity.spawner).collect::<Vec<_>>(), [gone.identity.spawner]);
    assert_eq!(driver.look(&plan.identity, &started.state).await.unwrap(), Sight::Up { url: started.url.clone() });
    // Whoever takes it for a stray stops what has gone, and nothing else.
    driver.stop(&gone.identity, &left.state, Stop { force: true }).await.unwrap();
    assert_eq!(ground.names().await, ["jupyter-user1"]);
    let again = driver.start(&plan, &started.state, &Paper::default()).await.unwrap();
    assert_eq!((again.url, ground.names().await.len()), (started.url, 1), "it is adopted");
    ground.fake().silence(false);
    eventually("the watch tells the rest", || async {
        let listed = driver.list_owned().await.unwrap();
        listed.len() == 1 && listed[0].identity == plan.identity
    })
    .await;
}

/// The pods of a list that is made anew may be those of before.
#[tokio::test]
async fn a_stale_list_in_place_of_a_watch_that_was_lost_judges_nobody() {
    let ground = fake().await;
    let driver = ground.driver();
    driver.list_owned().await.unwrap();
    ground.fake().remember();
    let plan = ground.plan(1, 1);
    let started = driver.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    eventually("it is known", || async { driver.list_owned().await.unwrap().len() == 1 }).await;
    ground.fake().silence(true);
    let refused = How::says(410, "Expired", "too old");
    ground.fake().fail(Fault::new("WATCH GET /api/v1/namespaces/labs/pods", 1, refused));
    ground.fake().fail(Fault::new("GET /api/v1/namespaces/labs/pods", 1, How::Stale));
    ground.fake().cut();
    eventually("it is unknown again", || async { driver.list_owned().await.unwrap().is_empty() }).await;
    assert_eq!(driver.look(&plan.identity, &started.state).await.unwrap(), Sight::Up { url: started.url });
    assert_eq!(
        driver.look(&plan.identity, &Value::Null).await.unwrap(),
        driver.look(&plan.identity, &started.state).await.unwrap()
    );
    ground.fake().silence(false);
    eventually("the watch tells of it", || async { driver.list_owned().await.unwrap().len() == 1 }).await;
}

#[tokio::test]
async fn a_watch_that_is_never_answered_is_begun_again() {
    let mut ground = fake().await;
    ground.config.watch_timeout = Duration::from_secs(1);
    ground.fake().fail(Fault::new("WATCH GET /api/v1/namespaces/labs/pods", 1, How::Hangs));
    let driver = ground.driver();
    driver.list_owned().await.unwrap();
    ground.start(&ground.plan(1, 1)).await.unwrap();
    eventually("it is heard of", || async { driver.list_owned().await.unwrap().len() == 1 }).await;
}

/// A bookmark tells how far a watch is that had nothing to tell.
#[tokio::test]
async fn a_watch_that_had_nothing_to_tell_goes_on_without_a_list() {
    let mut ground = fake().await;
    ground.config.watch_timeout = Duration::from_secs(1);
    let (driver, begun) = (ground.driver(), Instant::now());
    driver.list_owned().await.unwrap();
    let (pods, watch) = ("GET /api/v1/namespaces/labs/pods", "WATCH GET /api/v1/namespaces/labs/pods");
    eventually("it is followed", || async { ground.fake().asked(watch) == 1 }).await;
    ground.fake().forget();
    eventually("it is followed for the third time", || async { ground.fake().asked(watch) == 3 }).await;
    assert_eq!(ground.fake().asked(pods), 1, "what is forgotten was told");
    assert!(driver.heard().unwrap() < begun.elapsed());
    // While it is not answered nothing is heard.
    ground.fake().fail(Fault::new(watch, usize::MAX, How::says(503, "ServiceUnavailable", "no")));
    let before = ground.fake().asked(watch);
    eventually("it is refused", || async { ground.fake().asked(watch) > before + 1 }).await;
    let silent = Instant::now();
    let before = ground.fake().asked(watch);
    eventually("it is refused again", || async { ground.fake().asked(watch) > before }).await;
    assert!(driver.heard().unwrap() >= silent.elapsed());
}
