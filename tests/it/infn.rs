//! A hub that is told everything by the variables of INFN's deployments, and clients that are registered or completed by
//! the hub itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::jupyterhub::Ground;
use tests::mark::Mark;
use tests::postgres::{Postgres, programs};
use tests::provider::{self, Installed, Provider};
use tests::specola::Options;
use tests::{Body, Session, Specola, need, place, until};

const LOGIN: &str = "/hub/oauth_login?provider=iam";
const SECRET: &str = "the-secret-of-the-client-of-the-hub";
const KEY: &str = "3a2f0c5e8b6d4f1a9c7e5b3d1f0a8c6e4b2d0f9e7c5a3b1d8f6e4c2a0b9d7f5e";
const GRAFANA: &str = "https://hub.example.org/grafana/login/generic_oauth";
const PATH: &str = "/iam/api/client-registration";

/// A provider, and the ground of a hub that knows it by variables only.
struct House {
    provider: Provider,
    specola: Specola,
    // The last to go.
    folder: TempDir,
}

fn callback(ground: &Ground) -> String {
    format!("{}/hub/oauth_callback", ground.origin())
}

/// What the variables tell a hub of its provider.
fn told(ground: &Ground, provider: &Provider, client: &str, secret: (&str, &str)) -> Options {
    Options::bare()
        .variable("OAUTH_ENDPOINT", &format!("{}/", provider.issuer()))
        .variable("OAUTH_CALLBACK_URL", &callback(ground))
        .variable("OAUTH_GROUPS", "users beta_testers")
        .variable("ADMIN_OAUTH_GROUPS", "admins")
        .variable("IAM_CLIENT_ID", client)
        .variable(secret.0, secret.1)
}

impl House {
    /// The hub is not started yet. `secret` stands for IAM_CLIENT_SECRET or what takes its place.
    async fn new(installed: &Installed, client: &str, secret: (&str, &str), more: &[(&str, &str)]) -> Result<House> {
        let provider = Provider::start(installed).await?;
        House::at(provider, client, secret, more).await
    }

    async fn at(provider: Provider, client: &str, secret: (&str, &str), more: &[(&str, &str)]) -> Result<House> {
        let folder = tempfile::tempdir()?;
        let ground = Ground::new(folder.path())?;
        let options = told(&ground, &provider, client, secret);
        let options = more.iter().fold(options, |options, (name, value)| options.variable(name, value));
        let specola = Specola::on(ground, options, Mark::default());
        provider.set_user("anna", json!({"groups": ["users"]})).await?;
        provider.set_user("boss", json!({"groups": ["admins"]})).await?;
        provider.set_user("eve", json!({"groups": ["visitors"]})).await?;
        Ok(House { provider, specola, folder })
    }

    async fn signed_in(&self, name: &str) -> Result<Session> {
        let mut session = self.specola.session()?;
        let (url, page) = self.provider.sign_in(&mut session, LOGIN, name).await?;
        page.expect(&[200]).with_context(|| format!("at {url}"))?;
        assert_eq!(url.query(), None, "the provider's answer goes no further");
        Ok(session)
    }

    /// Why the hub does not start.
    fn refusal(&mut self) -> Result<String> {
        self.specola.launch(&[])?;
        assert!(!self.specola.ended()?.success());
        Ok(self.specola.log())
    }
}

async fn whoami(session: &mut Session) -> Result<Value> {
    session.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()
}

