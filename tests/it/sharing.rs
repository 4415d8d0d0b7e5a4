//! A real lab shared by a code: its owner's friend opens it through proxy and OAuth, and loses it when it is taken back.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Kernel, Session, Specola, need, place, until};

/// The values of the hidden fields of this name in a page.
pub fn hidden(page: &str, name: &str) -> Vec<String> {
    let field = format!("name=\"{name}\" value=\"");
    page.split(&field).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// Opens a page of the lab, agreeing where the hub asks whether the lab may know who it is.
async fn open(session: &mut Session, path: &str) -> Result<u16> {
    let (url, page) = session.follow(path).await?;
    if !url.path().ends_with("/oauth2/authorize") || page.status != 200 {
        return Ok(page.status.as_u16());
    }
    let scopes = hidden(&page.text(), "scopes");
    let fields: Vec<(&str, &str)> = scopes.iter().map(|scope| ("scopes", scope.as_str())).collect();
    let target = url[url::Position::BeforePath..].to_owned();
    let answer = session.submit(&target, &fields).await?.expect(&[302])?;
    let back = url.join(answer.location().context("a way back")?)?;
    let (_, page) = session.follow(&back[url::Position::BeforePath..]).await?;
    Ok(page.status.as_u16())
}

/// Labs ask the hub anew after a second; of themselves they believe its answer for five minutes.
fn options(python: &Path) -> Options {
    let mut arguments = vec!["--HubOAuth.cache_max_age=1"];
    arguments.extend(place::is_root().then_some("--allow-root"));
    let options = Options::default().real_lab(python).set("hub", "redirect_to_server", "false");
    options.set("spawner", "args", &format!("{arguments:?}")).set("hub", "extra_user_scopes", "[\"shares!user\"]")
}

#[tokio::test]
async fn a_friend_uses_a_lab_shared_by_a_code_until_it_is_taken_back() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let specola = Specola::start(options(&python)).await?;
    let (mut alice, mut bob) = (specola.logged_in("alice").await?, specola.logged_in("bob").await?);
    let token = bob.new_token("bob").await?;
    let mut script = bob.with_token(&token);
    alice.start_server("alice").await?;
    assert_eq!(open(&mut bob, "/user/alice/lab").await?, 403);
    assert_eq!(script.get("/user/alice/api/status").await?.status, 403);

    let made = alice.api(Method::POST, "/share-codes/alice/", Body::Json(json!({}))).await?.expect(&[200])?.json()?;
    let path = made["accept_url"].as_str().context("where to accept")?;
    let page = bob.get(path).await?.expect(&[200])?.text();
    let code = hidden(&page, "code").pop().context("the code in the form")?;
    let accepted = bob.submit("/hub/accept-share", &[("code", &code)]).await?.expect(&[302])?;
    assert_eq!(accepted.location(), Some("/user/alice/"));

    // By cookie, after consent to a lab that is not the own one; the second time nothing is asked.
    assert_eq!(open(&mut bob, "/user/alice/lab").await?, 200);
    let status = bob.get("/user/alice/api/status").await?.expect(&[200])?.json()?;
    assert_eq!(status["kernels"], 0);
    let mut again = Session::logged_in(&specola.origin(), "bob", PASSWORD).await?;
    let (url, page) = again.follow("/user/alice/lab").await?;
    assert_eq!((url.path(), page.status.as_u16()), ("/user/alice/lab", 200), "{}", page.text());
    // By token, and what runs there runs as its owner.
    until("the lab asks about the token anew", Duration::from_secs(20), async || {
        Ok((script.get("/user/alice/api/status").await?.status == 200).then_some(()))
    })
    .await?;
    let mut kernel = Kernel::start(&specola.origin(), "/user/alice/", &token).await?;
    assert_eq!(kernel.run("import os; os.environ['JUPYTERHUB_USER']").await?, "'alice'");
    // No more than that: the server is not bob's to stop or to share.
    script.api(Method::DELETE, "/users/alice/server", Body::Empty).await?.expect(&[403, 404])?;
    script.api(Method::POST, "/share-codes/alice/", Body::Empty).await?.expect(&[403, 404])?;

    let revoke = Body::Json(json!({"user": "bob"}));
    let left = alice.api(Method::PATCH, "/shares/alice/", revoke).await?.expect(&[200])?.json()?;
    assert_eq!(left, Value::Object(Default::default()));
    // At the hub at once, for every token there was; at the lab as soon as it asks again.
    let model = script.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert!(!model["scopes"].to_string().contains("server=alice/"), "{model}");
    until("the lab to shut bob out", Duration::from_secs(30), async || {
        let by_token = script.get("/user/alice/api/status").await?.status;
        let by_cookie = bob.get("/user/alice/api/status").await?.status;
        Ok((by_token == 403 && by_cookie != 200).then_some(()))
    })
    .await?;
    let mut fresh = Session::logged_in(&specola.origin(), "bob", PASSWORD).await?;
    assert_eq!(open(&mut fresh, "/user/alice/lab").await?, 403);
    assert_eq!(alice.with_token(&token).get("/user/alice/api/status").await?.status, 403);
    alice.stop_server("alice").await
}
