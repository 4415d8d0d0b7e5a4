//! Login by the form: cookies, XSRF, where one lands, and that a log-out holds everywhere.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Session, Specola};

#[tokio::test]
async fn the_form_logs_in_with_jupyterhubs_fields_and_cookies() -> Result<()> {
    let specola = Specola::start(Options::default()).await?;
    the_form_logs_in(&specola.origin()).await
}

/// The steps of the tests here that a real JupyterHub passes too.
pub async fn the_form_logs_in(origin: &str) -> Result<()> {
    let mut session = Session::new(origin)?;
    let (url, page) = session.follow("/").await?;
    assert_eq!(url.path(), "/hub/login");
    for id in ["login-main", "username_input", "password_input", "login_submit"] {
        assert!(page.text().contains(&format!("id=\"{id}\"")), "the form has no #{id}");
    }
    session.log_in("alice", PASSWORD).await?.expect(&[302, 303])?;
    for name in ["jupyterhub-hub-login", "jupyterhub-session-id", "_xsrf"] {
        assert!(session.cookie(name).is_some(), "no cookie {name}");
    }
    let model = session.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["name"], "alice");
    assert_eq!(model["admin"], false);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_or_a_form_without_its_xsrf_token_shows_the_form_again_with_403() -> Result<()> {
    let specola = Specola::start(Options::default()).await?;
    wrong_forms_are_refused(&specola.origin()).await
}

pub async fn wrong_forms_are_refused(origin: &str) -> Result<()> {
    let mut session = Session::new(origin)?;
    let answer = session.log_in("alice", "wrong").await?.expect(&[403])?;
    assert!(answer.text().contains("Invalid username or password"));
    assert!(answer.text().contains("username_input"));
    let fields = [("username", "alice"), ("password", PASSWORD)].map(|(name, value)| (name.into(), value.into()));
    let answer = session.send(Method::POST, "/hub/login", Body::Form(fields.into())).await?.expect(&[403])?;
    assert!(answer.text().contains("username_input"));
    assert!(session.cookie("jupyterhub-hub-login").is_none());
    session.api(Method::GET, "/user", Body::Empty).await?.expect(&[403])?;
    Ok(())
}

#[tokio::test]
async fn the_login_never_leads_to_another_host() -> Result<()> {
    let specola = Specola::start(Options::default().set("hub", "redirect_to_server", "false")).await?;
    next_stays_here(&specola.origin()).await
}

/// The vectors of JupyterHub's own rules for `next`.
pub async fn next_stays_here(own: &str) -> Result<()> {
    let home = "/hub/home".to_owned();
    let vectors = [
        ("/hub/token".to_owned(), "/hub/token".to_owned()),
        ("//evil.example".to_owned(), home.clone()),
        ("///evil.example".to_owned(), home.clone()),
        ("https://evil.example".to_owned(), home.clone()),
        ("javascript:alert(1)".to_owned(), home.clone()),
        ("hub/token".to_owned(), home.clone()),
        (format!("{own}/hub/token"), "/hub/token".to_owned()),
        (format!("{own}//evil.example"), "/evil.example".to_owned()),
        ("/\\evil.example".to_owned(), "/%5Cevil.example".to_owned()),
    ];
    for (next, expected) in vectors {
        let mut session = Session::new(own)?;
        session.get("/hub/login").await?.expect(&[200])?;
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &next).finish();
        let fields = [("username", "alice"), ("password", PASSWORD)];
        let answer = session.submit(&format!("/hub/login?{query}"), &fields).await?.expect(&[302, 303])?;
        assert_eq!(answer.location(), Some(expected.as_str()), "for next={next}");
    }
    Ok(())
}

#[tokio::test]
async fn a_log_out_ends_the_session_also_for_a_copied_cookie() -> Result<()> {
    let specola = Specola::start(Options::default()).await?;
    let mut session = specola.logged_in("alice").await?;
    let mut copy = session.clone();
    copy.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
    session.follow("/hub/logout").await?.1.expect(&[200])?;
    assert!(session.cookie("jupyterhub-hub-login").is_none());
    copy.api(Method::GET, "/user", Body::Empty).await?.expect(&[403])?;
    Ok(())
}

#[tokio::test]
async fn an_api_token_works_without_cookies_until_it_is_revoked() -> Result<()> {
    let specola = Specola::start(Options::default()).await?;
    a_token_until_revoked(&specola.origin()).await
}

pub async fn a_token_until_revoked(origin: &str) -> Result<()> {
    let mut session = Session::logged_in(origin, "alice", PASSWORD).await?;
    let model = Body::Json(json!({"note": "a script", "expires_in": 600}));
    let made = session.api(Method::POST, "/users/alice/tokens", model).await?.expect(&[201])?.json()?;
    let token = made["token"].as_str().context("the token")?;
    let id = made["id"].as_str().context("its id")?.to_owned();
    let mut script = session.with_token(token);
    let model = script.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!((&model["name"], &model["token_id"]), (&json!("alice"), &json!(id)));
    session.api(Method::DELETE, &format!("/users/alice/tokens/{id}"), Body::Empty).await?.expect(&[204])?;
    script.api(Method::GET, "/user", Body::Empty).await?.expect(&[403])?;
    Ok(())
}

#[tokio::test]
async fn a_demo_login_refuses_to_start_on_a_public_address() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ground = tests::jupyterhub::Ground::new(folder.path())?;
    let address = format!("\"http://0.0.0.0:{}\"", ground.port);
    let mut specola = Specola::on(ground, Options::default().set("hub", "bind_url", &address), Default::default());
    specola.launch(&[])?;
    assert!(!specola.ended()?.success());
    let log = specola.log();
    assert!(log.contains("bind_url") && log.contains("127.0.0.1"), "the log does not name the remedy: {log}");
    Ok(())
}

#[tokio::test]
async fn nobody_sees_the_account_of_another() -> Result<()> {
    let specola = Specola::start(Options::default()).await?;
    people_are_apart(&specola.origin()).await
}

pub async fn people_are_apart(origin: &str) -> Result<()> {
    let mut alice = Session::logged_in(origin, "alice", PASSWORD).await?;
    Session::logged_in(origin, "bob", PASSWORD).await?;
    alice.api(Method::GET, "/users/bob", Body::Empty).await?.expect(&[404])?;
    alice.api(Method::POST, "/users/bob/server", Body::Empty).await?.expect(&[404])?;
    alice.api(Method::GET, "/users", Body::Empty).await?.expect(&[403])?;
    let mut admin = Session::logged_in(origin, "admin", PASSWORD).await?;
    let all = admin.api(Method::GET, "/users", Body::Empty).await?.expect(&[200])?.json()?;
    let mut names: Vec<&str> =
        all.as_array().context("a list")?.iter().filter_map(|user| user["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["admin", "alice", "bob"]);
    Ok(())
}
