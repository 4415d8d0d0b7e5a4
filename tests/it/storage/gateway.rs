//! The real thing: Ceph's gateway, which verifies tokens, judges by policies and refuses keys that have ended.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::object_store::{AUDIENCE, Gateway, Wanted, gateway_is_here, tools};
use tests::{Body, Provider, need, place, provider};

use super::{keys, start_lab, storage, with_storage};
use crate::doctor::{about, doctor};
use crate::oidc::fresh::with_agent;
use crate::oidc::{Entry, House};

/// The life of keys here, in seconds: a slow machine has to get something done with them.
const LIFE: u64 = 10;
/// So many lives of keys programs are at work for.
const LIVES: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_object_store_is_used_over_many_lives_of_keys_and_opens_what_the_role_opens() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    need!(gateway_is_here(), "radosgw", "SPECOLA_REQUIRE_RADOSGW");
    let (provider, gateway) = tokio::try_join!(Provider::start(&installed), Gateway::start())?;
    let thumbprint = provider.certify_keys().await?;
    let endpoint = gateway.endpoint();
    let roles = tools.administer(&Wanted {
        endpoint: &endpoint,
        keys: gateway.keys(),
        issuer: provider.issuer(),
        thumbprint: Some(&thumbprint),
        roles: &[("users", &["data"]), ("cygno", &["data", "cygno"])],
        // A bucket belongs to who made it; everybody else comes in by a role.
        buckets: &["data", "cygno"],
    })?;
    let of_users = [("\"users\"", roles["users"].as_str())];
    let more = format!("dialect = \"ceph\", audience = {AUDIENCE:?}, duration = {LIFE}");
    let sections = [
        storage("main", &endpoint, &of_users, &more),
        storage("cygno", &endpoint, &[("\"users/cygno\"", roles["cygno"].as_str())], &more),
        storage("lost", &endpoint, &[("\"users\"", "arn:aws:iam:::role/nowhere")], &more),
        storage("by-id", &endpoint, &of_users, &format!("dialect = \"ceph\", token = \"id\", duration = {LIFE}")),
        // The access token is for nobody in particular, and the gateway takes those for somebody it knows.
        storage("wrong", &endpoint, &of_users, &format!("dialect = \"ceph\", duration = {LIFE}")),
    ];
    // Over before it is asked for: a refresh has to bring another one.
    provider.switch("id_ttl", LIFE).await?;
    let house = House::at(provider, &Entry::by_group(), |options| with_storage(with_agent(options), &sections)).await?;
    house.provider.set_user("anna", json!({"groups": ["users"]})).await?;
    let (_anna, mut client, lab) = start_lab(&house, "anna").await?;
    let config = house.specola.ground.folder.join("specola.toml");
    let ask = ["--only", "storage"];
    let (said, well) = doctor(&config, &ask, &[])?;
    assert!(well && about(&said, "users at main").1.contains("refuses what is no token"), "{said:#}");
    // With a token of hers: a role that is there, one that is not, and a token that is for nobody in particular.
    let token = house.specola.ground.folder.join("token");
    let path = format!("/user/access-token?audience={AUDIENCE}");
    let hers = client.api(Method::GET, &path, Body::Empty).await?.expect(&[200])?.json()?;
    std::fs::write(&token, format!("{}\n", hers["access_token"].as_str().context("a token")?))?;
    let with = ["--token", &token.display().to_string()];
    let (said, well) = doctor(&config, &[ask, with].concat(), &[])?;
    assert!(
        !well && about(&said, "users at main") == ("ok".to_owned(), format!("{endpoint}/ gives keys ")),
        "{said:#}"
    );
    let (level, text) = about(&said, "nowhere at lost");
    assert!(level == "bad" && text.contains("role"), "{said:#}");
    let plain = lab.variable("BEARER_TOKEN_FILE").context("a file")?;
    let (said, _) = doctor(&config, &[ask, ["--token", plain]].concat(), &[])?;
    let (level, text) = about(&said, "users at main");
    assert!(
        level == "bad" && text.contains("refuses the token: AccessDenied") && text.contains("audience"),
        "{said:#}"
    );
    let refused = keys(&mut client, "cygno").await?.expect(&[403])?;
    assert_eq!(refused.json()?["code"], "no_role", "{}", refused.text());
    // Should it answer anything else, the hub's log has its words.
    let refused = keys(&mut client, "wrong").await?.expect(&[403]).with_context(|| house.specola.log())?;
    assert_eq!(refused.json()?["code"], "denied", "{}", refused.text());

    need!(place::command("rclone"), "rclone", "SPECOLA_REQUIRE_RCLONE");
    // More by hand.
    let told = std::env::var("SPECOLA_TEST_LIVES").ok().and_then(|text| text.parse().ok());
    let lives: u64 = told.unwrap_or(LIVES);
    let (seconds, begun) = (lives * LIFE, Instant::now());
    let (boto3, s3fs, rclone) = tokio::try_join!(
        tools.use_with(&lab, "boto3", seconds, "data"),
        tools.use_with(&lab, "s3fs", seconds, "data"),
        tools.use_with(&lab, "rclone", seconds, "data")
    )?;
    assert!(begun.elapsed() >= Duration::from_secs(seconds));
    for (name, used) in [("boto3", &boto3), ("s3fs", &s3fs), ("rclone", &rclone)] {
        println!("{name}: {} round trips in {lives} lives of keys", used.done);
        // How much is done in a life is the machine's; a busy one still does something in each.
        assert!(used.refused.is_empty() && u64::from(used.done) > lives, "{name}: {used:?}\n{}", gateway.logs());
    }
    assert!(boto3.keys.len() as u64 >= lives, "{boto3:?}");
    keys(&mut client, "by-id").await?.expect(&[200])?;
    let listed = tools.aws(&lab, &["s3", "ls", "s3://data/boto3/"]).await?;
    assert!(listed.contains("object"), "{listed}");
    // The role of users opens the one bucket and no other.
    let foreign = tools.use_with(&lab, "boto3", 0, "cygno").await?;
    assert!(foreign.done == 0 && foreign.refused[0].contains("AccessDenied"), "{foreign:?}");
    Ok(())
}
