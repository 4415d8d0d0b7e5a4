//! Hubs die at each named place of starts and stops while people start and stop servers; so do a proxy, the cluster's API
//! server, its kubelet and the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, try_join, try_join_all};
use tests::fake_kubernetes::{FakeKubernetes, Fault, How, Pace};
use tests::specola::Options;
use tests::{Replicas, Session, Specola, place, until};

use super::doors::Doors;
use super::people::{self, Tally, come_and_go, stay, stop};

const SOON: Duration = Duration::from_secs(180);
/// Who stays all the time.
const STEADY: usize = 2;

/// Where labs run.
enum Ground {
    Processes,
    Pods(Box<FakeKubernetes>),
}

impl Ground {
    /// How many labs there are, wanted or not.
    async fn labs(&self, replicas: &Replicas) -> Result<usize> {
        match self {
            Ground::Processes => Ok(replicas.labs()),
            Ground::Pods(cluster) => Ok(cluster.pods().await?.len()),
        }
    }
}

/// A hub dies at these places, one after another, and lives again in the end.
async fn die_at_each(mut hub: Specola, places: Vec<String>) -> Result<Specola> {
    for place in places {
        hub.kill_hub();
        hub.launch(&[("SPECOLA_BREAKPOINT", &place)])?;
        until("the end of a hub", SOON, async || hub.has_ended()).await.with_context(|| format!("at {place}"))?;
        ensure!(hub.log().contains(&format!("breakpoint {place} reached")), "at {place}: {}", hub.log());
    }
    hub.kill_hub();
    hub.launch(&[])?;
    Ok(hub)
}

/// Waits until some more servers have come and gone, or nobody begins anything more.
async fn some_more(tally: &Tally, number: u64) -> Result<()> {
    let wanted = tally.stops.load(Ordering::Relaxed) + number;
    let enough = || tally.is_over() || tally.stops.load(Ordering::Relaxed) >= wanted;
    until("servers that come and go", SOON, async || Ok(enough().then_some(()))).await
}

/// Waits while people ask, or nobody does any more.
async fn a_while(tally: &Tally) -> Result<()> {
    let wanted = tally.polls.load(Ordering::Relaxed) + 40;
    let enough = || tally.is_over() || tally.polls.load(Ordering::Relaxed) > wanted;
    until("a while", SOON, async || Ok(enough().then_some(()))).await
}

/// What goes wrong with a cluster, one after another, again and again.
async fn trouble(cluster: &FakeKubernetes, tally: &Tally) -> Result<u64> {
    let pods = "/api/v1/namespaces/labs/pods";
    let says = |code, reason: &str| How::says(code, reason, "it is not so well");
    let mut seen = 0;
    while !tally.is_over() {
        for fault in [
            Fault::new(format!("POST {pods}"), 3, says(429, "TooManyRequests")),
            Fault::new(format!("POST {pods}"), 2, says(500, "InternalError")),
            // Made, and the answer is lost.
            Fault::new(format!("POST {pods}"), 2, How::Loses),
            Fault::new(format!("DELETE {pods}"), 2, How::Loses),
            Fault::new(format!("GET {pods}"), 2, How::Late(700)),
        ] {
            cluster.fail(fault).await?;
        }
        some_more(tally, 3).await.context("with requests that fail")?;
        cluster.mend().await?;
        cluster.cut().await?;
        some_more(tally, 3).await.context("after watches were cut")?;
        cluster.forget().await?;
        cluster.cut().await?;
        some_more(tally, 3).await.context("after a watch had to begin anew")?;
        // The API server is away, then the kubelet: what was asked meanwhile is done after it.
        cluster.away(true).await?;
        a_while(tally).await?;
        cluster.away(false).await?;
        some_more(tally, 3).await.context("after the API server was away")?;
        cluster.idle(true).await?;
        a_while(tally).await?;
        cluster.idle(false).await?;
        some_more(tally, 3).await.context("after the kubelet did nothing")?;
        seen += 1;
    }
    Ok(seen)
}

/// A proxy dies while people come and go: no request fails but those in flight on it. The other goes on, and a new one leads to
/// the same labs.
async fn a_proxy_dies(replicas: &mut Replicas, doors: &Doors, tally: &Tally) -> Result<()> {
    some_more(tally, 3).await.context("before a proxy died")?;
    let mut proxy = replicas.proxies.remove(0);
    let (door, in_flight) = doors.death(&proxy.origin.clone(), || proxy.kill())?;
    some_more(tally, 3).await.context("after a proxy had died")?;
    let heir = replicas.new_proxy("heir")?;
    heir.is_ready().await?;
    doors.add(heir.origin.clone());
    replicas.proxies.push(heir);
    some_more(tally, 3).await.context("with a new proxy")?;
    let cut = door.cut.load(Ordering::SeqCst);
    println!(
        "a proxy died with {in_flight} requests in flight: {cut} of them failed, and {} by the balancer",
        doors.cut_at_front()
    );
    ensure!(cut <= in_flight, "{cut} requests failed, {in_flight} were in flight");
    Ok(())
}

