//! Servers that end by themselves, and servers that are asked to.

use serde_json::{Value, json};
use spawners::contract::eventually;
use spawners::{Sight, Spawner, Stop, contract};

use crate::ground::{cluster, fake};

#[tokio::test]
async fn a_server_that_dies_while_it_starts_tells_why() {
    let ground = fake().await;
    let (code, told) = ground.fails(&ground.plan_of(1, 1, "dies")).await;
    assert_eq!(code, "died");
    assert!(told.contains("It ended with exit code 3.") && told.contains("the last words"), "{told}");
    let mut plan = ground.plan_of(1, 2, "oom");
    plan.mem_limit = Some(512 << 20);
    let (_, told) = ground.fails(&plan).await;
    assert!(told.contains("more memory than its limit of 512 MiB"), "{told}");
    assert_eq!(ground.names().await, Vec::<String>::new(), "nothing is left");
}

#[tokio::test]
async fn a_server_that_ends_later_leaves_its_reason_and_its_log() {
    let ground = fake().await;
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    ground.fake().change("pods", "labs", "jupyter-user1", |pod| {
        pod["status"] =
            json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." });
    });
    let sight = ground.look(&plan.identity, &started.state).await;
    let reason = "It was ended because the memory of its machine was used up.".to_owned();
    assert_eq!(sight, Sight::Exited { code: None, reason });
    contract::stop(&ground.driver(), &plan.identity, &started.state).await;
}

#[tokio::test]
async fn a_server_that_does_not_end_is_killed() {
    let ground = fake().await;
    let plan = ground.plan_of(1, 1, "stubborn");
    let (driver, started) = (ground.driver(), ground.start(&plan).await.unwrap());
    for _ in 0..3 {
        driver.stop(&plan.identity, &started.state, Stop { force: false }).await.unwrap();
        assert!(matches!(ground.look(&plan.identity, &started.state).await, Sight::Exited { .. }), "it has its time");
    }
    assert_eq!(ground.fake().asked("DELETE"), 1, "it is asked once");
    driver.stop(&plan.identity, &started.state, Stop { force: true }).await.unwrap();
    assert_eq!(ground.look(&plan.identity, &started.state).await, Sight::Absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ends_is_told_with_its_log_on_a_cluster() {
    let Some(ground) = cluster().await else { return };
    let Ok(image) = std::env::var("SPECOLA_KUBERNETES_PYTHON_IMAGE") else {
        eprintln!("SKIPPED: SPECOLA_KUBERNETES_PYTHON_IMAGE is not set");
        return;
    };
    // One that answers is reached where it is said to be.
    let mut plan = ground.plan_of(1, 1, &image);
    plan.cmd = ["python3", "-u", "-m", "http.server", "8888"].map(str::to_owned).to_vec();
    let started = ground.start(&plan).await.unwrap();
    let address = started.url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap().to_owned();
    eventually("it answers", || async { tokio::net::TcpStream::connect(&address).await.is_ok() }).await;
    let driver = ground.driver();
    let logs = driver.logs(&plan.identity, &Value::Null, 10).await;
    if logs.is_ok() {
        eventually("its log can be read", || async {
            driver.logs(&plan.identity, &Value::Null, 10).await.is_ok_and(|log| log.contains("Serving HTTP"))
        })
        .await;
    } else {
        eprintln!("SKIPPED: this cluster gives out no logs: {logs:?}");
    }
    // One that ends tells why, and what it wrote last.
    plan.identity.generation.0 = 2;
    plan.cmd = ["python3", "-c", "print('the last words'); raise SystemExit(3)"].map(str::to_owned).to_vec();
    let (code, told) = ground.fails(&plan).await;
    assert_eq!(code, "died", "{told}");
    assert!(told.contains("It ended with exit code 3."), "{told}");
    assert!(logs.is_err() || told.contains("the last words"), "{told}");
    plan.identity.generation.0 = 3;
    plan.cmd = vec!["no-such-command".to_owned()];
    let (code, told) = ground.fails(&plan).await;
    assert!(matches!(code, "command_not_found" | "died"), "{code}: {told}");
    eventually("nothing is left", || async { ground.names().await.is_empty() }).await;
}
