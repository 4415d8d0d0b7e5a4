//! A hub with some people, and a browser that keeps its cookies.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{self, TestRequest};
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{HUB_CLIENT, NewToken, TokenOwner};
use serde_json::Value;
use specola::app::App;
use specola::config::{Config, Environment};
use specola::start::{self, Parts};
use tempfile::TempDir;

/// The password of everybody who has one.
pub const PASSWORD: &str = "a long way to the top";

/// What answers requests: the application without a socket.
pub struct Site(Box<dyn Fn(TestRequest) -> Answering>);
type Answering = Pin<Box<dyn Future<Output = ServiceResponse>>>;

/// A hub that is not listening. `root` administers; `alice` and `bob` are people.
pub struct House {
    pub parts: Parts,
    pub folder: TempDir,
}

impl House {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// `hub` is more of the section of that name.
    pub async fn with(hub: &str) -> Self {
        Self::changed(hub, |settings| settings).await
    }

    /// The same with the whole configuration changed.
    pub async fn changed(hub: &str, change: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("specola.toml");
        std::fs::write(&path, change(settings(folder.path(), hub))).unwrap();
        let config = Config::load(Some(&path), &Environment::new()).unwrap();
        let house = Self { parts: start::assemble(config).await.unwrap().unwrap(), folder };
        for (name, admin) in [("root", true), ("alice", false), ("bob", false)] {
            let app = house.app();
            app.store.create_user(name, admin, &token::generate_id(&mut rand::rng()), app.now()).await.unwrap();
        }
        house
    }

    pub fn app(&self) -> Arc<App> {
        self.parts.app.clone()
    }

    pub async fn site(&self) -> Site {
        let service = Rc::new(test::init_service(specola::http::server::application(self.app())).await);
        Site(Box::new(move |request| {
            let service = service.clone();
            Box::pin(async move { service.call(request.to_request()).await.unwrap() })
        }))
    }

    /// Gives somebody a password; `one_time` as an administrator does.
    pub async fn set_password(&self, name: &str, one_time: bool) {
        let (app, user) = (self.app(), self.user(name).await);
        let passwords = app.login.passwords().unwrap();
        passwords.set(&app.store, user.id, &Secret::new(PASSWORD), one_time, app.now()).await.unwrap();
    }

    pub async fn user(&self, name: &str) -> hub_store::User {
        self.app().store.user(name).await.unwrap().unwrap()
    }

    /// Makes a token with exactly these scopes, whether or not its owner holds them.
    pub async fn token(&self, name: &str, scopes: &[String]) -> String {
        let (app, user, mut random) = (self.app(), self.user(name).await, rand::rng());
        let secret = token::generate(&mut random);
        let new = NewToken {
            owner: TokenOwner::User(user.id),
            hashed: Secret::new(token::hash(secret.expose(), token::GENERATED_ROUNDS, &mut random)),
            prefix: token::prefix(secret.expose()).to_owned(),
            client_id: HUB_CLIENT.to_owned(),
            session_id: None,
            note: "of a test".to_owned(),
            scopes: scopes.to_vec(),
            expires_at: None,
            now: app.now(),
        };
        app.store.insert_token(&new).await.unwrap();
        secret.expose().to_owned()
    }
}

fn settings(folder: &Path, hub: &str) -> String {
    let folder = folder.display();
    format!(
        "[hub]\ndata_dir = \"{folder}/data\"\nslow_spawn_timeout = 0\nslow_stop_timeout = 0\nallow_named_servers = true\nredirect_to_server = false\n\
         {hub}\n[auth]\nauthenticator = \"password\"\nallow_all = true\n[spawner]\ncmd = [\"true\"]\n"
    )
}

/// What came back, its body read if it ends.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, Vec<String>>,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub fn request(method: &str, path: &str) -> TestRequest {
    TestRequest::with_uri(path).method(Method::from_bytes(method.as_bytes()).unwrap())
}

/// Sends a request. The body of a stream of events is not waited for.
pub async fn send(site: &Site, request: TestRequest) -> Answer {
    let response = (site.0)(request).await;
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str().to_owned()).or_default().push(value);
    }
    let status = response.status();
    let stream = headers.get("content-type").is_some_and(|kind| kind[0].starts_with("text/event-stream"));
    let text = match stream && status == StatusCode::OK {
        true => String::new(),
        false => String::from_utf8(body::to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap(),
    };
    Answer { status: status.as_u16(), headers, text }
}

/// Sends a request with a token.
pub async fn by_token(site: &Site, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = request(method, path).insert_header(("Authorization", format!("token {token}")));
    match body {
        Some(body) => send(site, request.set_json(body)).await,
        None => send(site, request).await,
    }
}

/// Keeps cookies by name, as a browser that knows one place only.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Somebody who has logged in by the form.
    pub async fn logged_in(site: &Site, name: &str) -> Self {
        let mut browser = Self::default();
        let answer = browser.log_in(site, name, "/hub/login").await;
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    pub async fn log_in(&mut self, site: &Site, name: &str, path: &str) -> Answer {
        self.get(site, path).await;
        self.post(site, path, &[("username", name), ("password", PASSWORD)]).await
    }

    pub async fn get(&mut self, site: &Site, path: &str) -> Answer {
        self.send(site, request("GET", path)).await
    }

    /// Posts a form with the token that the cookie holds.
    pub async fn post(&mut self, site: &Site, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut fields: Vec<(&str, &str)> = fields.to_vec();
        let xsrf = self.cookies.get("_xsrf").cloned().unwrap_or_default();
        fields.push(("_xsrf", &xsrf));
        self.send(site, request("POST", path).set_form(&fields)).await
    }

    /// Opens a stream of events, to be read.
    pub async fn stream(&self, site: &Site, path: &str) -> body::BoxBody {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = (site.0)(request("GET", path).insert_header(("Cookie", cookies.join("; ")))).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.into_body()
    }

    pub async fn send(&mut self, site: &Site, request: TestRequest) -> Answer {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = send(site, request.insert_header(("Cookie", cookies.join("; ")))).await;
        for cookie in answer.headers.get("set-cookie").into_iter().flatten() {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}
