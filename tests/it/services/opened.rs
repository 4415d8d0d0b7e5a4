//! The service that JupyterHub's own tests use, with `HubAuthenticated` and `HubOAuthenticated` pages, run by the hub and
//! opened in a browser.

use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Session, Specola, need, place, until};

use super::{configured, words};
use crate::sharing::hidden;

/// A hub with two services: `asking` asks people for their consent, `trusted` does not. Alice may open both.
async fn with_services() -> Result<Option<Specola>> {
    let Some(python) = place::jupyterhub6() else { return Ok(None) };
    let file = "import jupyterhub.tests as t, os; print(os.path.join(os.path.dirname(t.__file__), 'mockservice.py'))";
    let found = std::process::Command::new(&python).args(["-c", file]).output()?;
    let file = String::from_utf8(found.stdout)?.trim().to_owned();
    let command = words(&[&python.display().to_string(), &file]);
    let service = |name: &str, more: &str| -> Result<String> {
        let port = place::free_port()?;
        Ok(format!("name = {name:?}, url = \"http://127.0.0.1:{port}\", command = {command}{more}"))
    };
    let services = [service("asking", "")?, service("trusted", ", oauth_no_confirm = true")?];
    let scopes = words(&["access:services!service=asking", "access:services!service=trusted"]);
    let roles = format!("[{{ name = \"opening\", users = [\"alice\"], scopes = {scopes} }}]");
    let specola = Specola::start(configured(Options::default(), &services).set("hub", "load_roles", &roles)).await?;
    for service in ["asking", "trusted"] {
        until("answer of the service", Duration::from_secs(30), async || {
            let answer = specola.session()?.get(&format!("/services/{service}/some/path?a=b")).await?;
            Ok((answer.status == 200 && answer.text().ends_with("/some/path")).then_some(()))
        })
        .await?;
    }
    Ok(Some(specola))
}

/// What a page of a service says of who asks.
async fn whoami(session: &mut Session, path: &str) -> Result<(u16, Value)> {
    let answer = session.get(path).await?;
    Ok((answer.status.as_u16(), answer.json().unwrap_or_default()))
}

/// The clients that somebody's tokens were made for.
async fn clients(admin: &mut Session) -> Result<Vec<String>> {
    let tokens = admin.api(Method::GET, "/users/alice/tokens", Body::Empty).await?.expect(&[200])?.json()?;
    let tokens = tokens["api_tokens"].as_array().context("tokens")?;
    Ok(tokens.iter().filter_map(|token| token["oauth_client"].as_str()).map(str::to_owned).collect())
}

#[tokio::test]
async fn a_service_of_jupyterhubs_tests_is_opened_through_oauth() -> Result<()> {
    let specola = need!(with_services().await?, "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let origin = specola.origin();
    let mut alice = Session::logged_in(&origin, "alice", PASSWORD).await?;
    let mut admin = Session::logged_in(&origin, "admin", PASSWORD).await?;

    // Asked once, then let through to where she wanted to go.
    let wanted = "/services/asking/owhoami/?arg=x";
    let (url, page) = alice.follow(wanted).await?;
    assert_eq!((url.path(), page.status.as_u16()), ("/hub/api/oauth2/authorize", 200), "{}", page.text());
    let scopes = hidden(&page.text(), "scopes");
    let fields: Vec<(&str, &str)> = scopes.iter().map(|scope| ("scopes", scope.as_str())).collect();
    let agreed = alice.submit(&url[url::Position::BeforePath..], &fields).await?.expect(&[302])?;
    let (url, _) = alice.follow(agreed.location().context("a way back")?).await?;
    assert_eq!(&url[url::Position::BeforePath..], wanted);
    assert!(alice.cookie("service-asking").is_some());
    let (status, model) = whoami(&mut alice, wanted).await?;
    assert_eq!((status, &model["kind"], &model["name"]), (200, &"user".into(), &"alice".into()));
    let scopes: Vec<&str> = model["scopes"].as_array().context("scopes")?.iter().filter_map(Value::as_str).collect();
    assert!(scopes.contains(&"access:services!service=asking"), "{scopes:?}");
    assert!(!scopes.iter().any(|scope| scope.starts_with("servers") || scope.contains("tokens")), "{scopes:?}");

    // The operator's word is enough for the other one.
    let (url, page) = alice.follow("/services/trusted/owhoami/").await?;
    assert_eq!((url.path(), page.status.as_u16()), ("/services/trusted/owhoami/", 200), "{}", page.text());
    let home = alice.get("/hub/home").await?.expect(&[200])?.text();
    assert!(home.contains("href=\"/services/asking/\"") && home.contains("href=\"/services/trusted/\""), "{home}");

    // A log-out at the hub ends both: tokens are revoked, and the service sends her to the log-in page.
    let own: Vec<String> = clients(&mut admin).await?;
    assert!(own.iter().filter(|client| client.contains("service")).count() == 2, "{own:?}");
    alice.follow("/hub/logout").await?;
    let own: Vec<String> = clients(&mut admin).await?;
    assert!(!own.iter().any(|client| client.contains("service")), "{own:?}");
    let (url, _) = alice.follow(wanted).await?;
    assert_eq!(url.path(), "/hub/login");
    Ok(())
}

#[tokio::test]
async fn a_service_is_closed_to_whoever_lacks_the_right() -> Result<()> {
    let specola = need!(with_services().await?, "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let origin = specola.origin();
    let mut bob = Session::logged_in(&origin, "bob", PASSWORD).await?;
    for service in ["asking", "trusted"] {
        let (url, page) = bob.follow(&format!("/services/{service}/owhoami/")).await?;
        assert_eq!((url.path(), page.status.as_u16()), ("/hub/api/oauth2/authorize", 403), "{}", page.text());
    }
    let home = bob.get("/hub/home").await?.expect(&[200])?.text();
    assert!(!home.contains("/services/"), "{home}");

    // By token in a header: `HubAuthenticated` asks the hub the same.
    let mut alice = Session::logged_in(&origin, "alice", PASSWORD).await?;
    let token = alice.new_token("alice").await?;
    let (status, model) = whoami(&mut alice.with_token(&token), "/services/asking/whoami/").await?;
    assert_eq!((status, &model["name"]), (200, &"alice".into()));
    let stranger = bob.new_token("bob").await?;
    assert_eq!(whoami(&mut bob.with_token(&stranger), "/services/asking/whoami/").await?.0, 403);
    let (status, _) = whoami(&mut specola.session()?, &format!("/services/asking/whoami/?token={token}")).await?;
    assert!([302, 403].contains(&status), "a token in the address is none: {status}");

    // What it was started with, as JupyterHub's test reads it.
    let (_, environment) = whoami(&mut alice, "/services/asking/env").await?;
    for (name, value) in [
        ("JUPYTERHUB_SERVICE_NAME", "asking"),
        ("JUPYTERHUB_SERVICE_PREFIX", "/services/asking/"),
        ("JUPYTERHUB_CLIENT_ID", "service-asking"),
        ("JUPYTERHUB_OAUTH_CALLBACK_URL", "/services/asking/oauth_callback"),
        ("JUPYTERHUB_BASE_URL", "/"),
        ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", r#"["access:services","access:services!service=asking"]"#),
    ] {
        let said = environment[name].as_str().unwrap_or_default().replace(", ", ",");
        assert_eq!(said, value, "{name}");
    }
    assert!(environment.get("JUPYTERHUB_ACTIVITY_URL").is_none(), "services report none");
    Ok(())
}