/// Two of three hubs die at every place, and a proxy among them; then the database dies. Nothing is lost.
async fn everything_dies(options: Options, ground: Ground) -> Result<()> {
    let Some(mut replicas) = super::replicas(options).await? else { return Ok(()) };
    let names: Vec<String> = (0..super::crowd() + STEADY).map(|number| format!("person{number}")).collect();
    let sessions = people::people(&replicas.origin, &names).await?;
    let origins = replicas.proxies.iter().map(|proxy| proxy.origin.clone()).collect();
    let doors = Doors::new(origins, Some(replicas.origin.clone()));
    let everybody: Vec<(Session, String)> = sessions.into_iter().zip(names).collect();
    let (steady, others) = everybody.split_at(STEADY);
    let tally = Arc::new(Tally::default());
    for (session, name) in steady {
        people::start(&mut session.clone(), name, &tally).await?;
    }
    let mut work: Vec<LocalBoxFuture<'static, Result<()>>> = Vec::new();
    for (session, name) in steady {
        work.push(stay(session.clone(), name.clone(), doors.clone(), tally.clone()).boxed_local());
    }
    for (session, name) in others {
        work.push(come_and_go(session.clone(), name.clone(), doors.clone(), tally.clone()).boxed_local());
    }
    let mut work = try_join_all(work);
    let troubled = async {
        match &ground {
            Ground::Pods(cluster) => trouble(cluster, &tally).await,
            Ground::Processes => Ok(0),
        }
    };
    let places = place::breakpoints()?;
    let deaths = async {
        // Two of the three die again and again; the third has to do.
        let (first, second) = places.split_at(places.len() / 2);
        let (one, two) = (replicas.hubs.remove(0), replicas.hubs.remove(0));
        let hubs = try_join(die_at_each(one, first.to_vec()), die_at_each(two, second.to_vec()));
        let ((one, two), ()) = try_join(hubs, a_proxy_dies(&mut replicas, &doors, &tally)).await?;
        replicas.hubs.splice(..0, [one, two]);
        for number in 0..3 {
            replicas.answers(number).await?;
        }
        replicas.database.kill();
        let again = tally.again.load(Ordering::Relaxed);
        until("a request that is told to come again", SOON, async || {
            Ok((tally.again.load(Ordering::Relaxed) > again).then_some(()))
        })
        .await?;
        replicas.database.run()?;
        some_more(&tally, 3).await.context("after the database had died")?;
        tally.end();
        Ok(())
    };
    let (rounds, over) = {
        let mut done = std::pin::pin!(try_join(deaths, troubled));
        tokio::select! {
        done = &mut done => (done?.1, false),
        // Nobody ends before the deaths do, but with an error; the troubles may be over later than people are.
        ended = &mut work => {
            ended?;
            ensure!(tally.is_over(), "somebody left");
            (done.await?.1, true)
        }
        }
    };
    if let Ground::Pods(cluster) = &ground {
        cluster.mend().await?;
    }
    if !over {
        work.await?;
    }
    // Who stayed is there, and nobody else.
    until("those who stay, and no other lab", SOON, async || {
        let labs = ground.labs(&replicas).await?;
        ensure!(labs == STEADY, "{labs} labs run");
        Ok(Some(()))
    })
    .await?;
    for (session, name) in steady {
        doors.visit(session, name).await?;
    }
    try_join_all(everybody.iter().map(|(session, name)| {
        let (mut session, tally) = (session.clone(), tally.clone());
        async move { stop(&mut session, name, &tally).await }
    }))
    .await?;
    until("no lab", SOON, async || Ok((ground.labs(&replicas).await? == 0).then_some(()))).await?;
    let told = |number: &AtomicU64| number.load(Ordering::Relaxed);
    println!(
        "{} people, {} deaths of hubs, {rounds} rounds of trouble: {} starts, {} stops, {} requests sent again, {} visits to labs that stayed",
        everybody.len(),
        places.len(),
        told(&tally.starts),
        told(&tally.stops),
        told(&tally.again),
        told(&tally.steady)
    );
    ensure!(told(&tally.starts) >= places.len() as u64 && told(&tally.starts) == told(&tally.stops));
    Ok(())
}

#[tokio::test]
async fn hubs_that_die_at_every_place_lose_no_server_and_fail_no_request_to_a_lab() -> Result<()> {
    everything_dies(Options::default().small_lab("quick.py")?, Ground::Processes).await
}

#[tokio::test]
async fn with_pods_nothing_is_lost_either_when_the_cluster_has_its_own_troubles() -> Result<()> {
    let cluster = FakeKubernetes::start(Pace::default()).await?;
    let options = cluster.options();
    everything_dies(options, Ground::Pods(Box::new(cluster))).await
}
