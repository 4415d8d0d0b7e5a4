//! Google's token endpoint and Directory API as their documentation has them, on this machine.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use openidconnect::JsonWebKey;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::login::oidc::listener::{KEY, Listener, keys};
use crate::login::oidc::preset::Preset;

fn at(seconds: i64) -> Time {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

/// A path of the Directory API.
fn groups_of(member: &str, page: Option<&str>) -> String {
    let member = member.replace('@', "%40");
    let page = page.map(|page| format!("&pageToken={page}")).unwrap_or_default();
    format!("/groups?userKey={member}&maxResults=200{page}")
}

/// A page of groups in Google's shape.
fn page(names: &[&str], next: Option<&str>) -> Value {
    let group = |name: &&str| {
        json!({
            "kind": "admin#directory#group", "id": "01", "etag": "\"e\"", "email": name, "name": "A group",
            "directMembersCount": "3", "description": "", "adminCreated": true,
        })
    };
    let mut page = json!({ "kind": "admin#directory#groups", "etag": "\"e\"" });
    if !names.is_empty() {
        page["groups"] = names.iter().map(group).collect();
    }
    if let Some(next) = next {
        page["nextPageToken"] = next.into();
    }
    page
}

/// An error in Google's shape.
fn error(code: u16, reason: &str, message: &str) -> Value {
    json!({ "error": {
        "code": code, "message": message, "errors": [{ "message": message, "domain": "global", "reason": reason }],
    } })
}

struct House {
    listener: Listener,
    folder: TempDir,
    client: Client,
}

impl House {
    async fn new() -> Self {
        let token = json!({ "access_token": "ya29.1", "expires_in": 3599, "token_type": "Bearer" });
        let listener = Listener::new(vec![("/token", 200, token)]).await;
        let client = Client::new(None, std::time::Duration::from_secs(5)).unwrap();
        let house = Self { listener, folder: tempfile::tempdir().unwrap(), client };
        house.write(&json!({
            "type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": KEY,
            "client_email": "hub@p.iam.gserviceaccount.com", "token_uri": format!("{}/token", house.listener.origin),
        }));
        house
    }

    fn write(&self, key: &Value) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.file(), key.to_string()).unwrap();
        std::fs::set_permissions(self.file(), PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("key.json")
    }

    fn config(&self) -> ProviderConfig {
        ProviderConfig {
            google_service_account_keys: [("example.org".to_owned(), self.file())].into(),
            gsuite_administrator: [("example.org".to_owned(), "boss".to_owned())].into(),
            ..ProviderConfig::of("google", Preset::Google, "hub")
        }
    }

    fn directory(&self, change: impl FnOnce(&mut ProviderConfig)) -> Directory {
        let mut config = self.config();
        change(&mut config);
        Directory::new(&config, &format!("{}/groups", self.listener.origin)).unwrap().unwrap()
    }

    async fn ask(&self, directory: &Directory, seconds: i64) -> Result<Vec<String>, Trouble> {
        directory.groups(&self.client, &ada(), at(seconds)).await
    }
}

fn ada() -> Value {
    json!({ "sub": "1", "email": "Ada@Example.org", "email_verified": true, "hd": "example.org" })
}

#[tokio::test]
async fn an_account_asks_in_an_administrators_name_for_every_page_of_groups() {
    let house = House::new().await;
    let (first, second) = (groups_of("ada@example.org", None), groups_of("ada@example.org", Some("p2")));
    house.listener.answer(&first, 200, "", page(&["Physicists@example.org", "all@example.org"], Some("p2")));
    house.listener.answer(&second, 200, "", page(&["staff@partner.net"], None));
    let directory = house.directory(|_| {});
    let expected = ["all@example.org", "physicists@example.org", "staff@partner.net"];
    assert_eq!(house.ask(&directory, 0).await.unwrap(), expected);
    let asked = house.listener.asked("/groups");
    assert!(asked.len() == 2 && asked.iter().all(|request| request.contains("Bearer ya29.1")), "{asked:?}");

    // What was signed, checked by somebody else's code.
    let exchange = house.listener.asked("/token").remove(0);
    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(exchange.split("\r\n\r\n").nth(1).unwrap().as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], GRANT);
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let key: CoreJsonWebKey = serde_json::from_value(keys()["keys"][0].clone()).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    key.verify_signature(&CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, signed.as_bytes(), &signature).unwrap();
    let part = |number: usize| -> Value {
        let part = URL_SAFE_NO_PAD.decode(signed.split('.').nth(number).unwrap()).unwrap();
        serde_json::from_slice(&part).unwrap()
    };
    assert_eq!(part(0), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    assert_eq!(
        part(1),
        json!({
            "iss": "hub@p.iam.gserviceaccount.com", "sub": "boss@example.org", "scope": SCOPE,
            "aud": format!("{}/token", house.listener.origin), "iat": at(0).timestamp(), "exp": at(3600).timestamp(),
        })
    );

    // The token is good for nearly an hour, and is asked for again after that, or when Google takes it back.
    house.ask(&directory, 3500).await.unwrap();
    assert_eq!(house.listener.asked("/token").len(), 1);
    house.ask(&directory, 3550).await.unwrap();
    assert_eq!(house.listener.asked("/token").len(), 2);
    house.listener.answer(&first, 401, "", error(401, "authError", "Invalid Credentials"));
    assert!(matches!(house.ask(&directory, 3560).await, Err(Trouble::Broken(_))));
    assert_eq!(house.listener.asked("/token").len(), 3);
}

