//! Buckets as folders of containers: mounted beside them, seen in them, and kept in a real object store, Ceph's.

use anyhow::{Context, Result};
use tests::docker::{Engine, docker, image};
use tests::object_store::{Gateway, Moto, gateway_is_here, tools};
use tests::{Provider, need, provider, until};

use super::ground::{Disk, PATIENCE, Store, home_says, possible};

/// So many megabytes are written; 1024 by hand.
const MEGABYTES: u32 = 64;

/// What a line of shell says in a container.
fn says(container: &str, line: &str) -> Result<String> {
    docker(&["exec", container, "sh", "-c", line])
}

/// Hazard H11: a lab is removed while the write-back cache still holds files.
#[tokio::test]
async fn h11_a_file_is_whole_in_the_bucket_though_helper_container_and_hub_ended_in_the_middle() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    need!(gateway_is_here(), "radosgw", "SPECOLA_REQUIRE_RADOSGW");
    if !possible() {
        return Ok(());
    }
    let told = std::env::var("SPECOLA_TEST_MEGABYTES").ok().and_then(|text| text.parse().ok());
    let megabytes: u32 = told.unwrap_or(MEGABYTES);
    let (provider, gateway) = tokio::try_join!(Provider::start(&installed), Gateway::start())?;
    let disk = Disk::new()?;
    let slow = format!("[\"--bwlimit={}M\"]", megabytes / 4);
    let options = engine.options()?.and(disk.options("/s3")).set("spawner.mounts", "args", &slow);
    let store = Store::ceph(&tools, &gateway, &provider).await?;
    let mut house = store.house(provider, "/s3", options).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await.with_context(|| house.specola.log())?;
    let container = engine.container("anna");
    assert_eq!(says(&container, "ls /s3")?, "anna\ncygno\nscratch");
    assert_eq!(says(&container, "id -u; grep ^CapEff /proc/self/status")?, "1000\nCapEff:\t0000000000000000");
    let small = says(&container, "echo hers > /s3/scratch/anna && sha256sum < /s3/scratch/anna")?;
    store.has("scratch/anna", small.split(' ').next().context("a digest")?, PATIENCE).await?;

    disk.kill_helpers();
    // What is mounted again is seen in the container that was there before.
    until("her folder back", PATIENCE, async || {
        Ok((says(&container, "cat /s3/scratch/anna || true")? == "hers").then_some(()))
    })
    .await?;

    // Digested before, so that nothing takes time between the end of writing and the end of the helper.
    let line = format!("head -c {megabytes}M /dev/urandom > /tmp/big && sha256sum < /tmp/big");
    let big = says(&container, &line)?;
    let written = big.split(' ').next().context("a digest")?;
    says(&container, "cp /tmp/big /s3/anna/big")?;
    home_says(&mut anna, "on the way to the store").await?;
    disk.kill_helpers();
    anna.stop_server("anna").await?;
    house.specola.kill_hub();
    assert_eq!(engine.containers()?, Vec::<String>::new());
    assert_eq!(store.stored("anna-own/big")?, None, "otherwise this test shows nothing");
    house.specola.run().await?;
    store.has("anna-own/big", written, PATIENCE * 4).await.with_context(|| house.specola.log())?;
    anna.server_stopped("anna").await?;
    disk.is_clean().await
}

#[tokio::test]
async fn scratch_is_read_by_all_and_each_writes_in_a_part_of_their_own() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    if !possible() {
        return Ok(());
    }
    let moto = Moto::start(&tools).await?;
    let disk = Disk::new()?;
    // What others write is soon seen.
    let options = engine.options()?.and(disk.options("/s3")).set("spawner.mounts", "args", "[\"--dir-cache-time=1s\"]");
    let store = Store::moto(&tools, &moto).with_own_parts();
    let house = store.house(Provider::start(&installed).await?, "/s3", options).await?;
    let (mut anna, mut bob) = (house.signed_in("anna").await?, house.signed_in("bob").await?);
    anna.start_server("anna").await.with_context(|| house.specola.log())?;
    bob.start_server("bob").await.with_context(|| house.specola.log())?;
    let (hers, his) = (engine.container("anna"), engine.container("bob"));
    assert_eq!(says(&hers, "ls /s3 /s3/scratch")?, "/s3:\nanna\ncygno\nscratch\n\n/s3/scratch:\nanna");
    let written = says(&hers, "echo hers > /s3/scratch/anna/notes && sha256sum < /s3/scratch/anna/notes")?;
    store.has("scratch/anna/notes", written.split(' ').next().context("a digest")?, PATIENCE).await?;
    says(&his, "echo his > /s3/scratch/bob/notes")?;
    let read = async |container: &str, path: &str, text: &str| {
        until(path, PATIENCE, async || Ok((says(container, &format!("cat {path} || true"))? == text).then_some(())))
            .await
    };
    read(&his, "/s3/scratch/anna/notes", "hers").await?;
    read(&hers, "/s3/scratch/bob/notes", "his").await?;
    let denied = |line: &str| {
        let refused = says(&his, line).map(drop).unwrap_err().to_string();
        assert!(refused.contains("Permission denied"), "{line}: {refused}");
    };
    let all_denied = || {
        for line in ["echo x > /s3/scratch/beside", "echo x > /s3/scratch/anna/notes", "mkdir /s3/scratch/carl"] {
            denied(line);
        }
    };
    all_denied();
    let page = anna.get("/hub/home").await?.expect(&[200])?.text();
    assert!(page.contains("/s3/scratch/anna"), "{page}");

    // All helpers die: containers that were there before see both again.
    disk.kill_helpers();
    read(&his, "/s3/scratch/anna/notes", "hers").await?;
    read(&his, "/s3/scratch/bob/notes", "his").await?;
    until("his part to write in", PATIENCE, async || {
        Ok(says(&his, "echo again > /s3/scratch/bob/notes").is_ok().then_some(()))
    })
    .await?;
    all_denied();
    read(&hers, "/s3/scratch/bob/notes", "again").await?;
    for (browser, name) in [(&mut anna, "anna"), (&mut bob, "bob")] {
        browser.stop_server(name).await?;
        browser.server_stopped(name).await?;
    }
    disk.is_clean().await
}