#[tokio::test]
async fn the_variables_of_a_deployment_are_all_a_hub_needs() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let more = [
        ("OAUTH_SUB", "the-owner"),
        ("JUPYTERHUB_CRYPT_KEY", KEY),
        ("JUPYTER_IMAGE_LIST", "registry.example.org/lab:1"),
        ("JUPYTER_RAM_LIST", "1G,2G,6G"),
        ("DOCKER_SPAWN_CMD", "tini -s -- jupyterhub-singleuser"),
        ("POST_START_CMD", ""),
        ("WITH_GPU", "false"),
    ];
    let mut house = House::new(&installed, "hub", ("IAM_CLIENT_SECRET", SECRET), &more).await?;
    let callback = callback(&house.specola.ground);
    let metadata = json!({"client_secret": SECRET, "redirect_uris": [callback],
        "scope": "openid profile email offline_access"});
    house.provider.set_client("hub", metadata).await?;
    house.specola.run().await?;

    let mut anna = house.signed_in("anna").await?;
    let model = whoami(&mut anna).await?;
    assert_eq!((&model["admin"], &model["groups"]), (&json!(false), &json!(["users"])));
    let form = anna.get("/hub/spawn").await?.expect(&[200])?.text();
    assert!(
        form.contains("name=\"mem\"") && !form.contains("name=\"img\"") && !form.contains("name=\"gpu\""),
        "{form}"
    );
    for size in ["1G", "2G", "6G"] {
        assert!(form.contains(&format!("value=\"{size}\"")), "{size}: {form}");
    }
    // The form is no more than the function behind it: REST is held to the same menu.
    let start = Body::Json(json!({"mem": "64G"}));
    anna.api(Method::POST, "/users/anna/server", start).await?.expect(&[400, 403])?;

    let mut eve = house.specola.session()?;
    let page = house.provider.sign_in(&mut eve, LOGIN, "eve").await?.1.expect(&[403])?.text();
    assert!(page.contains("<code>users</code>") && page.contains("<code>beta_testers</code>"), "{page}");

    let mut boss = house.signed_in("boss").await?;
    assert_eq!(whoami(&mut boss).await?["admin"], true);
    boss.get("/hub/admin").await?.expect(&[200])?;
    // H10: the owner needs no group.
    house.provider.set_user("eve", json!({"sub": "the-owner"})).await?;
    assert_eq!(whoami(&mut house.signed_in("eve").await?).await?["admin"], true);

    let log = house.specola.log();
    assert!(
        log.contains("JUPYTER_IMAGE_LIST is not used") && log.contains("Not used: DOCKER_SPAWN_CMD: they say how"),
        "{log}"
    );
    assert!(!log.contains(SECRET) && !log.contains(KEY));
    Ok(())
}

/// INFN's lab for everybody, with no token in common: nobody at the provider is its account, whatever they are called there.
#[tokio::test]
async fn an_account_at_the_provider_with_the_name_of_the_lab_for_everybody_is_not_that_lab() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let more = [("JUPYTERHUB_CRYPT_KEY", KEY), ("JUPYTER_COLLAB_SERVICE", "True")];
    let mut house = House::new(&installed, "hub", ("IAM_CLIENT_SECRET", SECRET), &more).await?;
    let metadata = json!({"client_secret": SECRET, "redirect_uris": [callback(&house.specola.ground)],
        "scope": "openid profile email offline_access"});
    house.provider.set_client("hub", metadata).await?;
    // In the groups, and an administrator by them: no right of theirs makes them the account.
    house.provider.set_user("collaboration", json!({"groups": ["users", "admins"]})).await?;
    house.specola.run().await?;
    let mut anna = house.signed_in("anna").await?;
    let home = anna.get("/hub/home").await?.expect(&[200])?.text();
    assert!(home.contains("Collaborative-Jupyter") && home.contains("/hub/spawn/collaboration"), "{home}");

    let mut same = house.specola.session()?;
    let page = house.provider.sign_in(&mut same, LOGIN, "collaboration").await?.1.expect(&[403])?.text();
    assert!(!page.contains("Collaborative-Jupyter"), "{page}");
    same.api(Method::GET, "/user", Body::Empty).await?.expect(&[401, 403])?;
    // The account is as it was, and nobody is shut out of it.
    let mut boss = house.signed_in("boss").await?;
    let account = boss.api(Method::GET, "/users/collaboration", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(
        (&account["admin"], &account["groups"], &account["auth_state"]),
        (&json!(false), &json!([]), &Value::Null)
    );
    anna.api(Method::GET, "/users/collaboration", Body::Empty).await?.expect(&[200])?;
    // Who is in no group is let in nowhere.
    let mut eve = house.specola.session()?;
    house.provider.sign_in(&mut eve, LOGIN, "eve").await?.1.expect(&[403])?;
    eve.api(Method::GET, "/users/collaboration", Body::Empty).await?.expect(&[401, 403])?;
    Ok(())
}

