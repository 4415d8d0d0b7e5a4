//! Events instead of waiting.

use std::time::Duration;

use hub_core::clock::{Clock, SystemClock};
use hub_core::id::SpawnerId;
use serde_json::Value;
use spawners::{MemoryFull, News, Sight, Spawner, contract};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, docker, ground};

/// How the kernel tells of the end of what it killed for memory, and what a program does about it.
const SURVIVE: &str = r#"
import os, signal, subprocess, sys
eat = "eaten = []\nwhile True: eaten.append(bytearray(b'x') * (8 << 20))"
signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
signal.signal(signal.SIGUSR2, lambda *_: os._exit(3))
print("eaten up", subprocess.call([sys.executable, "-c", eat]), flush=True)
while True: signal.pause()
"#;

struct Listener {
    news: mpsc::Receiver<News>,
    stop: CancellationToken,
    watching: JoinHandle<()>,
}

impl Listener {
    fn of(ground: &Ground) -> Listener {
        let (sender, news) = mpsc::channel(64);
        let (driver, stop) = (ground.driver(), CancellationToken::new());
        let stopped = stop.clone();
        Listener { news, stop, watching: tokio::spawn(async move { driver.watch(sender, stopped).await }) }
    }

    async fn until(&mut self, wanted: impl Fn(&News) -> bool) -> News {
        let heard = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let news = self.news.recv().await.expect("it listens");
                if wanted(&news) {
                    return news;
                }
            }
        });
        heard.await.expect("news within 30 seconds")
    }

    async fn end(self) {
        self.stop.cancel();
        self.watching.await.unwrap();
    }
}

#[tokio::test]
async fn the_end_of_a_server_is_noticed_at_once() {
    let Some(ground) = ground() else { return };
    ground.start(&ground.plan(7, 1)).await.unwrap();
    let mut listener = Listener::of(&ground);
    // Another server's start shows that the engine is listened to.
    ground.start(&ground.plan(8, 1)).await.unwrap();
    listener.until(|news| *news == News::Look(SpawnerId(8))).await;
    while listener.news.try_recv().is_ok() {}
    docker(&["kill", &format!("{}-user7", ground.hub)]);
    listener.until(|news| *news == News::Look(SpawnerId(7))).await;
    listener.end().await;
}

/// Starts a server that survives the end of a process in it, and waits for that end. Gives its container.
async fn survivor(ground: &Ground, row: i64) -> (spawners::Plan, String) {
    let mut plan = ground.plan_of(row, 1, &["python3", "-c", SURVIVE]);
    plan.mem_limit = Some(64 << 20);
    ground.start(&plan).await.unwrap();
    ground.says(&plan, "eaten up -9").await;
    (plan, format!("{}-user{row}", ground.hub))
}

async fn ended(ground: &Ground, plan: &spawners::Plan) -> Option<(Option<i32>, String)> {
    match ground.driver().look(&plan.identity, &Value::Null).await {
        Ok(Sight::Exited { code, reason }) => Some((code, reason)),
        _ => None,
    }
}

/// As the kernel of a notebook is, while JupyterLab lives.
#[tokio::test]
async fn a_process_that_was_killed_for_memory_is_told_while_its_server_lives_on() {
    let Some(ground) = ground() else { return };
    let mut listener = Listener::of(&ground);
    let begun = SystemClock.now();
    let (plan, container) = survivor(&ground, 5).await;
    let is_it = |news: &News| matches!(news, News::MemoryFull(_));
    let News::MemoryFull(told) = listener.until(is_it).await else { unreachable!() };
    let MemoryFull { server, kept, at, limit } = &told;
    assert_eq!((server, *kept, *limit), (&plan.identity, false, Some(64 << 20)));
    assert!(begun <= *at && *at <= SystemClock.now(), "{begun} {at}");
    assert!(matches!(ground.driver().look(&plan.identity, &Value::Null).await, Ok(Sight::Up { .. })));
    listener.end().await;

    // Who comes later hears of it as well: no hub may have been there.
    let mut listener = Listener::of(&ground);
    assert_eq!(listener.until(is_it).await, News::MemoryFull(told));
    listener.end().await;

    // The engine's flag sticks to the container, and says nothing of how it ends.
    docker(&["kill", "--signal", "USR1", &container]);
    contract::eventually("the server has ended", || async { ended(&ground, &plan).await.is_some() }).await;
    let flag = docker(&["inspect", "--format", "{{.State.OOMKilled}}", &container]);
    assert_eq!(flag, "true", "what this is about");
    assert_eq!(ended(&ground, &plan).await, Some((Some(0), "It ended by itself, without an error.".to_owned())));
}

#[tokio::test]
async fn an_end_long_after_the_memory_was_full_is_no_end_by_memory() {
    let Some(ground) = ground() else { return };
    let cases =
        [(1, "USR2", Some(3), "It ended with exit code 3."), (2, "KILL", Some(-9), "It was killed from outside.")];
    let mut servers = Vec::new();
    for (row, ..) in &cases {
        servers.push(survivor(&ground, *row).await);
    }
    let later = SystemClock.now() + Duration::from_secs(4);
    contract::eventually("it is long after", || async { SystemClock.now() > later }).await;
    for ((_, signal, code, reason), (plan, container)) in cases.into_iter().zip(&servers) {
        docker(&["kill", "--signal", signal, container]);
        contract::eventually("the server has ended", || async { ended(&ground, plan).await.is_some() }).await;
        assert_eq!(ended(&ground, plan).await, Some((code, reason.to_owned())), "{signal}");
    }
}
