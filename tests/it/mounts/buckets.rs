//! Buckets as folders of labs that are processes: signed in at a provider, keys by STS, real rclone.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::object_store::{Moto, Tools, Veil, tools};
use tests::specola::Options;
use tests::{Body, Provider, need, provider, until};

use super::ground::{Disk, PATIENCE, Store, home_says, possible};
use super::{in_lab, says};
use crate::oidc::House;
use crate::oidc::fresh::with_agent;

/// A hub on moto whose labs are processes; their folders are in `s3` of the disk.
async fn house(tools: &Tools, provider: Provider, moto: &Moto, disk: &Disk, more: Options) -> Result<House> {
    let target = disk.path("s3").display().to_string();
    let options = Options::default().small_lab("quick.py")?.and(disk.options(&target)).and(more);
    Store::moto(tools, moto).house(provider, &target, options).await
}

fn at(disk: &Disk, name: &str) -> String {
    disk.path("s3").join(name).display().to_string()
}

#[tokio::test]
async fn buckets_are_folders_by_group_and_their_health_is_on_the_home_page() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    if !possible() {
        return Ok(());
    }
    let moto = Moto::start(&tools).await?;
    let disk = Disk::new()?;
    let house = house(&tools, Provider::start(&installed).await?, &moto, &disk, Options::default()).await?;
    let mut anna = house.signed_in("anna").await?;
    let mut bob = house.signed_in("bob").await?;
    anna.start_server("anna").await?;
    bob.start_server("bob").await?;
    let list = |name: &str| says(&house.specola, name, &format!("ls {}", disk.path("s3").display()));
    assert_eq!(list("anna")?, "anna\ncygno\nscratch");
    assert_eq!(list("bob")?, "bob\nscratch");
    home_says(&mut anna, "All saved in the store").await?;
    says(&house.specola, "anna", &format!("echo hers > {}", at(&disk, "scratch/anna")))?;
    until("her file in his folder", PATIENCE, async || {
        Ok((says(&house.specola, "bob", &format!("cat {} || true", at(&disk, "scratch/anna")))? == "hers")
            .then_some(()))
    })
    .await?;
    // A helper that dies is told of, if at all, for a moment: the folder comes back by itself.
    disk.kill_helpers();
    until("her folder back", PATIENCE, async || {
        Ok((says(&house.specola, "anna", &format!("cat {} || true", at(&disk, "scratch/anna")))? == "hers")
            .then_some(()))
    })
    .await?;
    let log = house.specola.log();
    for (browser, name) in [(&mut anna, "anna"), (&mut bob, "bob")] {
        browser.stop_server(name).await?;
        browser.server_stopped(name).await?;
    }
    disk.is_clean().await?;
    assert!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// By the word of the agent in the lab, which is taken from the lab alone, and for what it is.
#[tokio::test]
async fn what_a_lab_sees_of_its_folders_is_on_the_home_page() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    if !possible() {
        return Ok(());
    }
    let moto = Moto::start(&tools).await?;
    let disk = Disk::new()?;
    let house = house(&tools, Provider::start(&installed).await?, &moto, &disk, with_agent(Options::default())).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await?;
    home_says(&mut anna, "All that belongs in the server is at hand").await?;
    let labs = house.specola.labs();
    let token = labs.iter().find_map(|lab| lab.variable("JUPYTERHUB_API_TOKEN")).context("a token")?;
    let (mut lab, path) = (anna.with_token(token), "/user/lab-status");
    for hostile in [
        json!(null),
        json!([]),
        json!({ "ready": "yes" }),
        json!({ "ready": true, "folders": { "/s3": 1 } }),
        json!({ "ready": true, "token": { "ok": true, "message": "x".repeat(70_000) } }),
    ] {
        lab.api(Method::PUT, path, Body::Json(hostile)).await?.expect(&[400])?;
    }
    home_says(&mut anna, "All that belongs in the server is at hand").await?;
    let gone = json!({ "ok": false, "message": "<b>gone</b>" });
    let told =
        json!({ "ready": false, "storage": { "main": gone }, "folders": { at(&disk, "scratch"): gone, "/x": gone } });
    lab.api(Method::PUT, path, Body::Json(told)).await?.expect(&[204])?;
    let page = anna.get("/hub/home").await?.expect(&[200])?.text();
    assert!(!page.contains("All that belongs") && !page.contains("<b>gone"), "{page}");
    assert!(page.contains("Not seen in the server: ") && page.contains("Keys of main"), "{page}");
    // A server that was stopped tells nothing any more.
    anna.stop_server("anna").await?;
    anna.server_stopped("anna").await?;
    lab.api(Method::PUT, path, Body::Json(json!({ "ready": true }))).await?.expect(&[403])?;
    disk.is_clean().await
}

