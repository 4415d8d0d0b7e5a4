//! Hubs die at each named place of starts and stops while people start and stop servers; so do a proxy, the cluster's API
//! server, its kubelet and the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, try_join, try_join_all};
use http::Method;
use tests::docker::image;
use tests::fake_kubernetes::{FakeKubernetes, Pace};
use tests::kubernetes::{Cluster, Trouble, kubeconfig};
use tests::specola::Options;
use tests::{Body, Replicas, Session, Specola, need, place, until};

use super::doors::Doors;
use super::ground::{Ground, Real, some_more};
use super::people::{self, Tally, come_and_go, stay, stop};
use super::{SOON, patience};

/// Who stays all the time.
const STEADY: usize = 2;
/// How often all goes wrong that can with a cluster, at least.
const ROUNDS: u64 = 2;

/// A hub dies at these places, one after another, and lives again in the end.
async fn die_at_each(mut hub: Specola, places: Vec<String>) -> Result<Specola> {
    for place in places {
        hub.kill_hub();
        hub.launch(&[("SPECOLA_BREAKPOINT", &place)])?;
        until("the end of a hub", patience(), async || hub.has_ended()).await.with_context(|| format!("at {place}"))?;
        ensure!(hub.log().contains(&format!("breakpoint {place} reached")), "at {place}: {}", hub.log());
    }
    hub.kill_hub();
    hub.launch(&[])?;
    Ok(hub)
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
async fn everything_dies(options: Options, ground: Ground, names: Vec<String>) -> Result<()> {
    let Some(mut replicas) = super::replicas(options).await? else { return Ok(()) };
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
    let troubled = ground.trouble(&tally);
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
        ground.rounds(&tally, ROUNDS).await?;
        tally.end();
        Ok(())
    };
    let over = {
        let mut done = std::pin::pin!(try_join(deaths, troubled));
        tokio::select! {
            done = &mut done => done.map(|_| false)?,
            // Nobody ends before the deaths do, but with an error; the troubles may be over later than people are.
            ended = &mut work => {
                ended?;
                ensure!(tally.is_over(), "somebody left");
                done.await.map(|_| true)?
            }
        }
    };
    ground.mend().await?;
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
    nothing_is_left(&replicas, &ground, &everybody).await?;
    let told = |number: &AtomicU64| number.load(Ordering::Relaxed);
    println!(
        "{} people, {} deaths of hubs, {} rounds of trouble: {} starts, {} stops, {} requests sent again, {} visits to labs that stayed",
        everybody.len(),
        places.len(),
        told(&tally.rounds),
        told(&tally.starts),
        told(&tally.stops),
        told(&tally.again),
        told(&tally.steady)
    );
    ensure!(told(&tally.starts) >= places.len() as u64 && told(&tally.starts) == told(&tally.stops));
    Ok(())
}

/// What people had goes with them, and there is nothing else.
async fn nothing_is_left(replicas: &Replicas, ground: &Ground, everybody: &[(Session, String)]) -> Result<()> {
    let mut admin = Session::logged_in(&replicas.origin, "admin", tests::jupyterhub::PASSWORD).await?;
    for (_, name) in everybody {
        admin.api(Method::DELETE, &format!("/users/{name}"), Body::Empty).await?.expect(&[204])?;
    }
    until("a cluster without anything of theirs", SOON, async || {
        let left = ground.things().await?;
        ensure!(left.is_empty(), "{left:?} are left");
        Ok(Some(()))
    })
    .await
}

/// Those who stay, and so many others.
fn names(crowd: usize) -> Vec<String> {
    (0..crowd + STEADY).map(|number| format!("person{number}")).collect()
}

#[tokio::test]
async fn hubs_that_die_at_every_place_lose_no_server_and_fail_no_request_to_a_lab() -> Result<()> {
    everything_dies(Options::default().small_lab("quick.py")?, Ground::Processes, names(super::crowd(6))).await
}

#[tokio::test]
async fn with_pods_nothing_is_lost_either_when_the_cluster_has_its_own_troubles() -> Result<()> {
    let cluster = FakeKubernetes::start(Pace::default()).await?;
    let options = cluster.options();
    everything_dies(options, Ground::Pods(Box::new(cluster)), names(super::crowd(6))).await
}

#[tokio::test]
async fn nor_when_parts_of_a_real_cluster_are_killed() -> Result<()> {
    let kubeconfig = need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES");
    let trouble = need!(Trouble::new(), "a program that kills its parts", "SPECOLA_REQUIRE_CLUSTER_TROUBLE");
    let image = need!(image(), "a Docker engine", "SPECOLA_REQUIRE_KUBERNETES");
    let names = names(super::crowd(12));
    let real = Real::new(trouble, Cluster::new(&kubeconfig)?, &names)?;
    let options = real.options(&image)?;
    everything_dies(options, Ground::Cluster(Box::new(real)), names).await
}
