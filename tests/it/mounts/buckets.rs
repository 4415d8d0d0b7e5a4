//! Buckets as folders of labs that are processes: signed in at a provider, keys by STS, real rclone.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::object_store::{Moto, Tools, tools};
use tests::specola::Options;
use tests::{Body, Provider, need, provider, until};

use super::ground::{Disk, PATIENCE, Store, home_says, possible};
use super::says;
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
