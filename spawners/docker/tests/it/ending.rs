//! How servers end, and what is told of it.

use serde_json::Value;
use spawners::{Sight, Spawner, Stop, contract};

use crate::ground::{Ground, ground};

async fn ended(ground: &Ground, plan: &spawners::Plan) -> (Option<i32>, String) {
    let mut seen = None;
    contract::eventually("the server has ended", || async {
        matches!(ground.driver().look(&plan.identity, &Value::Null).await, Ok(Sight::Exited { .. }))
    })
    .await;
    if let Ok(Sight::Exited { code, reason }) = ground.driver().look(&plan.identity, &Value::Null).await {
        seen = Some((code, reason));
    }
    seen.expect("what has ended stays ended")
}

#[tokio::test]
async fn a_server_that_needs_too_much_memory_is_told_so() {
    let Some(ground) = ground() else { return };
    let eat = "import time\ntime.sleep(1)\neaten = []\nwhile True: eaten.append(bytearray(b'x') * (8 << 20))";
    let mut plan = ground.plan_of(1, 1, &["python3", "-c", eat]);
    plan.mem_limit = Some(64 << 20);
    ground.start(&plan).await.unwrap();
    let (code, reason) = ended(&ground, &plan).await;
    assert_eq!(code, Some(-9));
    assert_eq!(reason, "It used more memory than its limit of 64 MiB, and was ended.");
    contract::stop(&ground.driver(), &plan.identity, &Value::Null).await;
    assert_eq!(ground.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_dies_tells_its_code_and_its_last_words() {
    let Some(ground) = ground() else { return };
    let plan = ground.plan_of(1, 1, &["python3", "-c", "import sys; sys.exit('the roof is open')"]);
    match ground.start(&plan).await {
        Ok(_) => {}
        Err(spawners::StartError::Failed { code, log, .. }) => {
            assert_eq!(code, "died");
            assert!(log.contains("the roof is open"), "{log}");
        }
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(ended(&ground, &plan).await, (Some(1), "It ended with exit code 1.".to_owned()));
    let log = ground.driver().logs(&plan.identity, &Value::Null, 1).await.unwrap();
    assert_eq!(log, "the roof is open");
}

#[tokio::test]
async fn a_home_of_another_user_is_named() {
    let Some(mut ground) = ground() else { return };
    let volume = ground.volume("home");
    ground.config.shape.user = Some("1000".into());
    ground.config.shape.volumes.insert(volume, serde_json::json!("/srv/home"));
    let plan = ground.plan_of(1, 1, &["python3", "-c", "open('/srv/home/a', 'w')"]);
    let _ = ground.start(&plan).await;
    let (code, reason) = ended(&ground, &plan).await;
    assert_eq!(code, Some(1));
    assert!(reason.contains("a volume may belong to another user"), "{reason}");
}

/// One that does not listen is killed when its time is over; one that is forced, at once.
#[tokio::test]
async fn a_server_that_will_not_end_is_killed() {
    let Some(mut ground) = ground() else { return };
    ground.config.stop_timeout = std::time::Duration::from_secs(2);
    let deaf = "import signal, http.server\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n\
                http.server.test(http.server.SimpleHTTPRequestHandler, port=8888)";
    let plan = ground.plan_of(1, 1, &["python3", "-c", deaf]);
    ground.start(&plan).await.unwrap();
    ground.says(&plan, "deaf").await;
    let begun = std::time::Instant::now();
    contract::stop(&ground.driver(), &plan.identity, &Value::Null).await;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2), "it was given its time");
    let plan = ground.plan_of(2, 1, &["python3", "-c", deaf]);
    ground.start(&plan).await.unwrap();
    ground.driver().stop(&plan.identity, &Value::Null, Stop { force: true }).await.unwrap();
    assert_eq!(ground.driver().look(&plan.identity, &Value::Null).await.unwrap(), Sight::Absent);
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let Some(mut ground) = ground() else { return };
    let small = serde_json::json!({"Tmpfs": {"/small": "size=64k"}});
    ground.config.shape.extra_host_config = small.as_object().unwrap().clone();
    let fill = "with open('/small/a', 'wb') as file: file.write(bytes(1 << 20))";
    let plan = ground.plan_of(1, 1, &["python3", "-c", fill]);
    let _ = ground.start(&plan).await;
    assert_eq!(ended(&ground, &plan).await, (Some(1), "It ended because its disk is full.".to_owned()));
}
