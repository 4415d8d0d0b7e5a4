//! What scripts and bookmarklets hold on to in the pages: ids of elements, names of fields, classes of rows and buttons.
//!
//! The list is what JupyterHub's own templates have: each entry is looked for in the pages of a real one first, so that
//! none is there by mistake.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Body, JupyterHub, Mark, Session, Specola, need, place};
use url::Url;

const TOKEN: &str = "token-of-grades-1";
const CONSENT: &str = "/hub/api/oauth2/authorize?client_id=service-grades&response_type=code&\
                       redirect_uri=%2Fservices%2Fgrades%2Foauth_callback";
const ACCESS: &str = "access:services!service=grades";
/// What the application may ask for beside knowing who somebody is.
const MORE: &str = "read:users:activity!user";

/// A page, and what has to be in it.
const HELD: &[(&str, &[&str])] = &[
    (
        "/hub/login?next=%2Fhub%2Ftoken",
        &[
            "#login-main",
            "#username_input",
            "#password_input",
            "#login_submit",
            "name=username",
            "name=password",
            "name=_xsrf",
        ],
    ),
    (
        "/hub/home",
        &[
            "#start",
            "#stop",
            "#stop-run",
            "#start-rest",
            "#delete-rest",
            ".server-table",
            ".home-server-row",
            ".add-server-row",
            ".new-server-name",
            ".new-server-btn",
            ".stop-server",
            ".start-server",
            ".delete-server",
            ".server-link",
            "data-server-name=rest",
            "data-server-name=run",
        ],
    ),
    (
        "/hub/token",
        &[
            "#request-token-form",
            "#token-note",
            "#note-note",
            "#token-expiration-seconds",
            "#note-expires-at",
            "#token-scopes",
            "#note-token-scopes",
            "#token-area",
            "#token-result",
            "#api-tokens-section",
            "#api-tokens-table",
            ".token-row",
            "data-token-id",
            ".revoke-token-btn",
            ".note-col",
            ".scope-col",
            ".time-col",
            "#oauth-tokens-table",
        ],
    ),
    ("/hub/spawn-pending/alice/rest", &["#start"]),
    ("CODE", &["name=_xsrf", "name=code"]),
    ("CONSENT", &["name=_xsrf", "name=scopes"]),
];

/// Whether a page has it: `#id`, `.class`, `attribute=value` or an attribute.
fn has(page: &str, held: &str) -> bool {
    let (attribute, wanted) = match held.split_at(1) {
        ("#", id) => ("id", Some(id)),
        (".", class) => ("class", Some(class)),
        _ => match held.split_once('=') {
            Some((attribute, value)) => (attribute, Some(value)),
            None => (held, None),
        },
    };
    let beginning = format!("{attribute}=\"");
    page.match_indices(&beginning).any(|(at, _)| {
        let value = page.get(at + beginning.len()..).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        wanted.is_none_or(|wanted| {
            value == wanted || attribute == "class" && value.split_whitespace().any(|it| it == wanted)
        })
    })
}

/// What of the list is not in the pages of a hub: alice has a server that runs, one of each kind with a name, a token and an
/// application that she let in; bob shares his server with whoever has the code.
async fn missing(origin: &str) -> Result<Vec<String>> {
    let mut alice = Session::logged_in(origin, "alice", PASSWORD).await?;
    let token = alice.new_token("alice").await?;
    let mut script = alice.with_token(&token);
    script.start_server("alice").await?;
    script.api(Method::PUT, "/users/alice/servers/rest", Body::Empty).await?.expect(&[201])?;
    script.api(Method::POST, "/users/alice/servers/run", Body::Empty).await?.expect(&[201, 202])?;
    let mut bob = Session::logged_in(origin, "bob", PASSWORD).await?;
    let code = bob.api(Method::PUT, "/users/bob/servers/one", Body::Empty).await?;
    code.expect(&[201])?;
    let code = bob.api(Method::POST, "/share-codes/bob/one", Body::Json(json!({}))).await?.expect(&[200])?.json()?;
    let accept = code["accept_url"].as_str().context("accept_url")?.to_owned();
    let consent = |state: &str| format!("{CONSENT}&state={state}");
    // Agreed to once, so that an application is in the list; more is asked for the next time.
    alice.get(&consent("a")).await?.expect(&[200])?;
    let agreed = alice.submit(&consent("a"), &[("scopes", "read:users:name!user=alice"), ("scopes", ACCESS)]).await?;
    let to = Url::parse("http://here/")?.join(agreed.expect(&[302])?.location().context("a way back")?)?;
    let code = to.query_pairs().find(|(name, _)| name == "code").context("a code")?.1.into_owned();
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "service-grades"),
        ("client_secret", TOKEN),
        ("code", &code),
        ("redirect_uri", "/services/grades/oauth_callback"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Session::new(origin)?.send(Method::POST, "/hub/api/oauth2/token", Body::Form(fields)).await?.expect(&[200])?;

    let more = format!("{CONSENT}&scope=identify+{MORE}");
    let mut lines = Vec::new();
    for (path, held) in HELD {
        let path = match *path {
            "CODE" => accept.as_str(),
            "CONSENT" => more.as_str(),
            path => path,
        };
        let mut who = if path.contains("/login") { Session::new(origin)? } else { alice.clone() };
        let page = who.get(path).await?;
        let text = page.text();
        let missing = held.iter().filter(|held| !has(&text, held));
        lines.extend(missing.map(|held| format!("{path} ({}): {held}", page.status)));
    }
    Ok(lines)
}

#[tokio::test]
async fn pages_have_what_scripts_hold_on_to_in_jupyterhubs() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let lab = place::package().join("labs/quick.py").display().to_string();
    let plain = place::plain_python()?.display().to_string();
    let more = format!(
        "c.Spawner.cmd = [{plain:?}, {lab:?}]\nc.Spawner.args = []\nc.JupyterHub.allow_named_servers = True\n\
         c.JupyterHub.services = [{{'name': 'grades', 'api_token': {TOKEN:?}, \
         'oauth_redirect_uri': '/services/grades/oauth_callback', 'oauth_client_allowed_scopes': [{MORE:?}]}}]\n\
         c.JupyterHub.load_roles = [{{'name': 'people', 'scopes': ['shares!user', 'access:services'], \
         'users': ['alice', 'bob']}}]\n"
    );
    let jupyterhub =
        JupyterHub::configured(Ground::new(folder.path())?, &python, &proxy, Mark::default(), &more).await?;
    let theirs = missing(&jupyterhub.ground.origin()).await.with_context(|| jupyterhub.log())?;
    assert!(theirs.is_empty(), "not in JupyterHub's pages:\n{}", theirs.join("\n"));

    let service = format!(
        "[{{ name = \"grades\", api_token = {TOKEN:?}, oauth_redirect_uri = \"/services/grades/oauth_callback\", \
         oauth_client_allowed_scopes = [{MORE:?}] }}]"
    );
    let roles = r#"[{ name = "people", scopes = ["shares!user", "access:services"], users = ["alice", "bob"] }]"#;
    let options = Options::default().set("hub", "allow_named_servers", "true").set("hub", "services", &service);
    let specola = Specola::start(options.set("hub", "load_roles", roles).small_lab("quick.py")?).await?;
    let ours = missing(&specola.origin()).await.with_context(|| specola.log())?;
    assert!(ours.is_empty(), "not in our pages:\n{}", ours.join("\n"));
    Ok(())
}
