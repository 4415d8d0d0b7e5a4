//! What a login method keeps about a person, through the API: who may write and see it, and its keys as they change.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::specola::Options;
use tests::{Body, Session, Specola, place};

const STATE: &str = r#"{"ticket": "t-1", "deep": {"list": [1, null]}}"#;

fn with_keys(keys: &[&str]) -> Options {
    let keys: Vec<String> = keys.iter().map(|key| key.repeat(32)).collect();
    Options::default().variable("JUPYTERHUB_CRYPT_KEY", &keys.join(";"))
}

async fn shown(session: &mut Session, path: &str) -> Result<Value> {
    let model = session.api(Method::GET, path, Body::Empty).await?.expect(&[200])?.json()?;
    Ok(model.get("auth_state").cloned().unwrap_or_else(|| json!("not there")))
}

async fn token_with(session: &mut Session, name: &str, scopes: Value) -> Result<Session> {
    let body = Body::Json(json!({"scopes": scopes}));
    let made = session.api(Method::POST, &format!("/users/{name}/tokens"), body).await?.expect(&[201])?.json()?;
    Ok(session.with_token(made["token"].as_str().context("a token")?))
}

#[tokio::test]
async fn the_auth_state_is_set_by_rest_and_seen_by_those_who_may() -> Result<()> {
    let roles = r#"[
        {name = "reader", scopes = ["admin:auth_state", "read:users"], users = ["reader"]},
        {name = "own", scopes = ["admin:auth_state!user"], users = ["alice"]},
    ]"#;
    let mut specola = Specola::start(with_keys(&["ab"]).set("hub", "load_roles", roles)).await?;
    let mut admin = specola.logged_in("admin").await?;
    let mut alice = specola.logged_in("alice").await?;
    let mut reader = specola.logged_in("reader").await?;
    let write = async |session: &mut Session, state: Value| {
        session.api(Method::PATCH, "/users/alice", Body::Json(json!({"auth_state": state}))).await
    };
    write(&mut alice, json!({})).await?.expect(&[403])?;
    for wrong in [json!("text"), json!([1]), json!(1), Value::Null] {
        write(&mut admin, wrong).await?.expect(&[400])?;
    }
    let state: Value = serde_json::from_str(STATE)?;
    let answered = write(&mut admin, state.clone()).await?.expect(&[200])?.json()?;
    assert_eq!(answered["auth_state"], state, "an administrator may see it");

    assert_eq!(shown(&mut admin, "/users/alice").await?, state);
    assert_eq!(shown(&mut reader, "/users/alice").await?, state);
    assert_eq!(shown(&mut alice, "/users/bob").await.ok(), None);
    // One's own is shown to who asks with the right for it, not to any token.
    let mut plain = token_with(&mut alice, "alice", json!(["read:users!user"])).await?;
    assert_eq!(shown(&mut plain, "/user").await?, json!("not there"));
    let mut own = token_with(&mut alice, "alice", json!(["admin:auth_state!user", "read:users!user"])).await?;
    assert_eq!(shown(&mut own, "/user").await?, state);
    let list = reader.api(Method::GET, "/users", Body::Empty).await?;
    assert!(!list.text().contains("t-1"), "lists do not decrypt");

    // A new key first, the old one behind it: what is read is sealed anew, and then the old one is not needed.
    specola.reconfigure(with_keys(&["cd", "ab"])).await?;
    assert_eq!(shown(&mut admin, "/users/alice").await?, state);
    specola.reconfigure(with_keys(&["cd"])).await?;
    assert_eq!(shown(&mut admin, "/users/alice").await?, state);
    // With a key that does not fit nothing is shown, and nothing is lost.
    specola.reconfigure(with_keys(&["ef"])).await?;
    assert_eq!(shown(&mut admin, "/users/alice").await?, Value::Null);
    specola.reconfigure(with_keys(&["cd"])).await?;
    assert_eq!(shown(&mut admin, "/users/alice").await?, state);

    // `specola adopt` reads the keys as the hub does: the file too.
    let file = specola.ground.folder.join("keys");
    std::fs::write(&file, "cd".repeat(32))?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let adopt = |name: &str, value: &std::path::Path| -> Result<(bool, String)> {
        let mut command = std::process::Command::new(place::binary()?);
        command.args(["adopt", "--from", &specola.ground.database()]);
        let output = command.env_remove("JUPYTERHUB_CRYPT_KEY").env(name, value).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    let (is_right, said) = adopt("JUPYTERHUB_CRYPT_KEY_FILE", &file)?;
    assert!(is_right && said.contains("1 encrypted, 1 opened by JUPYTERHUB_CRYPT_KEY"), "{said}");
    let (is_right, said) = adopt("JUPYTERHUB_CRYPT_KEY_FILE", &specola.ground.folder.join("nowhere"))?;
    assert!(!is_right && said.contains("JUPYTERHUB_CRYPT_KEY_FILE") && said.contains("nowhere"), "{said}");

    specola.reconfigure(Options::default()).await?;
    let refused = write(&mut admin, json!({"a": 1})).await?.expect(&[400])?;
    assert!(refused.text().contains("no key"), "{}", refused.text());
    Ok(())
}
