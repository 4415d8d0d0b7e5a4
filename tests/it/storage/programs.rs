//! Programs of AWS and rclone in labs, with no configuration at all, over several lives of keys.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tests::object_store::{Lab, Tools, tools};
use tests::{need, place, provider};

use super::{LIFE, offered, start_lab, storage, with_storage, world};
use crate::oidc::fresh::with_agent;
use crate::oidc::{Entry, House, keeping};

async fn all_work(tools: &Tools, lab: &Lab, lives: u64) -> Result<()> {
    let (boto3, s3fs) = tokio::try_join!(
        tools.use_with(lab, "boto3", lives * LIFE, "data"),
        tools.use_with(lab, "s3fs", lives * LIFE, "data")
    )?;
    ensure!(boto3.refused.is_empty() && boto3.done > 5, "boto3: {boto3:?}");
    ensure!(boto3.keys.len() as u64 >= lives, "boto3 had {} keys in {lives} lives", boto3.keys.len());
    ensure!(s3fs.refused.is_empty() && s3fs.done > 5, "s3fs: {s3fs:?}");
    let listed = tools.aws(lab, &["s3", "ls", "s3://data/boto3/"]).await?;
    ensure!(listed.contains("object"), "aws: {listed}");
    Ok(())
}

fn rclone() -> Option<PathBuf> {
    place::command("rclone")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_a_lab_need_no_configuration_and_are_never_refused() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let (provider, moto, roles) = world(&tools, &installed).await?;
    let main = storage("main", &moto.endpoint(), &[("\"users\"", &roles["users"])], &format!("duration = {LIFE}"));
    // People have it for its name only.
    let second = storage("deep-archive", &moto.endpoint(), &[("\"users\"", &roles["cygno"])], "duration = 3600");
    let house =
        House::at(provider, &Entry::by_group(), |options| with_storage(with_agent(options), &[main, second])).await?;
    let (_anna, mut client, lab) = start_lab(&house, "anna").await?;
    assert_eq!(offered(&mut client).await?, ["main", "deep-archive"]);
    let uri = lab.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").context("where keys are")?;
    assert!(uri.starts_with("http://127.0.0.1:") && uri.ends_with("/credentials/main"), "the agent's: {uri}");
    assert!(lab.variable("AWS_ACCESS_KEY_ID").is_none(), "a key that does not end would be taken first");

    all_work(&tools, &lab, 4).await?;
    assert!(tools.whoami(&lab, &moto.endpoint()).await?.ends_with("assumed-role/users/anna"), "the person, by name");
    // The other one by its name: a profile, and credential_process by the agent.
    let listed = tools.aws(&lab, &["--profile", "deep-archive", "s3", "ls", "s3://data/boto3/"]).await?;
    assert!(listed.contains("object"), "{listed}");
    let sts = ["--profile", "deep-archive", "--endpoint-url", &moto.endpoint(), "sts", "get-caller-identity"];
    let who = tools.aws(&lab, &sts).await?;
    assert!(who.contains("assumed-role/cygno/anna"), "{who}");

    let rclone = need!(rclone(), "rclone", "SPECOLA_REQUIRE_RCLONE");
    for remote in ["main", "deep_archive"] {
        let listed = lab.run(&rclone, &["lsf".to_owned(), format!("{remote}:data/boto3")]).await?;
        assert_eq!(listed.trim(), "object", "{remote}");
    }
    let log = house.specola.log();
    assert!(!log.contains("SecretAccessKey") && log.contains("fresh keys"), "the log tells that, and no more");
    Ok(())
}

/// Where the hub's address is one that programs of AWS take, they ask it themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lab_without_the_agent_asks_the_hub() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let (provider, moto, roles) = world(&tools, &installed).await?;
    let main = storage("main", &moto.endpoint(), &[("\"users\"", &roles["users"])], &format!("duration = {LIFE}"));
    let entry = Entry::by_group();
    let house = House::at(provider, &entry, |options| match keeping(options).small_lab("quick.py") {
        Ok(options) => with_storage(options, &[main]),
        Err(error) => panic!("{error:#}"),
    })
    .await?;
    let (_anna, _client, lab) = start_lab(&house, "anna").await?;
    let uri = lab.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").context("where keys are")?;
    assert!(uri.ends_with("/hub/api/user/storage/main/credentials"), "the hub's: {uri}");
    all_work(&tools, &lab, 2).await
}
