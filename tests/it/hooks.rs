//! Hooks as programs, at the four places where they are asked or told, also when they misbehave.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Session, Specola, place, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// One hook with its notes and what it is to answer.
struct Hook {
    notes: PathBuf,
}

impl Hook {
    fn new(folder: &Path, name: &str) -> Hook {
        Hook { notes: folder.join(name) }
    }

    fn command(&self) -> Result<String> {
        let script = place::package().join("hooks/hook.py");
        let words = [place::plain_python()?, script, self.notes.clone()];
        Ok(format!("{:?}", words.map(|word| word.display().to_string())))
    }

    fn answers(&self, answer: &str) -> Result<()> {
        Ok(fs::write(self.notes.with_extension("answer"), answer)?)
    }

    fn asked(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.notes).unwrap_or_default();
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }
}

fn options(hooks: &[(&str, &Hook)]) -> Result<Options> {
    let mut options = Options::default().small_lab("quick.py")?;
    for (name, hook) in hooks {
        options = options.set(name, "command", &hook.command()?).set(name, "timeout", "2");
    }
    Ok(options)
}

/// Asks for a start that fails, and gives what the person is told, at once or by the events.
async fn failed_start(session: &mut Session, name: &str) -> Result<String> {
    let answer = session.api(Method::POST, &format!("/users/{name}/server"), Body::Empty).await?;
    if answer.status.as_u16() != 202 {
        let answer = answer.expect(&[400, 500])?.json()?;
        return Ok(answer["message"].as_str().unwrap_or_default().to_owned());
    }
    let events = session.accepting("text/event-stream").get(&format!("/hub/api/users/{name}/server/progress")).await?;
    let text = events.expect(&[200])?.text();
    let last = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).context("an event")?;
    let event: Value = serde_json::from_str(last)?;
    if event["failed"] != true {
        bail!("it did not fail: {event}");
    }
    Ok(event["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_hook_before_the_start_changes_what_is_started_or_refuses() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (state, hook) = (Hook::new(folder.path(), "state"), Hook::new(folder.path(), "spawn"));
    let options = options(&[("hooks.auth_state", &state), ("hooks.pre_spawn", &hook)])?;
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;

    hook.answers(r#"{"refuse": "Your project has ended: <ask> for more time."}"#)?;
    let told = failed_start(&mut alice, "alice").await?;
    assert!(told.contains("Your project has ended: <ask> for more time."), "{told}");
    alice.server_stopped("alice").await?;
    assert_eq!(specola.labs().len(), 0, "nothing was started");

    state.answers(r#"{"environment": {"FROM_STATE": "1", "BOTH": "state"}}"#)?;
    hook.answers(r#"{"environment": {"FROM_SPAWN": "2", "BOTH": "spawn"}}"#)?;
    alice.start_server("alice").await?;
    let lab = specola.labs().into_iter().next().context("a lab")?;
    for (variable, value) in [("FROM_STATE", "1"), ("FROM_SPAWN", "2"), ("BOTH", "spawn")] {
        assert_eq!(lab.variable(variable), Some(value), "{variable}");
    }
    alice.stop_server("alice").await?;

    let asked = hook.asked()?;
    let generations: Vec<i64> = asked.iter().filter_map(|question| question["server"]["generation"].as_i64()).collect();
    assert_eq!((asked.len(), generations.windows(2).all(|two| two[0] < two[1])), (2, true), "{asked:?}");
    assert_eq!(asked[0]["user"], json!({"name": "alice", "admin": false, "groups": []}));
    assert_eq!((&asked[0]["specola"], &asked[0]["call"]), (&json!(1), &json!("pre_spawn")));
    assert_eq!(asked[0]["server"]["prefix"], "/user/alice/");
    assert!(asked[0].get("auth_state").is_none(), "it is told where that was asked for only");
    assert_eq!(state.asked()?[0].get("auth_state"), Some(&Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_hook_before_the_start_that_misbehaves_starts_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let hook = Hook::new(folder.path(), "spawn");
    let specola = Specola::start(options(&[("hooks.pre_spawn", &hook)])?).await?;
    let mut alice = specola.logged_in("alice").await?;
    let table = [
        ("exit 1", "it ended with exit status: 1: the disk is full"),
        ("certainly", "the answer is not understood (expected value"),
        (r#"{"enviroment": {}}"#, "the answer is not understood (unknown field `enviroment`"),
        ("flood", "the answer is longer than 1048576 bytes"),
        ("hang", "no answer within 2 seconds"),
    ];
    for (answer, logged) in table {
        hook.answers(answer)?;
        let told = failed_start(&mut alice, "alice").await?;
        assert!(told.contains("A check before the start of your server did not work"), "{answer}: {told}");
        alice.server_stopped("alice").await?;
        assert!(specola.log().contains(&format!("hooks.pre_spawn: {logged}")), "{answer}: {}", specola.log());
    }
    assert_eq!(specola.labs().len(), 0, "nothing was started");
    hook.answers("{}")?;
    alice.start_server("alice").await?;
    alice.stop_server("alice").await
}

#[tokio::test]
async fn a_hook_that_is_not_there_starts_nothing_and_a_start_can_be_cancelled_while_it_hangs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let hook = Hook::new(folder.path(), "spawn");
    let missing = Options::default().small_lab("quick.py")?.set("hooks.pre_spawn", "command", "[\"/nowhere/hook\"]");
    let mut specola = Specola::start(missing).await?;
    let mut alice = specola.logged_in("alice").await?;
    failed_start(&mut alice, "alice").await?;
    assert!(specola.log().contains("hooks.pre_spawn: /nowhere/hook cannot be started: No such file"), "the log tells");
    alice.server_stopped("alice").await?;

    let slow = options(&[])?.set("hooks.pre_spawn", "command", &hook.command()?);
    specola.reconfigure(slow).await?;
    hook.answers("hang")?;
    let mut other = alice.clone();
    let asking = tokio::spawn(async move { other.api(Method::POST, "/users/alice/server", Body::Empty).await });
    until("the hook to be asked", PATIENCE, async || Ok((!hook.asked()?.is_empty()).then_some(()))).await?;
    alice.stop_server("alice").await?;
    asking.await??;
    let notes = hook.notes.display().to_string();
    until("end of the hook", PATIENCE, async || {
        Ok(specola.mark().processes().iter().all(|process| !process.command.contains(&notes)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_webhook_or_a_spawner_that_is_not_there_starts_nothing_and_says_so() -> Result<()> {
    let url = format!("\"http://127.0.0.1:{}/hook\"", place::free_port()?);
    let webhook = options(&[])?.set("hooks.pre_spawn", "url", &url).set("hooks.pre_spawn", "secret", "\"wonderland\"");
    let mut specola = Specola::start(webhook).await?;
    let mut alice = specola.logged_in("alice").await?;
    let told = failed_start(&mut alice, "alice").await?;
    assert!(told.contains("A check before the start of your server did not work"), "{told}");
    assert!(specola.log().contains("hooks.pre_spawn: it cannot be reached"), "{}", specola.log());
    alice.server_stopped("alice").await?;

    let spawner = options(&[])?.set("spawner", "driver", "\"external\"");
    specola.reconfigure(spawner.set("spawner.external", "command", "[\"/nowhere/spawner\"]")).await?;
    let told = failed_start(&mut alice, "alice").await?;
    assert!(told.contains("What starts servers does not work. Ask the people who run this hub."), "{told}");
    assert!(specola.log().contains("/nowhere/spawner cannot be started: No such file"), "{}", specola.log());
    assert!(!specola.log().contains("wonderland"));
    Ok(())
}

#[tokio::test]
async fn the_hook_after_the_stop_is_told_again_until_it_answers_and_holds_nothing_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let hook = Hook::new(folder.path(), "stop");
    let mut specola = Specola::start(options(&[("hooks.post_stop", &hook)])?).await?;
    let mut alice = specola.logged_in("alice").await?;
    hook.answers("exit 1")?;
    alice.start_server("alice").await?;
    alice.stop_server("alice").await?;
    until("a first try", PATIENCE, async || Ok((!hook.asked()?.is_empty()).then_some(()))).await?;
    // What was not told before the hub died is told by the next.
    specola.kill_hub();
    hook.answers("{}")?;
    let before = hook.asked()?.len();
    specola.run().await?;
    until("another try", PATIENCE * 3, async || Ok((hook.asked()?.len() > before).then_some(()))).await?;
    let asked = hook.asked()?;
    assert!(asked.iter().all(|question| *question == asked[0]), "{asked:?}");
    assert_eq!((&asked[0]["call"], &asked[0]["user"]["name"]), (&json!("post_stop"), &json!("alice")));
    assert_eq!(asked[0]["failure"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn the_hook_at_the_login_refuses_changes_rights_and_lets_nobody_in_when_it_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let hook = Hook::new(folder.path(), "auth");
    let options = options(&[("hooks.post_auth", &hook)])?.set("auth", "manage_groups", "true");
    let specola = Specola::start(options).await?;

    hook.answers(r#"{"refuse": "Sign the terms of use first."}"#)?;
    let refused = specola.session()?.log_in("alice", PASSWORD).await?.expect(&[403])?;
    assert!(refused.text().contains("Sign the terms of use first."), "{}", refused.text());
    for answer in ["exit 1", "certainly", "hang", r#"{"name": "eve"}"#, r#"{"groups": [""]}"#] {
        hook.answers(answer)?;
        let answer = specola.session()?.log_in("alice", PASSWORD).await?.expect(&[503])?;
        assert!(answer.text().contains("Logging in does not work at the moment"), "{}", answer.text());
    }
    let mut admin = {
        hook.answers("{}")?;
        specola.logged_in("admin").await?
    };
    admin.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[404])?;

    hook.answers(r#"{"admin": true, "groups": ["physics", "chemistry"]}"#)?;
    specola.logged_in("alice").await?;
    let model = admin.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
    let mut groups: Vec<&str> = model["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    groups.sort_unstable();
    assert_eq!((&model["admin"], groups), (&json!(true), vec!["chemistry", "physics"]));
    let asked = hook.asked()?;
    assert!(!asked.iter().any(|question| question.to_string().contains(PASSWORD)), "it is told no password");

    let wrong = specola.session()?.log_in("alice", "wrong").await?.expect(&[403])?;
    assert!(wrong.text().contains("Invalid username or password"));
    assert_eq!(hook.asked()?.len(), asked.len(), "a wrong password does not get as far as the hook");
    Ok(())
}

#[tokio::test]
async fn a_program_of_the_operators_says_who_may_log_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let hook = Hook::new(folder.path(), "login");
    let options = Options::default()
        .set("auth", "authenticator", "\"external\"")
        .set("auth", "blocked_users", "[\"eve\"]")
        .set("auth", "enable_auth_state", "true")
        .set("auth.external", "command", &hook.command()?)
        .set("auth.external", "timeout", "2")
        .variable("JUPYTERHUB_CRYPT_KEY", &"ab".repeat(32));
    let state = Hook::new(folder.path(), "state");
    let options = options.set("hooks.auth_state", "command", &state.command()?).small_lab("quick.py")?;
    let specola = Specola::start(options).await?;
    let login = async |name: &str| specola.session()?.log_in(name, PASSWORD).await;

    hook.answers(r#"{"refuse": true}"#)?;
    assert!(login("alice").await?.expect(&[403])?.text().contains("Invalid username or password"));
    hook.answers(r#"{"refuse": "Your card has expired."}"#)?;
    assert!(login("alice").await?.expect(&[403])?.text().contains("Your card has expired."));
    for answer in ["exit 1", "{}", "[]", "hang", "flood", r#"{"name": "a/b"}"#, r#"{"name": "alice", "admin": 1}"#] {
        hook.answers(answer)?;
        login("alice").await?.expect(&[503]).with_context(|| answer.to_owned())?;
    }
    hook.answers(r#"{"name": "EVE"}"#)?;
    assert!(login("alice").await?.expect(&[403])?.text().contains("may not use this hub"), "the rules hold for it too");

    hook.answers(r#"{"name": "Alice@Example", "groups": ["physics"], "auth_state": {"ticket": "t-1"}}"#)?;
    let mut alice = Session::new(&specola.origin())?;
    alice.log_in("alice", PASSWORD).await?.expect(&[302, 303])?;
    let model = alice.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!((&model["name"], &model["groups"]), (&json!("alice@example"), &json!([])), "groups are the hub's own");
    let asked = hook.asked()?.pop().context("a question")?;
    assert_eq!((&asked["username"], &asked["password"]), (&json!("alice"), &json!(PASSWORD)));
    assert_eq!(asked["address"], "127.0.0.1");

    alice.start_server("alice@example").await?;
    assert_eq!(state.asked()?[0]["auth_state"], json!({"ticket": "t-1"}), "what was kept is told before a start");
    alice.stop_server("alice@example").await?;

    // It is encrypted where it is kept, and only who may read it is shown it.
    hook.answers(r#"{"name": "admin"}"#)?;
    let mut admin = specola.logged_in("admin").await?;
    for (session, shown) in [(&mut admin, json!({"ticket": "t-1"})), (&mut alice, Value::Null)] {
        let model = session.api(Method::GET, "/users/alice@example", Body::Empty).await?.expect(&[200])?.json()?;
        assert_eq!(model["auth_state"], shown, "{model}");
    }
    let database = fs::read(specola.ground.folder.join("jupyterhub.sqlite"))?;
    assert!(!database.windows(8).any(|bytes| bytes == b"\"ticket\""), "it stands nowhere in clear");
    Ok(())
}
