//! Hubs are replaced one after another while people work, by the same program, by a newer one, and by the older one again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, try_join_all};
use tests::specola::Options;
use tests::{Replicas, until};

use super::Alone;
use super::doors::Doors;
use super::people::{self, Tally, come_and_go, stay, stop};

/// A hub is told to stop, and one of this program begins in its place.
async fn replace(replicas: &mut Replicas, number: usize, program: Option<&Path>, tally: &Tally) -> Result<()> {
    let before = tally.stops.load(Ordering::Relaxed);
    let hub = replicas.hubs.get_mut(number).context("a hub")?;
    hub.ask_to_stop()?;
    let ended = until("the end of a hub", Duration::from_secs(30), async || hub.has_ended()).await?;
    ensure!(ended.success(), "{ended}: {}", hub.log());
    hub.forget_ended();
    hub.run_as(program);
    hub.launch(&[])?;
    replicas.answers(number).await?;
    until("servers that start and stop", Duration::from_secs(60), async || {
        Ok((tally.stops.load(Ordering::Relaxed) > before + 4).then_some(()))
    })
    .await
}

/// Hubs give way to others, in this order, while servers come and go; no request fails.
async fn roll(mut replicas: Alone, turns: &[(usize, Option<&Path>)]) -> Result<()> {
    let names: Vec<String> = (0..5).map(|number| format!("person{number}")).collect();
    let sessions = people::people(&replicas.origin, &names).await?;
    let doors = Doors::new(replicas.proxies.iter().map(|proxy| proxy.origin.clone()).collect(), None);
    let tally = Arc::new(Tally::default());
    let mut everybody = sessions.into_iter().zip(names);
    let (mut steady, name) = everybody.next().context("somebody who stays")?;
    people::start(&mut steady, &name, &tally).await?;
    let mut work: Vec<LocalBoxFuture<'static, Result<()>>> =
        vec![stay(steady.clone(), name.clone(), doors.clone(), tally.clone()).boxed_local()];
    for (session, name) in everybody {
        work.push(come_and_go(session, name, doors.clone(), tally.clone()).boxed_local());
    }
    let mut work = try_join_all(work);
    let replaced = async {
        for (number, program) in turns {
            replace(&mut replicas, *number, *program, &tally)
                .await
                .with_context(|| format!("{number}: {program:?}"))?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        done = replaced => done?,
        ended = &mut work => return Err(ended.err().context("somebody left")?),
    }
    tally.end();
    work.await?;
    let again = tally.again.load(Ordering::Relaxed);
    ensure!(again == 0, "{again} requests failed, or were told to come again");
    stop(&mut steady, &name, &tally).await
}

/// Longer than the balancer takes to see it.
fn options() -> Result<Options> {
    Ok(Options::default().small_lab("quick.py")?.set("hub", "stop_delay", "1"))
}

#[tokio::test]
async fn hubs_are_replaced_one_after_another_and_no_request_fails() -> Result<()> {
    let Some(replicas) = super::replicas(options()?).await? else { return Ok(()) };
    roll(replicas, &[(0, None), (1, None), (2, None)]).await
}

/// `SPECOLA_OLDER` names a hub of before: this one is brought in beside it, with its tables, and taken out again.
#[tokio::test]
async fn hubs_of_an_older_program_give_way_to_this_one_and_come_back() -> Result<()> {
    let Some(older) = std::env::var_os("SPECOLA_OLDER").map(PathBuf::from) else {
        eprintln!("SKIPPED: SPECOLA_OLDER names no program of before");
        return Ok(());
    };
    let older = Some(older.as_path());
    let Some(replicas) = super::replicas(options()?.program(older)).await? else { return Ok(()) };
    roll(replicas, &[(0, None), (1, None), (0, older), (0, None), (2, None), (1, older)]).await
}