/// H12 and H7: what everybody knows is no secret, and without a key of its own the hub keeps no tokens.
#[tokio::test]
async fn a_hub_with_the_secrets_of_an_example_or_without_a_key_does_not_start() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let secret = ("IAM_CLIENT_SECRET", SECRET);
    for (more, told) in [
        (vec![], "JUPYTERHUB_CRYPT_KEY, such as by `openssl rand -hex 32`"),
        (
            vec![("JUPYTER_PROXY_TOKEN", "test_token"), ("JUPYTERHUB_CRYPT_KEY", KEY)],
            "environment JUPYTER_PROXY_TOKEN: is the value of an example",
        ),
        (
            vec![("JUPYTERHUB_API_TOKEN", "API_TOKEN_EXAMPLE"), ("JUPYTERHUB_CRYPT_KEY", KEY)],
            "environment JUPYTERHUB_API_TOKEN: is the value of an example",
        ),
    ] {
        let mut house = House::new(&installed, "hub", secret, &more).await?;
        let log = house.refusal()?;
        assert!(log.contains(told), "{told}: {log}");
    }
    Ok(())
}

/// Registers a client as the orchestrator does, with somebody else's address only; gives its name and its token.
async fn foreign_client(provider: &Provider) -> Result<(String, String)> {
    let metadata = json!({"client_name": "hub", "redirect_uris": [GRAFANA],
        "scope": "openid profile email offline_access"});
    let client = provider.session()?.send(Method::POST, PATH, Body::Json(metadata)).await?.expect(&[201])?.json()?;
    let text = |name: &str| client[name].as_str().map(str::to_owned).with_context(|| name.to_owned());
    Ok((text("client_id")?, text("registration_access_token")?))
}

async fn addresses(provider: &Provider, id: &str, token: &str) -> Result<BTreeSet<String>> {
    let mut holder = provider.session()?.authorized(&format!("Bearer {token}"));
    let client = holder.get(&format!("{PATH}/{id}")).await?.expect(&[200])?.json()?;
    Ok(serde_json::from_value(client["redirect_uris"].clone())?)
}

#[tokio::test]
async fn a_hub_with_a_registration_access_token_completes_its_client_and_reads_the_secret() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    let (id, token) = foreign_client(&provider).await?;
    let mut house = House::at(provider, &id, ("iam_token", &token), &[("JUPYTERHUB_CRYPT_KEY", KEY)]).await?;
    house.specola.run().await?;
    house.signed_in("anna").await?;
    let both = BTreeSet::from([GRAFANA.to_owned(), callback(&house.specola.ground)]);
    assert_eq!(addresses(&house.provider, &id, &token).await?, both, "foreign addresses stay");
    let kept = house.folder.path().join("oidc-client.json");
    assert_eq!(fs::metadata(&kept)?.permissions().mode() & 0o777, 0o600);
    // The next start finds the provider away, and does with what was kept.
    house.specola.stop_hub()?;
    house.provider.go_down().await?;
    house.specola.run().await?;
    assert!(house.specola.log().contains("is used as it was at the last start"), "{}", house.specola.log());
    house.provider.come_up().await?;
    assert!(!house.specola.log().contains(&token));
    Ok(())
}

