//! A lab for working together: who finds it, as whom they are there, and that nobody is its account.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Kernel, Session, Specola, need, place};

const LAB: &str = "physics-lab";
const ACCOUNT: &str = "/users/physics-lab";

/// Uses the server's own token, as everybody can who works there.
const OWN_TOKEN: &str = r#"
import json, os, urllib.error, urllib.request
def ask(path, body=None):
    head = {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]}
    data = None if body is None else json.dumps(body).encode()
    try:
        urllib.request.urlopen(urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + path, data=data, headers=head))
        return "done"
    except urllib.error.HTTPError as error:
        return error.code in (403, 404)
ask("/user"), ask("/users/physics-lab/tokens", {}), ask("/users/physics-lab/servers/other", {}), ask("/users/anna/server", {})
"#;

/// Members of a group have it, with a GPU. What JupyterLab itself takes for it is in an image (`deploy::together`).
fn lab() -> Value {
    json!([{"name": LAB, "display_name": "Physics", "description": "Detectors, together.", "groups": ["physics"],
        "options": {"gpu": 1}, "args": ["--HubOAuth.cache_max_age=1"]}])
}

fn options(python: &Path) -> Options {
    Options::default()
        .real_lab(python)
        .set("hub", "allow_named_servers", "true")
        .set("hub.load_groups.physics", "users", "[\"anna\", \"bela\"]")
        .set("options", "gpus", "[0, 1]")
        .set("spawner.devices", "\"nvidia.com/gpu\"", "[\"GPU-aa\"]")
}

/// Opens a page of the lab, where nothing is asked.
async fn enter(session: &mut Session) -> Result<Value> {
    let (url, page) = session.follow("/user/physics-lab/lab").await?;
    ensure!(page.status == 200 && url.path() == "/user/physics-lab/lab", "{url}: {} {}", page.status, page.text());
    session.get("/user/physics-lab/api/me").await?.expect(&[200])?.json()
}

async fn refused(session: &mut Session, method: Method, path: &str, body: Value) -> Result<()> {
    let answer = session.api(method.clone(), path, Body::Json(body)).await?;
    ensure!(matches!(answer.status.as_u16(), 403 | 404), "{method} {path}: {} {}", answer.status, answer.text());
    Ok(())
}

