//! Users with hosts of their own, over HTTP/2 and TLS, in a real browser with real labs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Browser, Specola, need, place, until};

const PATIENCE: Duration = Duration::from_secs(90);

/// Asks in the page: status of the answer, or the name of the error.
const ASK: &str = "const [url, options, done] = arguments; \
    fetch(url, options).then(answer => done(answer.status), error => done(error.name))";

/// Starts a kernel in the lab that is open, connects its websocket, and gives the type of the first message.
const KERNEL: &str = "const [base, done] = arguments; (async () => { \
    const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)[1]; \
    const started = await fetch(base + 'api/kernels', {method: 'POST', headers: {'X-XSRFToken': xsrf}}); \
    const {id} = await started.json(); \
    const socket = new WebSocket(`wss://${location.host}${base}api/kernels/${id}/channels`); \
    const header = {msg_id: '1', msg_type: 'kernel_info_request', username: '', session: '1', date: '', version: '5.3'}; \
    const message = {channel: 'shell', header, parent_header: {}, metadata: {}, content: {}}; \
    socket.onopen = () => socket.send(JSON.stringify(message)); \
    socket.onmessage = event => { window.kept = socket; done(typeof event.data); }; \
    socket.onerror = () => done('broken'); \
    })().catch(error => done(String(error)))";

async fn ask(browser: &Browser, url: &str, options: Value) -> Result<Value> {
    Ok(browser.client.execute_async(ASK, vec![json!(url), options]).await?)
}

#[tokio::test]
async fn pages_of_one_person_cannot_read_those_of_another_and_websockets_share_one_connection() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let browser = need!(Browser::resolving("hub.test").await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let folder = tempfile::tempdir()?;
    let ground = tests::jupyterhub::Ground::new(folder.path())?;
    let port = ground.port;
    let hub = format!("https://hub.test:{port}");
    let options = Options::default().real_lab(&python).set("proxy", "tls", "\"self-signed\"").set(
        "hub",
        "subdomain_host",
        &format!("{hub:?}"),
    );
    let mut specola = Specola::on(ground, options, tests::mark::Mark::default());
    specola.launch(&[])?;
    until("hub over TLS", PATIENCE, async || {
        ensure!(specola.has_ended()?.is_none(), "the hub has ended:\n{}", specola.log());
        Ok(browser.go(&format!("{hub}/hub/login")).await.is_ok().then_some(()))
    })
    .await?;

    // A log-in at the hub's host ends in a lab at one's own.
    browser.log_in(&hub, "admin", PASSWORD).await?;
    let own = "https://admin.hub.test";
    let lab = |url: &url::Url, name: &str| {
        url.host_str() == Some(&format!("{name}.hub.test")) && url.path().starts_with(&format!("/user/{name}/lab"))
    };
    browser.arrives("lab", |url| lab(url, "admin")).await?;
    // While a page is still coming, what is asked in it has no answer.
    browser.shown(".jp-LabShell").await?;
    let spoken = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    ensure!(browser.client.execute(spoken, vec![]).await? == json!("h2"));

    // A kernel answers over a websocket that shares the browser's connection.
    let first = browser.client.execute_async(KERNEL, vec![json!("/user/admin/")]).await?;
    ensure!(first == json!("object") || first == json!("string"), "{first}");
    let status = specola.proxy_status().await?;
    let count = |name: &str| status[name].as_u64().unwrap_or_default();
    ensure!(count("sharing_tunnels") >= 1 && count("sharing_tunnels") == count("tunnels"), "{status}");

    // The login stays at the hub's host.
    let cookies = browser.client.get_all_cookies().await?;
    let names: Vec<&str> = cookies.iter().map(|cookie| cookie.name()).collect();
    ensure!(names.contains(&"jupyterhub-session-id") && names.contains(&"jupyterhub-user-admin"), "{names:?}");
    ensure!(!names.contains(&"jupyterhub-hub-login"), "{names:?}");

    // Somebody else's server, opened by an administrator, who may.
    browser.go(&format!("{hub}/hub/home")).await?;
    let xsrf = browser.client.execute("return document.cookie.match(/_xsrf=([^;]*)/)[1]", vec![]).await?;
    let post = json!({"method": "POST", "headers": {"X-XSRFToken": xsrf}});
    for path in ["users/bob", "users/bob/server"] {
        let answer = ask(&browser, &format!("/hub/api/{path}"), post.clone()).await?;
        ensure!(answer == json!(201) || answer == json!(202), "{path}: {answer}");
    }
    browser.go(&format!("{hub}/user/bob/lab")).await?;
    let opened = until("lab of bob", PATIENCE, async || {
        let url = browser.client.current_url().await?;
        if url.path().ends_with("/authorize") {
            browser.click("form.stack button.primary").await?;
        } else if url.path().starts_with("/hub/") {
            browser.go(&format!("{hub}/user/bob/lab")).await?;
        }
        Ok(lab(&url, "bob").then_some(url))
    });
    opened.await.with_context(|| specola.log())?;
    browser.shown(".jp-LabShell").await?;
    // From bob's pages: bob's own things, and nothing of the administrator's, whose cookies the browser has.
    let with_cookies = json!({"credentials": "include"});
    let reads = async |url: String| ask(&browser, &url, with_cookies.clone()).await;
    let token = browser.client.execute("return document.cookie.match(/_xsrf=([^;]*)/)[1]", vec![]).await?;
    let mine = ask(&browser, "/user/bob/api/contents", json!({"headers": {"X-XSRFToken": token}})).await?;
    ensure!(mine == json!(200), "{mine}");
    for url in [
        format!("{own}:{port}/user/admin/api/contents"),
        format!("{hub}/hub/api/user"),
        format!("{hub}/hub/home"),
        // At bob's own host there is no hub either, only the way to it.
        "/hub/api/user".into(),
    ] {
        ensure!(reads(url.clone()).await? == json!("TypeError"), "{url}");
    }
    let names = browser.client.get_all_cookies().await?;
    let names: Vec<&str> = names.iter().map(|cookie| cookie.name()).collect();
    ensure!(!names.contains(&"jupyterhub-hub-login") && !names.contains(&"jupyterhub-user-admin"), "{names:?}");
    browser.go(&format!("https://bob.hub.test:{port}/hub/home")).await?;
    browser.arrives("hub", |url| url.host_str() == Some("hub.test") && url.path() == "/hub/home").await?;
    Ok(())
}
