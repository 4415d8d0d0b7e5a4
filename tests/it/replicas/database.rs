//! The database of three hubs goes away in each of its ways: requests wait or are told when to come again, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, try_join_all};
use http::Method;
use tests::specola::Options;
use tests::{Body, Replicas, Session, until};

use super::doors::Doors;
use super::people::{self, Tally, come_and_go, count, stay, stop};
use super::{SOON, absence};

const PEOPLE: usize = 6;

/// Asks who somebody is, as labs do all the time, and a page: an answer is right, or says when to come again.
async fn watch(session: Session, browser: Session, tally: Arc<Tally>, refused: Arc<AtomicU64>) -> Result<()> {
    let (mut session, mut browser) = (session, browser);
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    while !tally.is_over() {
        beat.tick().await;
        let model = session.api(Method::GET, "/user", Body::Empty).await?;
        let page = browser.get("/hub/home").await?;
        for answer in [model, page] {
            match answer.status.as_u16() {
                200 => {}
                503 if answer.headers.contains_key("retry-after") => count(&refused),
                _ => anyhow::bail!("answered {}: {:?} {}", answer.status, answer.headers, answer.text()),
            }
        }
    }
    Ok(())
}

/// Waits until everybody has come and gone once more.
async fn all_goes_on(tally: &Tally) -> Result<()> {
    let before = tally.stops.load(Ordering::Relaxed);
    let more = before + 2 * PEOPLE as u64;
    until("servers that start and stop", SOON, async || Ok((tally.stops.load(Ordering::Relaxed) >= more).then_some(())))
        .await
}

async fn let_it_go_away(replicas: &mut Replicas, tally: &Tally, refused: &AtomicU64) -> Result<()> {
    all_goes_on(tally).await.context("at first")?;

    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
               AND backend_type = 'client backend'";
    for _ in 0..5 {
        replicas.database.sql(cut)?;
        all_goes_on(tally).await.context("after its connections were cut")?;
    }

    // As a server that became a standby: what it is told to write it refuses.
    let mut admin = Session::logged_in(&replicas.origin, "admin", tests::jupyterhub::PASSWORD).await?;
    replicas.database.sql("ALTER SYSTEM SET default_transaction_read_only = on")?;
    replicas.database.sql("SELECT pg_reload_conf()")?;
    let writes = refused.load(Ordering::Relaxed);
    // Everybody else may be waiting for a server by now.
    until("a write that is refused", SOON, async || {
        let answer = admin.api(Method::POST, "/users/admin/tokens", Body::Empty).await?;
        Ok((answer.status == 503 && answer.headers.contains_key("retry-after")).then_some(()))
    })
    .await?;
    let polls = tally.polls.load(Ordering::Relaxed);
    until("a while", SOON, async || Ok((tally.polls.load(Ordering::Relaxed) > polls + 40).then_some(()))).await?;
    replicas.database.sql("ALTER SYSTEM SET default_transaction_read_only = off")?;
    replicas.database.sql("SELECT pg_reload_conf()")?;
    all_goes_on(tally).await.context("after it was read-only")?;
    println!("read-only: {} reads refused", refused.load(Ordering::Relaxed) - writes);

    let before = refused.load(Ordering::Relaxed);
    replicas.database.kill();
    let back = Instant::now() + absence();
    until("the end of its absence", absence() + SOON, async || Ok((Instant::now() > back).then_some(()))).await?;
    replicas.database.run()?;
    let since = Instant::now();
    all_goes_on(tally).await.context("after it was gone")?;
    let told = refused.load(Ordering::Relaxed) - before;
    println!(
        "gone for {:?}: {told} requests told to come again; everybody went on {:?} after it",
        absence(),
        since.elapsed()
    );
    ensure!(told > 0, "nobody noticed");
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_cut_read_only_or_gone_costs_a_wait_and_nothing_else() -> Result<()> {
    let Some(mut replicas) = super::replicas(Options::default().small_lab("quick.py")?).await? else { return Ok(()) };
    let names: Vec<String> = (0..PEOPLE + 1).map(|number| format!("person{number}")).collect();
    let sessions = people::people(&replicas.origin, &names).await?;
    let browser = Session::logged_in(&replicas.origin, &names[0], tests::jupyterhub::PASSWORD).await?;
    let doors = Doors::new(replicas.proxies.iter().map(|proxy| proxy.origin.clone()).collect(), None);
    let (tally, refused) = (Arc::new(Tally::default()), Arc::new(AtomicU64::new(0)));
    let mut everybody = sessions.into_iter().zip(names);
    let (steady, name) = everybody.next().context("somebody who stays")?;
    people::start(&mut steady.clone(), &name, &tally).await?;
    let mut work: Vec<LocalBoxFuture<'static, Result<()>>> = vec![
        stay(steady.clone(), name.clone(), doors.clone(), tally.clone()).boxed_local(),
        watch(steady.clone(), browser, tally.clone(), refused.clone()).boxed_local(),
    ];
    for (session, name) in everybody {
        work.push(come_and_go(session, name, doors.clone(), tally.clone()).boxed_local());
    }
    let mut work = try_join_all(work);
    tokio::select! {
        done = let_it_go_away(&mut replicas, &tally, &refused) => done?,
        ended = &mut work => return Err(ended.err().context("somebody left")?),
    }
    tally.end();
    work.await?;
    ensure!(replicas.labs() == 1, "{} labs run", replicas.labs());
    stop(&mut steady.clone(), &name, &tally).await?;
    until("no lab", SOON, async || Ok((replicas.labs() == 0).then_some(()))).await?;
    ensure!(tally.starts.load(Ordering::Relaxed) == tally.stops.load(Ordering::Relaxed));
    Ok(())
}