#[tokio::test]
async fn members_start_enter_and_stop_one_lab_as_themselves_and_nobody_else_does() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let options = options(&python).variable("SPECOLA_COLLABORATION", &lab().to_string());
    let specola = Specola::start(options).await?;
    let (mut anna, mut bela) = (specola.logged_in("anna").await?, specola.logged_in("bela").await?);
    let (mut eve, mut admin) = (specola.logged_in("eve").await?, specola.logged_in("admin").await?);

    // Members find it at home; one click starts it, though there is something to choose for servers of one's own.
    let home = anna.get("/hub/home").await?.expect(&[200])?.text();
    ensure!(home.contains("Detectors, together.") && home.contains("href=\"/hub/spawn/physics-lab\""), "{home}");
    let home = eve.get("/hub/home").await?.expect(&[200])?.text();
    ensure!(!home.contains(LAB) && !home.contains("Physics"), "{home}");
    ensure!(anna.get("/hub/spawn/anna").await?.expect(&[200])?.text().contains("name=\"gpu\""), "a form for her own");
    anna.get("/hub/spawn/physics-lab").await?.expect(&[302, 303])?;
    anna.server_ready(LAB).await.with_context(|| specola.log())?;

    // By cookie and by token, everybody is who they are.
    let (of_anna, of_bela) = (enter(&mut anna).await?, enter(&mut bela).await?);
    assert_eq!((&of_anna["identity"]["username"], &of_bela["identity"]["username"]), (&json!("anna"), &json!("bela")));
    let (for_anna, for_eve) = (anna.new_token("anna").await?, eve.new_token("eve").await?);
    let mut kernel = Kernel::start(&specola.origin(), "/user/physics-lab/", &for_anna).await?;
    let said = kernel.run("import os; os.environ['JUPYTERHUB_USER'], os.environ['CUDA_VISIBLE_DEVICES']").await?;
    assert_eq!(said, "('physics-lab', 'GPU-aa')");
    // What can be read there is good for that server only.
    assert_eq!(kernel.run(OWN_TOKEN).await?, "('done', True, True, True)");

    // Somebody else is not let in, and does not learn that it is there.
    let (_, page) = eve.follow("/user/physics-lab/lab").await?;
    assert_eq!(page.status, 403, "{}", page.text());
    let mut script = eve.with_token(&for_eve);
    assert_eq!(script.get("/user/physics-lab/api/status").await?.status, 403);
    refused(&mut script, Method::GET, ACCOUNT, Value::Null).await?;
    refused(&mut script, Method::DELETE, &format!("{ACCOUNT}/server"), json!({})).await?;
    let stop = [("action", "stop"), ("owner", LAB)];
    eve.submit("/hub/home", &stop).await?.expect(&[403, 404])?;
    // And the account is no member's, whatever the server is.
    let mut script = anna.with_token(&for_anna);
    for (method, path, body) in [
        (Method::POST, format!("{ACCOUNT}/tokens"), json!({})),
        (Method::GET, format!("{ACCOUNT}/tokens"), Value::Null),
        (Method::PATCH, ACCOUNT.to_owned(), json!({"admin": true})),
        (Method::DELETE, ACCOUNT.to_owned(), json!({})),
        (Method::POST, format!("{ACCOUNT}/servers/other"), json!({})),
        (Method::POST, "/share-codes/physics-lab/".to_owned(), json!({})),
        (Method::POST, "/groups/physics/users".to_owned(), json!({"users": ["eve"]})),
    ] {
        refused(&mut script, method, &path, body).await?;
    }

    // Any member stops it from home. With what it starts is nobody's choice.
    bela.submit("/hub/home", &stop).await?.expect(&[302, 303])?;
    bela.server_stopped(LAB).await?;
    let own = Body::Json(json!({"gpu": 0}));
    let answer = script.api(Method::POST, &format!("{ACCOUNT}/server"), own).await?.expect(&[403])?;
    ensure!(answer.text().contains("What Physics is started with"), "{}", answer.text());
    refused(&mut script, Method::PATCH, &format!("{ACCOUNT}/server"), json!({"user_options": {"gpu": 0}})).await?;

    // Whoever leaves the group is out at once.
    admin.api(Method::DELETE, "/groups/physics/users", Body::Json(json!({"users": ["bela"]}))).await?.expect(&[200])?;
    refused(&mut bela, Method::POST, &format!("{ACCOUNT}/server"), json!({})).await?;
    ensure!(!bela.get("/hub/home").await?.text().contains(LAB));
    Ok(())
}

/// Logs in at the hub's own page; gives the status of the answer, and whether somebody is logged in then.
async fn logs_in(specola: &Specola) -> Result<(u16, bool)> {
    let mut session = specola.session()?;
    let answer = session.log_in(LAB, PASSWORD).await?;
    let home = session.get("/hub/home").await?;
    Ok((answer.status.as_u16(), home.status == 200))
}

#[tokio::test]
async fn nobody_logs_in_as_the_account_and_an_account_of_somebodys_becomes_no_lab() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let with = options(&python).variable("SPECOLA_COLLABORATION", &lab().to_string());
    let mut specola = Specola::start(with.clone()).await?;
    // The method lets in everybody under any name.
    assert_eq!(logs_in(&specola).await?, (403, false));
    let mut admin = specola.logged_in("admin").await?;
    let account = admin.api(Method::GET, ACCOUNT, Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!((&account["admin"], &account["groups"]), (&json!(false), &json!([])));

    // Nor once the lab is gone: what is left of it is no person's.
    specola.reconfigure(options(&python)).await?;
    assert_eq!(logs_in(&specola).await?, (403, false));
    // It starts again as before, with the same account.
    specola.reconfigure(with.clone()).await?;
    let again = admin.api(Method::GET, ACCOUNT, Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(again["created"], account["created"]);

    // Deleted, the name is free for whoever comes; and theirs does not become everybody's.
    specola.reconfigure(options(&python)).await?;
    admin.api(Method::DELETE, ACCOUNT, Body::Empty).await?.expect(&[204])?;
    assert!(logs_in(&specola).await?.1, "{}", specola.log());
    specola.stop_hub()?;
    specola.launch(&[("SPECOLA_COLLABORATION", &lab().to_string())])?;
    assert!(!specola.ended()?.success());
    ensure!(specola.log().contains("is the name of somebody who was here before"), "{}", specola.log());
    Ok(())
}
