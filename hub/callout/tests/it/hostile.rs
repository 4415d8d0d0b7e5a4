use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use callout::{Bounds, Callout, Target, Trouble};
use hub_core::secret::Secret;
use serde_json::{Map, Value, json};

use crate::server::Server;

const LIMIT: Duration = Duration::from_secs(20);

fn callout(target: Target, limit: Duration) -> Callout {
    Callout::new(target, Bounds { limit, answer_bytes: 10_000, at_once: 2 })
}

fn command(argv: &[&str], limit: Duration) -> Callout {
    let argv = argv.iter().map(|text| (*text).to_owned()).collect();
    callout(Target::Command { argv, environment: BTreeMap::from([("GIVEN".into(), "yes".into())]) }, limit)
}

async fn shell(script: &str) -> Result<Map<String, Value>, Trouble> {
    command(&["/bin/sh", "-c", script], LIMIT).ask(&json!({"call": "test"})).await
}

fn webhook(url: &str, limit: Duration) -> Callout {
    callout(Target::Webhook { url: url.to_owned(), secret: Some(Secret::new("wonderland")) }, limit)
}

#[tokio::test]
async fn a_program_answers_what_it_was_asked() {
    let answer = command(&["/bin/cat"], LIMIT).ask(&json!({"call": "test"})).await.unwrap();
    assert_eq!(Value::Object(answer), json!({"call": "test"}));
    assert_eq!(shell("true").await.unwrap().len(), 0, "saying nothing is an empty answer");
}