#[tokio::test]
async fn uploads_that_do_not_end_in_time_are_kept_and_told_and_go_on_at_the_next_start() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    if !possible() {
        return Ok(());
    }
    let bounded = Options::default().set("spawner.mounts", "drain_timeout", "4");
    let mut moto = Moto::start(&tools).await?;
    let disk = Disk::new()?;
    let house = house(&tools, Provider::start(&installed).await?, &moto, &disk, bounded).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await?;
    // Who has not looked into the folder before can do nothing there while the store is away.
    says(&house.specola, "anna", &format!("ls {}", at(&disk, "anna")))?;
    moto.go_down();
    let path = at(&disk, "anna/late");
    let line = format!("head -c 1M /dev/urandom > {path} && sha256sum < {path}");
    let said = says(&house.specola, "anna", &line)?;
    let written = said.split(' ').next().context("a digest")?;
    anna.stop_server("anna").await?;
    anna.server_stopped("anna").await?;
    home_says(&mut anna, "1 file (1 MB) not in the store: kept here, and uploaded at the next start").await?;
    assert!(disk.helpers().is_empty() && disk.mounted().is_empty());
    moto.come_up().await?;
    anna.start_server("anna").await?;
    Store::moto(&tools, &moto).has("anna-own/late", written, PATIENCE).await?;
    home_says(&mut anna, "All saved in the store").await
}

/// The store has a certificate of an authority of the house.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_over_tls_is_a_folder_where_its_authority_is_named_and_elsewhere_it_is_told_why_not() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    if !possible() {
        return Ok(());
    }
    let moto = Moto::start(&tools).await?;
    let (veil, other) = (Veil::over(&moto.endpoint()).await?, Veil::over(&moto.endpoint()).await?);
    let disk = Disk::new()?;
    let ca_file = disk.path("ca.pem");
    std::fs::copy(other.ca_file(), &ca_file)?;
    let store = Store::moto(&tools, &moto).behind(&veil, &format!("ca_file = {:?},", ca_file.display().to_string()));
    let target = disk.path("s3").display().to_string();
    let options = Options::default().small_lab("quick.py")?.and(disk.options(&target));
    let mut house = store.house(Provider::start(&installed).await?, &target, options).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await?;
    home_says(&mut anna, "The hub does not trust the certificate of the storage main. Tell the operator").await?;
    assert!(disk.mounted().is_empty(), "{:?}", disk.mounted());
    anna.stop_server("anna").await?;

    house.specola.kill_hub();
    std::fs::copy(veil.ca_file(), &ca_file)?;
    house.specola.run().await?;
    anna.start_server("anna").await?;
    let path = at(&disk, "anna/file");
    let said = says(&house.specola, "anna", &format!("echo hers > {path} && sha256sum < {path}"))?;
    store.has("anna-own/file", said.split(' ').next().context("a digest")?, PATIENCE).await?;
    home_says(&mut anna, "All saved in the store").await?;
    anna.stop_server("anna").await?;
    anna.server_stopped("anna").await?;
    disk.is_clean().await
}

/// The hub gets keys from an address of its own, which is trusted: it is the helper's look at the store that counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_that_does_not_trust_the_certificate_of_the_store_mounts_nothing_until_it_does() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    if !possible() {
        return Ok(());
    }
    let moto = Moto::start(&tools).await?;
    let (veil, other) = (Veil::over(&moto.endpoint()).await?, Veil::over(&moto.endpoint()).await?);
    let disk = Disk::new()?;
    let ca_file = disk.path("ca.pem");
    std::fs::copy(other.ca_file(), &ca_file)?;
    let apart = format!("ca_file = {:?}, sts_endpoint = {:?},", ca_file.display().to_string(), moto.endpoint());
    let store = Store::moto(&tools, &moto).behind(&veil, &apart);
    let target = disk.path("s3").display().to_string();
    let options = Options::default().small_lab("quick.py")?.and(disk.options(&target));
    let house = store.house(Provider::start(&installed).await?, &target, options).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await?;
    let sentence =
        "Not there. What mounts folders does not trust the certificate of the storage main. Tell the operator.";
    home_says(&mut anna, sentence).await?;
    let page = anna.get("/hub/home").await?.expect(&[200])?.text();
    assert_eq!(page.matches(sentence).count(), 3, "{page}");
    assert!(disk.mounted().is_empty() && disk.helpers().is_empty(), "{:?}", disk.mounted());
    let path = at(&disk, "anna/file");
    assert!(!in_lab(&house.specola, "anna", &format!("echo lost > {path}"))?.status.success());
    let log = house.specola.log();
    assert!(
        log.contains("the certificate of the store is not trusted: certificate signed by unknown authority"),
        "{log}"
    );
    assert!(!log.contains("no keys"), "the hub itself has what it wants: {log}");

    // The right authority comes, and the folders with it: neither hub nor server is started anew.
    std::fs::copy(veil.ca_file(), &ca_file)?;
    until("all three", PATIENCE, async || {
        let page = anna.get("/hub/home").await?.expect(&[200])?.text();
        Ok((page.matches("All saved in the store").count() == 3).then_some(()))
    })
    .await?;
    let said = says(&house.specola, "anna", &format!("echo hers > {path} && sha256sum < {path}"))?;
    store.has("anna-own/file", said.split(' ').next().context("a digest")?, PATIENCE).await?;
    anna.stop_server("anna").await?;
    anna.server_stopped("anna").await?;
    disk.is_clean().await
}
