//! `modify_pod_hook`: a program and an address that are shown pods.

use std::sync::Arc;
use std::time::Duration;

use callout::{ANSWER_BYTES, Bounds, Callout, Target};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::ground::{Ground, fake};

async fn asking(target: Target, limit: Duration) -> Ground {
    let mut ground = fake().await;
    ground.shape(json!({ "modify_pod": [{ "op": "add", "path": "/spec/hostname", "value": "first" }] }));
    let bounds = Bounds { limit, answer_bytes: ANSWER_BYTES, at_once: 2 };
    ground.config.modify_pod_hook = Some(Arc::new(Callout::new(target, bounds)));
    ground
}

/// A shell script that is asked.
async fn program(script: &str) -> Ground {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    asking(Target::Command { argv, environment: Default::default() }, Duration::from_secs(20)).await
}

#[tokio::test]
async fn a_program_changes_a_pod_but_for_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let answer = json!({ "patch": [
        { "op": "test", "path": "/spec/hostname", "value": "first" },
        { "op": "replace", "path": "/spec/hostname", "value": "second" },
        { "op": "add", "path": "/metadata/labels/specola.hub", "value": "another" },
        { "op": "replace", "path": "/metadata/name", "value": "another" },
        { "op": "replace", "path": "/metadata/namespace", "value": "kube-system" },
    ]});
    let ground = program(&format!("cat > '{}'; echo '{answer}'", asked.display())).await;
    let mut plan = ground.plan(1, 3);
    plan.options = json!({ "user_options": { "queue": "short" } });
    ground.start(&plan).await.unwrap();
    let pod = ground.pods().get("jupyter-user1").await.unwrap();
    assert_eq!(pod.spec.unwrap().hostname.as_deref(), Some("second"), "it comes after modify_pod");
    assert_eq!(pod.metadata.labels.unwrap()["specola.hub"], "mark");
    let asked: Value = serde_json::from_slice(&std::fs::read(asked).unwrap()).unwrap();
    assert_eq!(asked["call"], "modify_pod");
    assert_eq!((&asked["user"]["name"], &asked["server"]["generation"]), (&json!("user1"), &json!(3)));
    assert_eq!(asked["options"]["user_options"]["queue"], "short");
    let variables = asked["pod"]["spec"]["containers"][0]["env"].as_array().unwrap();
    assert!(variables.contains(&json!({ "name": "JUPYTERHUB_API_TOKEN", "value": "secret" })), "{variables:?}");
}

#[tokio::test]
async fn a_program_answers_a_whole_pod_or_nothing() {
    // The question's members are in the order of their names.
    let whole = r#"sed 's/.*"pod":\(.*\),"server":{"generation".*/{"pod":\1}/; s/"first"/"whole"/'"#;
    for (script, hostname) in [(whole, "whole"), ("cat > /dev/null", "first")] {
        let ground = program(script).await;
        ground.start(&ground.plan(1, 1)).await.unwrap();
        let pod = ground.pods().get("jupyter-user1").await.unwrap();
        assert_eq!(pod.spec.unwrap().hostname.as_deref(), Some(hostname));
    }
}

#[tokio::test]
async fn without_a_right_answer_nothing_is_made() {
    for (script, code) in [
        ("echo '{\"refuse\": \"Not on Sundays.\"}'", "refused_by_hook"),
        ("exit 3", "hook_failed"),
        ("echo nonsense", "hook_failed"),
        ("echo '{\"patch\": [{\"op\": \"remove\", \"path\": \"/spec/absent\"}]}'", "hook_failed"),
        ("echo '{\"pod\": {}}'", "hook_failed"),
        (
            "echo '{\"pod\": {\"metadata\": {\"labels\": {}, \"annotations\": {}}, \"spec\": {\"no\": 1}}}'",
            "hook_failed",
        ),
        ("exec head -c 3000000 /dev/zero", "hook_failed"),
    ] {
        let ground = program(script).await;
        let (told, sentence) = ground.fails(&ground.plan(1, 1)).await;
        assert_eq!(told, code, "{script}");
        assert_eq!(sentence.contains("Not on Sundays."), code == "refused_by_hook", "{sentence}");
        assert_eq!(ground.names().await, Vec::<String>::new(), "nothing is made");
    }
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), "sleep 600".to_owned()];
    let late = Target::Command { argv, environment: Default::default() };
    let ground = asking(late, Duration::from_millis(300)).await;
    assert_eq!(ground.fails(&ground.plan(1, 1)).await.0, "hook_failed");
}

#[tokio::test]
async fn an_address_is_asked_and_one_that_is_down_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pods", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let (mut request, mut bytes) = (String::new(), [0; 4096]);
        while !request.ends_with("}}") {
            let count = peer.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "{request}");
            request += &String::from_utf8_lossy(&bytes[..count]);
        }
        let body = json!({ "patch": [{ "op": "replace", "path": "/spec/hostname", "value": "posted" }] }).to_string();
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        peer.write_all(reply.as_bytes()).await.unwrap();
        request
    });
    let ground = asking(Target::Webhook { url, secret: None }, Duration::from_secs(20)).await;
    ground.start(&ground.plan(1, 1)).await.unwrap();
    let pod = ground.pods().get("jupyter-user1").await.unwrap();
    assert_eq!(pod.spec.unwrap().hostname.as_deref(), Some("posted"));
    assert!(answering.await.unwrap().starts_with("POST /pods "));
    // Nobody listens there any more.
    assert_eq!(ground.fails(&ground.plan(2, 1)).await.0, "hook_failed");
}