#[tokio::test]
async fn a_program_gets_nothing_of_the_hubs_environment() {
    let answer = shell(r#"printf '{"env": "%s"}' "$(env | cut -d= -f1 | sort | tr '\n' ' ')""#).await.unwrap();
    assert_eq!(answer["env"], "GIVEN LANG PATH PWD ");
}

#[tokio::test]
async fn a_program_that_does_not_read_a_long_question_may_answer() {
    let long = json!({"text": "x".repeat(1 << 20)});
    let answer = command(&["/bin/sh", "-c", "echo '{\"a\": 1}'"], LIMIT).ask(&long).await.unwrap();
    assert_eq!(answer["a"], 1);
}

#[tokio::test]
async fn what_is_not_an_answer_is_told_apart() {
    assert!(matches!(shell("echo certainly").await, Err(Trouble::Garbage { .. })));
    let failed = shell("echo '{}'; echo no such queue >&2; exit 3").await.unwrap_err();
    assert_eq!(failed.to_string(), "it ended with exit status: 3: no such queue");
    let killed = shell("kill -9 $$").await.unwrap_err();
    assert!(killed.to_string().contains("signal: 9"), "{killed}");
    let missing = command(&["/nowhere/hook"], LIMIT).ask(&json!({})).await.unwrap_err();
    assert!(matches!(missing, Trouble::NotStarted { .. }), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hook");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    let forbidden = command(&[file.to_str().unwrap()], LIMIT).ask(&json!({})).await.unwrap_err();
    assert!(forbidden.to_string().contains("Permission denied"), "{forbidden}");
}

#[tokio::test]
async fn an_endless_answer_ends_at_its_bound() {
    let began = Instant::now();
    assert!(matches!(shell("exec head -c 1000000000 /dev/zero").await, Err(Trouble::TooMuch(10_000))));
    assert!(matches!(shell("while :; do echo lots of words; done").await, Err(Trouble::TooMuch(10_000))));
    assert!(began.elapsed() < LIMIT);
    let noisy = shell("head -c 3000000 /dev/zero >&2; echo at last >&2; exit 1").await.unwrap_err();
    assert!(noisy.to_string().ends_with("at last") && noisy.to_string().len() < 3000, "{noisy}");
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pids");
    let script = format!("sleep 600 & echo $$ $! > {}; wait", note.display());
    let hanging = command(&["/bin/sh", "-c", &script], Duration::from_millis(500));
    assert!(matches!(hanging.ask(&json!({})).await, Err(Trouble::Late(_))));
    let pids = std::fs::read_to_string(&note).unwrap();
    for pid in pids.split_whitespace() {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_question_that_is_given_up_kills_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("pid");
    let script = format!("echo $$ > {}.new; mv {0}.new {0}; exec sleep 600", note.display());
    let hanging = command(&["/bin/sh", "-c", &script], LIMIT);
    tokio::select! {
        answer = async { hanging.ask(&json!({})).await } => panic!("{answer:?}"),
        () = appears(&note) => {}
    }
    gone(std::fs::read_to_string(&note).unwrap().trim()).await;
}

#[tokio::test]
async fn so_many_are_asked_at_once_and_others_wait() {
    let hanging = command(&["/bin/sleep", "600"], Duration::from_millis(800));
    let question = json!({});
    let (one, two, three) = tokio::join!(
        hanging.ask(&question),
        hanging.ask(&question),
        hanging.ask_within(&question, Duration::from_millis(200))
    );
    assert!(matches!((one, two), (Err(Trouble::Late(_)), Err(Trouble::Late(_)))));
    assert!(matches!(three, Err(Trouble::Busy(2))));
}

#[tokio::test]
async fn a_webhook_is_asked_with_a_signature_over_what_it_gets() {
    let mut server = Server::answering(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}".to_vec())).await;
    let answer = webhook(&server.url, LIMIT).ask(&json!({"call": "test"})).await.unwrap();
    assert_eq!(answer["a"], 1);
    let asked = server.asked().await;
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
    assert_eq!(body, r#"{"call":"test"}"#);
    let sent = head.lines().find_map(|line| line.strip_prefix("x-specola-signature: ")).unwrap();
    let seconds = sent.split(',').next().unwrap().trim_start_matches("t=").parse().unwrap();
    assert_eq!(sent, callout::signature(&Secret::new("wonderland"), seconds, body.as_bytes()));
}

#[tokio::test]
async fn a_webhook_that_misbehaves_is_no_answer() {
    let ask = async |reply: &[u8]| {
        let server = Server::answering(Some(reply.to_vec())).await;
        webhook(&server.url, LIMIT).ask(&json!({})).await
    };
    assert_eq!(ask(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap().len(), 0);
    let redirect = ask(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
    assert!(redirect.unwrap_err().to_string().contains("302 (redirects are not followed)"));
    for status in ["201 Created", "400 Bad Request", "500 Oops"] {
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
        assert!(matches!(ask(reply.as_bytes()).await, Err(Trouble::Status { .. })), "{status}");
    }
    assert!(matches!(ask(b"SSH-2.0-OpenSSH_9.2\r\n").await, Err(Trouble::Unreachable(_))));
    let cut = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}").await;
    assert!(matches!(cut, Err(Trouble::Unreachable(_))), "{cut:?}");
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(50_000, b' ');
    assert!(matches!(ask(&endless).await, Err(Trouble::TooMuch(10_000))));
}

#[tokio::test]
async fn a_webhook_that_is_down_or_silent_is_no_answer() {
    let down = webhook("http://127.0.0.1:9/hook", LIMIT).ask(&json!({})).await.unwrap_err();
    assert!(matches!(&down, Trouble::Unreachable(text) if text.contains("refused")), "{down}");
    let silent = Server::answering(None).await;
    let late = webhook(&silent.url, Duration::from_millis(300)).ask(&json!({})).await;
    assert!(matches!(late, Err(Trouble::Late(_))));
    let plain = Server::answering(Some(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())).await;
    let secure = plain.url.replace("http://", "https://");
    assert!(matches!(webhook(&secure, LIMIT).ask(&json!({})).await, Err(Trouble::Unreachable(_))));
}

async fn appears(file: &Path) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a process runs no more.
async fn gone(pid: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])) {
            return;
        }
        assert!(Instant::now() < deadline, "{pid} still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