/// The provider gives another token with each change: what one hub was given, the next one has to know.
#[tokio::test]
async fn hubs_on_one_database_complete_their_client_one_after_the_other() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let postgres = Postgres::start(&programs)?;
    let provider = Provider::start(&installed).await?;
    let (id, token) = foreign_client(&provider).await?;
    provider.switch("rotate_registration_token", true).await?;
    let secret = ("IAM_TOKEN", token.as_str());
    let common = tempfile::tempdir()?;
    let cookies = common.path().join("cookie_secret");
    fs::write(&cookies, "5f".repeat(32))?;
    fs::set_permissions(&cookies, fs::Permissions::from_mode(0o600))?;
    // The folders are the last to go.
    let (mut folders, mut hubs) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let folder = tempfile::tempdir()?;
        let ground = Ground::new(folder.path())?;
        let options = told(&ground, &provider, &id, secret)
            .variable("JUPYTERHUB_CRYPT_KEY", KEY)
            .variable("SPECOLA_HUB__COOKIE_SECRET_FILE", &cookies.display().to_string())
            .variable("SPECOLA_HUB__DB_URL", &postgres.url());
        hubs.push(Specola::on(ground, options, Mark::default()));
        folders.push(folder);
    }
    for hub in &mut hubs {
        hub.run().await?;
    }
    provider.set_user("anna", json!({"groups": ["users"]})).await?;
    // And each again, whose token the other has ended. All proxies lead to the hub that was started last.
    for hub in &mut hubs {
        hub.stop_hub()?;
        hub.run().await?;
        let own = format!("127.0.0.1%3A{}%2F", hub.ground.port);
        until("the way to this hub", std::time::Duration::from_secs(30), async || {
            let begun = hub.session()?.get(LOGIN).await?;
            Ok(begun.location().is_some_and(|to| to.contains(&own)).then_some(()))
        })
        .await?;
        let (url, page) = provider.sign_in(&mut hub.session()?, LOGIN, "anna").await?;
        page.expect(&[200]).with_context(|| format!("at {url}"))?;
        assert!(!hub.ground.folder.join("oidc-client.json").exists());
    }
    let kept = postgres.sql("SELECT value FROM specola_meta WHERE name LIKE 'oidc_client:%'")?;
    assert!(kept.starts_with("gAAAA") && !kept.contains(&token), "it is encrypted");
    Ok(())
}

#[tokio::test]
async fn a_registration_access_token_that_is_refused_is_told_and_the_hub_does_not_start() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    let (id, _) = foreign_client(&provider).await?;
    let more = [("JUPYTERHUB_CRYPT_KEY", KEY)];
    let mut house = House::at(provider, &id, ("IAM_TOKEN", "no-such-token"), &more).await?;
    let log = house.refusal()?;
    assert!(log.contains(&format!("cannot complete the client {id}")) && log.contains("it refuses"), "{log}");
    assert!(!log.contains("no-such-token"));
    Ok(())
}

fn register(folder: &Path, provider: &Provider, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(place::binary()?);
    command.args(["register-client", "--issuer", provider.issuer()]).args(arguments).current_dir(folder);
    Ok(command.output()?)
}

#[tokio::test]
async fn the_command_registers_a_client_tells_what_was_kept_back_and_adds_an_address() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    provider.switch("restricted_scopes", json!(["wlcg.groups"])).await?;
    let folder = tempfile::tempdir()?;
    let first = "https://hub.example.org/hub/oauth_callback";
    let done = register(folder.path(), &provider, &["--callback", first, "--output", "client.json"])?;
    let said = String::from_utf8(done.stdout)?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("keeps back these scopes: wlcg.groups."), "{said}");
    let path = folder.path().join("client.json");
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    let client: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let text = |name: &str| client[name].as_str().map(str::to_owned).with_context(|| name.to_owned());
    let (id, secret, token) = (text("client_id")?, text("client_secret")?, text("registration_access_token")?);
    assert!(!said.contains(&secret) && !said.contains(&token));
    // A file that exists is not written over, and nothing is registered for nothing.
    let asked = provider.counters().await?.requests_to("registration");
    let again = register(folder.path(), &provider, &["--callback", first, "--output", "client.json"])?;
    assert!(!again.status.success() && fs::read_to_string(&path)?.contains(&secret));
    assert_eq!(provider.counters().await?.requests_to("registration"), asked);

    fs::write(folder.path().join("token"), format!("{token}\n"))?;
    fs::set_permissions(folder.path().join("token"), fs::Permissions::from_mode(0o600))?;
    let second = "https://other.example.org/hub/oauth_callback";
    let arguments = ["--callback", second, "--client-id", &id, "--token-file", "token", "--output", "repaired.json"];
    let done = register(folder.path(), &provider, &arguments)?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let repaired: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("repaired.json"))?)?;
    assert_eq!(repaired["client_secret"], secret);
    let both = BTreeSet::from([first.to_owned(), second.to_owned()]);
    assert_eq!(addresses(&provider, &id, &token).await?, both);

    provider.switch("registration", "nobody").await?;
    let refused = register(folder.path(), &provider, &["--callback", first, "--output", "none.json"])?;
    assert!(!refused.status.success() && !folder.path().join("none.json").exists());
    assert!(String::from_utf8(refused.stderr)?.contains("it refuses: access_denied"));
    Ok(())
}
