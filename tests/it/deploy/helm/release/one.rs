//! One hub on a volume: installed, used, upgraded.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::kubernetes::{Cluster, kubeconfig};
use tests::{need, place, until};

use super::super::super::{base, hub, run};
use super::super::helm;
use super::{PASSWORD, Release};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_installed_and_upgraded_while_people_work() -> Result<()> {
    let helm = helm!();
    let speaks = helm.command().arg("version").output()?.status.success();
    let helm = need!(speaks.then_some(helm), "the whole of Helm", "SPECOLA_REQUIRE_KUBERNETES");
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let lab = need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_KUBERNETES");
    let release = Release::of_one(&helm, &cluster, &hub()?, &lab)?;
    release.upgrade(&[]).with_context(|| release.state())?;
    // Images were fetched before anything else was made, and what did it has gone.
    let told = ["get", "events", "--field-selector", "involvedObject.kind=Job", "-o", "jsonpath={.items[*].reason}"];
    let told = cluster.kubectl(&told)?;
    ensure!(told.split(' ').any(|reason| reason == "Completed"), "{told}");
    ensure!(!cluster.kubectl(&["get", "daemonsets,jobs", "-o", "name"])?.contains("hook"), "{}", release.state());
    release.specola(&["user", "add", "ada", "--admin"], "")?;
    release.specola(&["user", "password", "ada"], &format!("{PASSWORD}\n"))?;

    // By one proxy somebody logs in and starts a server; by both it is reached.
    let proxies = release.proxies()?;
    assert_eq!(proxies.len(), 2, "{proxies:?}");
    let mut ada = tests::Session::new(&proxies[0])?;
    ada.log_in("ada", PASSWORD).await?.expect(&[302, 303])?;
    ada.start_server("ada").await.with_context(|| release.state())?;
    let mut pids = Vec::new();
    for proxy in &proxies {
        let said = ada.at(proxy)?.get("/user/ada/").await?.expect(&[200])?.json()?;
        assert_eq!((&said["user"], &said["uid"], &said["host"]), (&json!("ada"), &json!(1000), &json!("jupyter-ada")));
        pids.push(said["pid"].clone());
    }
    // What proxies say of people's addresses is believed, though nobody has named theirs.
    tests::Session::new(&proxies[1])?.log_in("ada", "wrong").await?;
    let token = ada.new_token("ada").await?;
    let acts = ada.with_token(&token).get("/hub/api/audit?action=login.failed").await?.expect(&[200])?.text();
    ensure!(acts.contains(&tests::docker::gateway()?), "{acts}");
    let started = cluster.kubectl(&["get", "pod", "jupyter-ada", "-o", "jsonpath={.metadata.uid}"])?;
    let secret = ["get", "secret", "hub", "-o", "jsonpath={.data}"];
    let before = cluster.kubectl(&secret)?;

    // What fetches images is waited for, with an end.
    let wait = |set: &str, seconds: &str| {
        let mut command = Command::new(place::binary()?);
        command.env("KUBECONFIG", kubeconfig().context("a cluster")?);
        command.args(["await-images", "--daemon-set", set, "--namespace", &cluster.namespace, "--timeout", seconds]);
        run(&mut command)
    };
    wait("continuous-image-puller", "120")?;
    let never = wait("another", "2").map(drop).unwrap_err().to_string();
    ensure!(never.contains("not all images were there within 2 seconds") && never.contains("another"), "{never}");

    // Another configuration: hub and proxies are replaced, the server and who is logged in are not, and no secret is new.
    // Of one image only the hub knows.
    let known = "hub.config.spawner.kubernetes.image_puller.extra_images[0]=kube-cluster-pause:local";
    let other = ["--set", "hub.config.pages.name=Observatory", "--set", "proxy.config.hsts_max_age=1", "--set", known];
    release.upgrade(&other)?;
    assert_eq!(cluster.kubectl(&secret)?, before);
    let others = release.proxies()?;
    ensure!(others.len() == 2 && others.iter().all(|proxy| !proxies.contains(proxy)), "{others:?} after {proxies:?}");
    let mut ada = ada.at(&others[0])?;
    let home = ada.get("/hub/home").await?.expect(&[200])?.text();
    ensure!(home.contains("Observatory"), "{home}");
    let said = ada.get("/user/ada/").await?.expect(&[200])?.json()?;
    assert_eq!(said["pid"], pids[0]);
    assert_eq!(cluster.kubectl(&["get", "pod", "jupyter-ada", "-o", "jsonpath={.metadata.uid}"])?, started);
    let fetched = async || {
        let images = "jsonpath={.spec.template.spec.containers[*].image}";
        let images = cluster.kubectl(&["get", "daemonset", "continuous-image-puller", "-o", images])?;
        Ok((images == format!("{lab}:latest kube-cluster-pause:local")).then_some(()))
    };
    until("the images that the hub says", SOON, fetched).await.with_context(|| release.state())?;
    // Helm changes what else it changes, and leaves them.
    release.upgrade(
        &[&other[..], &["--set", "prePuller.annotations.a=b", "--set", "prePuller.hook.enabled=false"]].concat(),
    )?;
    ensure!(fetched().await?.is_some(), "{}", release.state());
    ada.stop_server("ada").await.with_context(|| release.state())?;

    // The release goes; what nobody could make again stays.
    run(&mut release.command(&["uninstall", "here", "--wait"])?)?;
    assert_eq!(cluster.kubectl(&secret)?, before);
    Ok(())
}
