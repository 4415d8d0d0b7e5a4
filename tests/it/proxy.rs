//! The proxy as the hub's other half: it dies and is back, and it never waits for the hub.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::specola::Options;
use tests::{Specola, until};

/// The promise is one second; the deadline of the wait is for machines that are busy with other things.
const PROMISE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_killed_proxy_is_back_with_its_routes_within_a_second() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let mut fastest = Duration::MAX;
    // A busy machine can be slow once, not five times.
    for _ in 0..5 {
        let before = specola.proxy()?;
        before.kill();
        let began = Instant::now();
        until("answer through a new proxy", Duration::from_secs(20), async || {
            alice.get("/user/alice/x").await?.expect(&[200])?;
            Ok(Some(()))
        })
        .await?;
        fastest = fastest.min(began.elapsed());
        ensure!(specola.proxy()?.id != before.id, "the old proxy answers");
    }
    println!("the proxy was back in {fastest:?}");
    assert!(fastest < PROMISE, "it took {fastest:?} at best");
    alice.get("/hub/home").await?.expect(&[200])?;
    Ok(())
}

#[tokio::test]
async fn a_proxy_killed_while_the_hub_is_down_comes_back_with_the_hub() -> Result<()> {
    let mut specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    specola.kill_hub();
    specola.proxy()?.kill();
    specola.run().await?;
    until("route", Duration::from_secs(10), async || {
        alice.get("/user/alice/x").await?.expect(&[200])?;
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn servers_are_reached_while_the_hub_is_down_and_the_proxy_is_the_same_after() -> Result<()> {
    let mut specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let before = specola.proxy()?.id;
    specola.kill_hub();
    alice.get("/user/alice/x").await?.expect(&[200])?;
    let answer = alice.get("/hub/home").await?;
    assert!([502, 503].contains(&answer.status.as_u16()), "{}", answer.status);
    assert!(answer.text().contains("<html"), "no page for people: {}", answer.text());
    specola.run().await?;
    assert_eq!(specola.proxy()?.id, before);
    alice.get("/hub/home").await?.expect(&[200])?;
    Ok(())
}

#[tokio::test]
async fn a_stopped_hub_leaves_proxy_and_servers_for_the_next() -> Result<()> {
    let mut specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let (proxy, lab) = (specola.proxy()?.id, specola.labs().first().context("a lab")?.id);
    let status = specola.stop_hub()?;
    assert!(status.success(), "{status}");
    alice.get("/user/alice/x").await?.expect(&[200])?;
    specola.run().await?;
    assert_eq!(specola.proxy()?.id, proxy);
    assert_eq!(specola.labs().first().context("a lab")?.id, lab);
    alice.stop_server("alice").await
}
