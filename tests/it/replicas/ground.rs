//! Where labs run while everything dies, and what goes wrong there meanwhile.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::fake_kubernetes::{FakeKubernetes, Fault, How};
use tests::kubernetes::{Cluster, Trouble, Volumes};
use tests::specola::Options;
use tests::{Replicas, until};

use super::people::{Tally, count};
use super::{SOON, absence, crowd, patience};

/// Where labs run.
pub enum Ground {
    Processes,
    Pods(Box<FakeKubernetes>),
    Cluster(Box<Real>),
}

/// A real cluster, whose parts die.
pub struct Real {
    // Fields are dropped in this order: what was killed lives again before the rest is taken away.
    trouble: Trouble,
    cluster: Cluster,
    volumes: Volumes,
}

impl Real {
    /// With storage for these people.
    pub fn new(trouble: Trouble, cluster: Cluster, people: &[String]) -> Result<Real> {
        let claims: Vec<String> = people.iter().map(|name| format!("claim-{name}")).collect();
        let volumes = cluster.volumes(&claims)?;
        Ok(Real { trouble, cluster, volumes })
    }

    /// Hubs whose labs are pods of it, each person with a claim.
    pub fn options(&self, image: &str) -> Result<Options> {
        let home = r#"{ name = "home", persistentVolumeClaim = { claimName = "{pvc_name}" } }, "#;
        let mount = r#"{ name = "home", mountPath = "/home/jovyan" }, "#;
        let first = |more: &'static str| move |list: String| list.replacen('[', &format!("[{more}"), 1);
        let driver = "spawner.kubernetes";
        // A machine starts pods one after another.
        let patience = 150.max(10 * self.volumes.number);
        Ok(self
            .cluster
            .options(image)?
            .set("hub", "hub_ip", "\"127.0.0.1\"")
            .set("spawner", "start_timeout", &patience.to_string())
            .set("spawner", "http_timeout", &patience.to_string())
            .set(driver, "storage_pvc_ensure", "true")
            .set(driver, "storage_capacity", "\"1Gi\"")
            .map(driver, "volumes", first(home))
            .map(driver, "volume_mounts", first(mount)))
    }
}

/// Waits until some more servers have come and gone, or nobody begins anything more.
pub async fn some_more(tally: &Tally, number: u64) -> Result<()> {
    let wanted = tally.stops.load(Ordering::Relaxed) + number;
    let enough = || tally.is_over() || tally.stops.load(Ordering::Relaxed) >= wanted;
    until("servers that come and go", patience(), async || Ok(enough().then_some(()))).await
}

/// Waits while people ask, or nobody does any more.
async fn a_while(tally: &Tally) -> Result<()> {
    let wanted = tally.polls.load(Ordering::Relaxed) + 40;
    let enough = || tally.is_over() || tally.polls.load(Ordering::Relaxed) > wanted;
    until("a while", SOON, async || Ok(enough().then_some(()))).await
}

impl Ground {
    /// How many labs there are, wanted or not.
    pub async fn labs(&self, replicas: &Replicas) -> Result<usize> {
        match self {
            Ground::Processes => Ok(replicas.labs()),
            Ground::Pods(cluster) => Ok(cluster.pods().await?.len()),
            Ground::Cluster(real) => Ok(real.cluster.pods()?.len()),
        }
    }

    /// What servers have there, or had.
    pub async fn things(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        match self {
            Ground::Processes => {}
            Ground::Pods(cluster) => {
                for kind in ["pods", "services", "secrets", "persistentvolumeclaims"] {
                    all.extend(cluster.names(kind).await?);
                }
            }
            Ground::Cluster(real) => all = real.cluster.things()?,
        }
        Ok(all)
    }

    /// What goes wrong, one after another, again and again, until people have come to an end.
    pub async fn trouble(&self, tally: &Tally) -> Result<()> {
        while !tally.is_over() {
            match self {
                Ground::Processes => return Ok(()),
                Ground::Pods(cluster) => faults(cluster, tally).await?,
                Ground::Cluster(real) => deaths(&real.trouble, tally).await?,
            }
            count(&tally.rounds);
        }
        Ok(())
    }

    /// Waits until all that goes wrong there did so often.
    pub async fn rounds(&self, tally: &Tally, number: u64) -> Result<()> {
        let enough = || matches!(self, Ground::Processes) || tally.rounds.load(Ordering::Relaxed) >= number;
        until("what goes wrong", 4 * patience(), async || Ok(enough().then_some(()))).await
    }

    /// Nothing goes wrong any more.
    pub async fn mend(&self) -> Result<()> {
        match self {
            Ground::Pods(cluster) => cluster.mend().await,
            Ground::Processes | Ground::Cluster(_) => Ok(()),
        }
    }
}

async fn faults(cluster: &FakeKubernetes, tally: &Tally) -> Result<()> {
    let pods = "/api/v1/namespaces/labs/pods";
    let says = |code, reason: &str| How::says(code, reason, "it is not so well");
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
    some_more(tally, 3).await.context("after the kubelet did nothing")
}

/// Each part of a cluster is killed while people come and go. Labs are visited meanwhile, and what was asked is done after it.
async fn deaths(trouble: &Trouble, tally: &Tally) -> Result<()> {
    // Where many wait for one machine, more have to get on before the next part dies.
    let some = 3.max(crowd(12) as u64 / 6);
    for part in ["api-server", "kubelet", "etcd"] {
        let visits = tally.steady.load(Ordering::Relaxed);
        trouble.stop(part).await?;
        let back = Instant::now() + absence();
        let enough = || tally.is_over() || Instant::now() > back;
        until("the end of its absence", absence() + Duration::from_secs(60), async || Ok(enough().then_some(())))
            .await?;
        let visited = tally.steady.load(Ordering::Relaxed) - visits;
        ensure!(visited > 0 || tally.is_over(), "no lab was visited without the {part}");
        trouble.start(part).await?;
        some_more(tally, some).await.with_context(|| format!("after the {part} had died"))?;
    }
    Ok(())
}