#[tokio::test]
async fn groups_in_groups_count_where_that_is_wanted_and_a_circle_ends() {
    let house = House::new().await;
    for (member, groups) in [
        ("ada@example.org", &["a@example.org"][..]),
        ("a@example.org", &["b@example.org", "elsewhere@partner.net"]),
        ("b@example.org", &["a@example.org", "c@example.org"]),
        ("c@example.org", &[]),
    ] {
        house.listener.answer(&groups_of(member, None), 200, "", page(groups, None));
    }
    let flat = house.directory(|_| {});
    assert_eq!(house.ask(&flat, 0).await.unwrap(), ["a@example.org"]);
    let nested = house.directory(|config| config.include_nested_groups = true);
    let all = ["a@example.org", "b@example.org", "c@example.org", "elsewhere@partner.net"];
    assert_eq!(house.ask(&nested, 0).await.unwrap(), all);
    let stripped = house.directory(|config| {
        config.include_nested_groups = true;
        config.strip_domain = vec!["example.org".to_owned()];
    });
    assert_eq!(house.ask(&stripped, 0).await.unwrap(), ["a", "b", "c", "elsewhere@partner.net"]);
}

#[tokio::test]
async fn who_cannot_be_asked_about_has_not_no_groups() {
    let house = House::new().await;
    let directory = house.directory(|_| {});
    let path = groups_of("ada@example.org", None);
    for (status, body, is_down) in [
        (403, error(403, "forbidden", "Not Authorized to access this resource/api"), false),
        (403, error(403, "quotaExceeded", "Quota exceeded"), true),
        (404, error(404, "notFound", "Resource Not Found: userKey"), false),
        (429, error(429, "rateLimitExceeded", "Slow down"), true),
        (503, error(503, "backendError", "Service unavailable"), true),
        (200, json!("groups"), false),
    ] {
        house.listener.answer(&path, status, "", body.clone());
        let trouble = house.ask(&directory, 0).await.unwrap_err();
        assert_eq!(matches!(trouble, Trouble::Unreachable(_)), is_down, "{body}: {trouble}");
        assert!(is_down || matches!(trouble, Trouble::Broken(_)), "{body}: {trouble}");
    }
    // A page that leads to itself.
    house.listener.answer(&path, 200, "", page(&["a@example.org"], Some("x")));
    house.listener.answer(&groups_of("ada@example.org", Some("x")), 200, "", page(&["a@example.org"], Some("x")));
    assert!(matches!(house.ask(&directory, 0).await, Err(Trouble::Broken(what)) if what.contains("pages")));
    // Delegation that was not set up is told with who may not act for whom.
    let refused = json!({ "error": "unauthorized_client", "error_description": "Client is unauthorized" });
    house.listener.answer("/token", 401, "", refused);
    let trouble = house.ask(&house.directory(|_| {}), 0).await.unwrap_err().to_string();
    assert!(trouble.contains("hub@p.iam") && trouble.contains("boss@example.org"), "{trouble}");
    // An address that anybody could have written.
    for email in [json!({ "email_verified": false }), json!({}), json!({ "email": null })] {
        let mut person = json!({ "email": "ada@example.org" });
        person.as_object_mut().unwrap().extend(email.as_object().unwrap().clone());
        let outcome = directory.groups(&house.client, &person, at(0)).await;
        assert!(matches!(outcome, Err(Trouble::Incomplete(_))), "{person}");
    }
    // Somebody of no organisation that is known is in no group of theirs, and nobody is asked.
    let before = house.listener.asked("/groups").len();
    let guest = json!({ "email": "eve@gmail.com", "email_verified": true });
    assert_eq!(directory.groups(&house.client, &guest, at(0)).await, Ok(Vec::new()));
    assert_eq!(house.listener.asked("/groups").len(), before);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_with_its_file() {
    let house = House::new().await;
    let key = |private_key: &str| json!({ "client_email": "hub@p", "private_key": private_key });
    for broken in [json!([]), json!({}), key("no PEM"), json!({ "private_key": KEY })] {
        house.write(&broken);
        let what = Directory::new(&house.config(), "http://127.0.0.1:1").map(drop).unwrap_err();
        assert!(what.contains("key.json"), "{what}");
    }
    house.write(&key(KEY));
    assert!(Directory::new(&house.config(), "http://127.0.0.1:1").unwrap().is_some());
    let without = ProviderConfig { gsuite_administrator: BTreeMap::new(), ..house.config() };
    assert!(Directory::new(&without, "http://127.0.0.1:1").map(drop).unwrap_err().contains("example.org"));
    assert!(without.problems().iter().any(|(option, ..)| *option == "gsuite_administrator"));
    let none = ProviderConfig::of("google", Preset::Google, "hub");
    assert!(Directory::new(&none, "http://127.0.0.1:1").unwrap().is_none());
}
