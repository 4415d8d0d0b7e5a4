//! Three hubs as one: what is begun at one is seen, carried on and ended at any other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use tests::specola::Options;
use tests::{Body, until};

#[tokio::test]
async fn what_is_begun_at_one_hub_is_seen_and_ended_at_any_other() -> Result<()> {
    let Some(replicas) = super::replicas(Options::default().small_lab("quick.py")?).await? else { return Ok(()) };
    let hubs = (0..3).map(|number| replicas.hub_origin(number)).collect::<Result<Vec<_>>>()?;
    let mut people = Vec::new();
    // Signed in at one, known at all.
    let alice = tests::Session::logged_in(&hubs[0], "alice", tests::jupyterhub::PASSWORD).await?;
    for hub in &hubs {
        let mut here = alice.at(hub)?;
        here.get("/hub/home").await?.expect(&[200])?;
        people.push(here);
    }
    let [one, two, three] = &mut people[..] else { anyhow::bail!("three") };
    // Started at the first, its progress read at the second, ready at the third, reached through each proxy at once.
    one.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[201, 202])?;
    let told = two.api(Method::GET, "/users/alice/server/progress", Body::Empty).await?.expect(&[200])?.text();
    assert!(told.contains("\"ready\":true") || told.contains("\"ready\": true"), "{told}");
    three.server_ready("alice").await?;
    for proxy in &replicas.proxies {
        let said = alice.at(&proxy.origin)?.get("/user/alice/x").await?.expect(&[200])?.json()?;
        assert_eq!(said["user"], "alice");
    }
    // Stopped at the third, gone at the first.
    three.api(Method::DELETE, "/users/alice/server", Body::Empty).await?.expect(&[202, 204])?;
    one.server_stopped("alice").await?;
    assert_eq!(replicas.labs(), 0);
    // A token that one hub revokes is none at the others at once; so is a person who is deleted.
    let token = one.new_token("alice").await?;
    let mut script = two.with_token(&token);
    script.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
    let all = one.api(Method::GET, "/users/alice/tokens", Body::Empty).await?.expect(&[200])?.json()?;
    let mine = all["api_tokens"].as_array().and_then(|all| all.iter().find(|token| token["note"] == "test")).cloned();
    let id = mine.and_then(|token| token["id"].as_str().map(str::to_owned)).unwrap_or_default();
    three.api(Method::DELETE, &format!("/users/alice/tokens/{id}"), Body::Empty).await?.expect(&[204])?;
    script.api(Method::GET, "/user", Body::Empty).await?.expect(&[403])?;
    // Out at one is out everywhere.
    one.get("/hub/logout").await?;
    for here in [two, three] {
        let answer = here.get("/hub/home").await?;
        assert!(answer.location().is_some_and(|to| to.contains("/hub/login")), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hub_with_another_secret_does_not_begin_beside_the_others_and_says_which() -> Result<()> {
    let Some(mut replicas) = super::replicas(Options::default().small_lab("quick.py")?).await? else { return Ok(()) };
    let mut hub = replicas.hubs.pop().context("a hub")?;
    hub.kill_hub();
    let other = hub.ground.folder.join("another_secret");
    std::fs::write(&other, "6e".repeat(32))?;
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    hub.launch(&[("SPECOLA_HUB__COOKIE_SECRET_FILE", &other.display().to_string())])?;
    let ended = until("the end of a hub", Duration::from_secs(30), async || hub.has_ended()).await?;
    ensure!(!ended.success());
    let said = hub.log();
    ensure!(said.contains("signs cookies with another key") && said.contains("hub.cookie_secret_file"), "{said}");
    Ok(())
}
