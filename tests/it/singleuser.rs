//! The unmodified single-user servers of JupyterHub 6.1 and 5.x: login through the hub's OAuth, tokens, rights.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use http::Method;
use serde_json::json;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Kernel, Session, Specola, need, place, until};

async fn works(python: &Path) -> Result<()> {
    let specola = Specola::start(Options::default().real_lab(python)).await?;
    a_lab_is_open_to_its_owner_only(&specola.origin()).await
}

/// The steps a real JupyterHub passes too.
pub async fn a_lab_is_open_to_its_owner_only(origin: &str) -> Result<()> {
    let mut alice = Session::logged_in(origin, "alice", PASSWORD).await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await?;

    // By cookie: the lab sends the browser to the hub, which knows it and sends it back.
    let (url, page) = alice.follow("/user/alice/lab").await?;
    assert_eq!((url.path(), page.status.as_u16()), ("/user/alice/lab", 200), "{}", page.text());
    let status = alice.get("/user/alice/api/status").await?.expect(&[200])?.json()?;
    assert_eq!(status["kernels"], 0);

    // By token, from a script.
    let mut kernel = Kernel::start(origin, "/user/alice/", &token).await?;
    assert_eq!(kernel.run("import os; os.environ['JUPYTERHUB_USER']").await?, "'alice'");

    // Another person gets no further than the hub's word on it, an admin gets in.
    let mut bob = Session::logged_in(origin, "bob", PASSWORD).await?;
    let (_, page) = bob.follow("/user/alice/lab").await?;
    assert_eq!(page.status, 403, "{}", page.text());
    let stranger = bob.new_token("bob").await?;
    let answer = bob.with_token(&stranger).get("/user/alice/api/status").await?;
    assert_eq!(answer.status, 403);

    // What the lab tells of its activity arrives.
    until("activity of the server", Duration::from_secs(30), async || {
        let model = alice.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
        Ok(model["servers"][""]["last_activity"].is_string().then_some(()))
    })
    .await?;

    // A log-out at the hub ends the lab's session too: its token was bound to it.
    alice.follow("/hub/logout").await?;
    let model = bob.with_token(&token).api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["name"], json!("alice"), "a token made by hand outlives the session");
    bob.with_token(&token).stop_server("alice").await
}

#[tokio::test]
async fn the_single_user_server_of_jupyterhub_6_works_unmodified() -> Result<()> {
    works(&need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON")).await
}

#[tokio::test]
async fn the_single_user_server_of_jupyterhub_5_works_unmodified() -> Result<()> {
    works(&need!(place::jupyterhub5(), "JupyterHub 5.x", "SPECOLA_JUPYTERHUB5_PYTHON")).await
}
