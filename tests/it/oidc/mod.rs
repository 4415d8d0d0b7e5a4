//! Signing in at a real identity provider, end to end: the hub as a process, the provider as another, and a visitor who
//! follows the redirects between them.

mod faults;
pub(crate) mod fresh;
mod keep;
mod keycloak;
mod login;
mod logout;
mod quirks;
mod replicas;
mod rules;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::provider::{Client, Installed, Provider, Visitor};
use tests::specola::Options;
use tests::{Answer, Body, Session, Specola};
use url::Url;

const SECRET: &str = "the-secret-of-the-client-of-the-hub";
const SCOPE: &str = "openid profile email offline_access";
const KEY: &str = "3a2f0c5e8b6d4f1a9c7e5b3d1f0a8c6e4b2d0f9e7c5a3b1d8f6e4c2a0b9d7f5e";
const LOGIN: &str = "/hub/oauth_login?provider=iam";

/// A provider and a hub that knows it; anna is in `users` and `users/cygno`, boss in `admins`, nobody else in anything.
pub(crate) struct House {
    pub(crate) provider: Provider,
    pub(crate) specola: Specola,
}

/// What the configuration says of the provider, beside what it has to.
#[derive(Clone)]
pub(crate) struct Entry(Vec<String>);

impl Entry {
    /// Everybody may enter.
    fn open() -> Entry {
        Entry(vec!["allow_all = true".to_owned()])
    }

    /// Members of `users` may enter, those of `admins` administer.
    pub(crate) fn by_group() -> Entry {
        let join = "join_url = \"https://iam.example.org/join\"";
        Entry(vec![
            "allowed_groups = [\"users\"]".to_owned(),
            "admin_groups = [\"admins\"]".to_owned(),
            join.to_owned(),
        ])
    }

    fn with(mut self, line: impl Into<String>) -> Entry {
        self.0.push(line.into());
        self
    }

    fn options(&self, issuer: &str) -> Options {
        let mut lines = vec![
            "name = \"iam\"".to_owned(),
            "login_service = \"Test IAM\"".to_owned(),
            format!("issuer = {issuer:?}"),
            "client_id = \"hub\"".to_owned(),
            format!("client_secret = {SECRET:?}"),
        ];
        if !self.0.iter().any(|line| line.starts_with("preset")) {
            lines.push("preset = \"indigo-iam\"".to_owned());
        }
        lines.extend(self.0.iter().cloned());
        Options::default()
            .set("auth", "authenticator", "\"oidc\"")
            .set("auth", "allow_all", "false")
            .set("auth", "admin_users", "[]")
            .set("auth", "manage_groups", "true")
            .set("auth", "providers", &format!("[{{ {} }}]", lines.join(", ")))
            .set("hub", "redirect_to_server", "false")
    }
}

/// The same hub keeping what the provider gives, and saying all it can in its log.
pub(crate) fn keeping(options: Options) -> Options {
    let options = options.set("auth", "enable_auth_state", "true").set("log", "level", "\"debug\"");
    options.variable("JUPYTERHUB_CRYPT_KEY", KEY)
}

impl House {
    async fn new(installed: &Installed, entry: &Entry) -> Result<House> {
        House::changed(installed, entry, |options| options).await
    }

    pub(crate) async fn changed(
        installed: &Installed,
        entry: &Entry,
        change: impl FnOnce(Options) -> Options,
    ) -> Result<House> {
        House::at(Provider::start(installed).await?, entry, change).await
    }

    /// The same at a provider that runs.
    pub(crate) async fn at(
        provider: Provider,
        entry: &Entry,
        change: impl FnOnce(Options) -> Options,
    ) -> Result<House> {
        let options = change(entry.options(provider.issuer()));
        let specola = Specola::start(options).await?;
        let house = House { provider, specola };
        house.register(SCOPE).await?;
        house.provider.set_user("anna", json!({"groups": ["users", "users/cygno"]})).await?;
        house.provider.set_user("boss", json!({"groups": ["admins"]})).await?;
        house.provider.set_user("eve", json!({})).await?;
        Ok(house)
    }

    /// Makes the hub's client known at the provider, with these scopes.
    pub(crate) async fn register(&self, scope: &str) -> Result<Client> {
        let origin = self.specola.origin();
        let metadata = json!({
            "client_secret": SECRET,
            "redirect_uris": [format!("{origin}/hub/oauth_callback")],
            "post_logout_redirect_uris": [format!("{origin}/hub/")],
            "scope": scope,
        });
        self.provider.set_client("hub", metadata).await
    }

    /// Signs somebody in with a new browser; gives the browser with the page they see at last.
    async fn visit(&self, name: &str) -> Result<(Session, Url, Answer)> {
        let mut session = self.specola.session()?;
        let (url, page) = self.provider.sign_in(&mut session, LOGIN, name).await?;
        Ok((session, url, page))
    }

    /// Signs somebody in who is let in.
    pub(crate) async fn signed_in(&self, name: &str) -> Result<Session> {
        let (session, url, page) = self.visit(name).await?;
        page.expect(&[200]).with_context(|| format!("at {url}"))?;
        Ok(session)
    }

    /// Begins a login, and goes as far as the address that brings the answer back, which is not opened.
    async fn answer(&self, session: &mut Session, path: &str, name: &str) -> Result<Url> {
        let there = session.get(path).await?.expect(&[302])?;
        let url = there.location().context("the way to the provider")?.parse()?;
        let back = Visitor::new(&self.provider, name)?.walk(&url).await?;
        back.map_err(|page| anyhow::anyhow!("the provider shows a page: {} {}", page.status, page.text()))
    }
}

/// Opens an address of the hub's, and nothing else.
async fn open(session: &mut Session, url: &Url) -> Result<Answer> {
    session.get(&url[url::Position::BeforePath..]).await
}

/// Who the hub takes somebody for; an error when for nobody.
async fn whoami(session: &mut Session) -> Result<Value> {
    session.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()
}

/// Whether nobody is logged in.
async fn is_out(session: &mut Session) -> Result<bool> {
    Ok(session.api(Method::GET, "/user", Body::Empty).await?.expect(&[200, 403])?.status == 403)
}
