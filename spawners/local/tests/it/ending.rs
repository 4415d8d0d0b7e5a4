//! How servers end, by themselves and when they are told.

use std::time::Duration;

use hub_core::id::SpawnerId;
use serde_json::Value;
use spawners::{News, Sight, Spawner, Stop, contract};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, SERVER, end, look, pid, runs};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_tells_how_and_its_last_line() {
    let ground = Ground::new();
    let local = ground.open();
    let cases = [
        ("import sys; print('no such kernel'); sys.exit(3)", 3, "no such kernel"),
        ("import os; print('ouch'); os.kill(os.getpid(), 9)", -9, "signal 9"),
        ("import sys; sys.exit(0)", 0, "exit code 0"),
    ];
    for (program, expected, words) in cases {
        let (server, started) = ground.start(&local, program).await;
        contract::eventually("it has ended", || async {
            matches!(look(&local, &server, &started.state).await, Sight::Exited { .. })
        })
        .await;
        let Sight::Exited { code, reason } = look(&local, &server, &started.state).await else { panic!("not exited") };
        assert_eq!(code, Some(expected), "{program}");
        assert!(reason.contains(words), "{reason}");
        let elsewhere = look(&ground.open(), &server, &Value::Null).await;
        assert_eq!(elsewhere, Sight::Exited { code, reason }, "a hub that starts later knows it too");
        end(&local, &server, &started.state, false).await;
    }
}

/// Makes children that leave the session, and one that drops the mark as well.
const FAMILY: &str = r#"
import os, subprocess, sys, time
sleep = ["/bin/sleep", "600"]
same = subprocess.Popen(sleep)
kernel = subprocess.Popen(sleep, start_new_session=True)
bare = subprocess.Popen(sleep, env={})
print("family", same.pid, kernel.pid, bare.pid)
if "ignore" in sys.argv:
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf")
time.sleep(600)
"#;

async fn family(ground: &Ground, local: &spawner_local::Local, server: &spawners::Identity) -> Vec<i64> {
    let line = ground.says(local, server, "family").await;
    line.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_kernels_too() {
    for force in [false, true] {
        let ground = Ground::new();
        let local = ground.open();
        let (server, started) = ground.start(&local, FAMILY).await;
        let children = family(&ground, &local, &server).await;
        assert!(children.iter().all(|child| runs(*child)) && children.len() == 3, "{children:?}");
        end(&local, &server, &started.state, force).await;
        assert!(!runs(pid(&started.state)));
        assert!(!children.iter().any(|child| runs(*child)), "force: {force}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_server_left_is_cleared_away() {
    let ground = Ground::new();
    let local = ground.open();
    let (server, started) = ground.start(&local, FAMILY).await;
    let children = family(&ground, &local, &server).await;
    let main = nix::unistd::Pid::from_raw(pid(&started.state).try_into().unwrap());
    nix::sys::signal::kill(main, nix::sys::signal::SIGKILL).unwrap();
    contract::eventually("it has ended", || async {
        matches!(look(&local, &server, &started.state).await, Sight::Exited { code: Some(-9), .. })
    })
    .await;
    end(&local, &server, &started.state, false).await;
    assert!(!children.iter().any(|child| runs(*child)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_server_is_killed_in_the_end_even_when_hubs_change() {
    let mut ground = Ground::new();
    (ground.config.interrupt_timeout, ground.config.term_timeout) =
        (Duration::from_millis(300), Duration::from_millis(300));
    let local = ground.open();
    let mut plan = ground.python(1, 1, FAMILY);
    plan.args = vec!["ignore".into()];
    let started = local.start(&plan, &Value::Null, &contract::Paper::default()).await.unwrap();
    ground.says(&local, &plan.identity, "deaf").await;
    local.stop(&plan.identity, &started.state, Stop { force: false }).await.unwrap();
    assert_eq!(look(&local, &plan.identity, &started.state).await, Sight::Up { url: started.url.clone() });
    contract::eventually("it is gone", || async {
        let another = ground.open();
        another.stop(&plan.identity, &started.state, Stop { force: false }).await.unwrap();
        look(&another, &plan.identity, &started.state).await == Sight::Absent
    })
    .await;
    assert!(!runs(pid(&started.state)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_hears_of_a_death_at_once_whoever_started_the_server() {
    let ground = Ground::new();
    let (starter, adopter) = (ground.open(), ground.open());
    let (server, started) = ground.start(&starter, SERVER).await;
    let stop = CancellationToken::new();
    let (sender, mut nudges) = mpsc::channel(8);
    let (watcher, told) = (adopter.clone(), stop.clone());
    let task = tokio::spawn(async move { watcher.watch(sender, told).await });
    let main = nix::unistd::Pid::from_raw(pid(&started.state).try_into().unwrap());
    nix::sys::signal::kill(main, nix::sys::signal::SIGKILL).unwrap();
    let nudge = tokio::time::timeout(Duration::from_secs(30), nudges.recv()).await.unwrap();
    assert_eq!(nudge, Some(News::Look(SpawnerId(1))));
    assert!(matches!(look(&adopter, &server, &started.state).await, Sight::Exited { .. }));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_be_read_until_the_server_is_forgotten() {
    let ground = Ground::new();
    let local = ground.open();
    let (server, started) = ground.start(&local, "print('one'); print('two'); print('three')").await;
    ground.says(&local, &server, "three").await;
    assert_eq!(local.logs(&server, &started.state, 2).await.unwrap(), "two\nthree");
    end(&local, &server, &started.state, false).await;
    assert_eq!(local.logs(&server, &Value::Null, 1).await.unwrap(), "three");
    local.forget(&server, &Value::Null).await.unwrap();
    assert_eq!(local.logs(&server, &Value::Null, 1).await.unwrap(), "");
}
