//! What is sent to a provider and what becomes of its answers, with a listener on this machine in place of those that
//! cannot be run here: GitHub's REST API, Globus' groups, and the words with which tokens are asked for.

use std::collections::HashMap;

use chrono::DateTime;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use serde_json::{Value, json};

use super::listener::Listener;
use super::preset::Preset;
use super::{Ask, Attempt, Provider, RefreshError, Trouble};
use crate::config::ProviderConfig;
use crate::config::address::HttpUrl;

fn now() -> Time {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn described() -> (&'static str, u16, Value) {
    let description = json!({
        "issuer": "ORIGIN/",
        "authorization_endpoint": "ORIGIN/authorize?kind=a",
        "token_endpoint": "ORIGIN/token",
        "jwks_uri": "ORIGIN/jwk",
    });
    ("/.well-known/openid-configuration", 200, description)
}

fn provider(listener: &Listener, preset: Preset, change: impl FnOnce(&mut ProviderConfig)) -> Provider {
    let mut config = ProviderConfig::of("p", preset, "the client");
    config.issuer = Some(HttpUrl::parse(&listener.origin).unwrap());
    config.client_secret = Some(Secret::new("s&cret"));
    change(&mut config);
    Provider::new(&config, true).unwrap()
}

fn attempt() -> Attempt {
    Attempt::new("p", "https://hub.example.org/hub/oauth_callback", None, now(), &mut rand::rng())
}

#[tokio::test]
async fn a_login_begins_with_everything_the_provider_has_to_know_and_nothing_secret() {
    let listener = Listener::new(vec![described()]).await;
    let provider = provider(&listener, Preset::Google, |config| {
        config.extra_authorize_params = [("prompt".to_owned(), "login".to_owned())].into();
    });
    let attempt = attempt();
    let url = url::Url::parse(&provider.begin(&attempt).await.unwrap()).unwrap();
    let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("kind", "a"),
        ("response_type", "code"),
        ("client_id", "the client"),
        ("redirect_uri", "https://hub.example.org/hub/oauth_callback"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("state", attempt.state.as_str()),
        ("nonce", attempt.nonce.as_str()),
        ("access_type", "offline"),
        ("prompt", "login"),
    ] {
        assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!url.as_str().contains(&attempt.verifier) && !url.as_str().contains("cret"));
}

#[tokio::test]
async fn github_tells_who_it_is_and_the_organisations_and_teams() {
    let orgs: Vec<Value> = (0..100).map(|index| json!({ "login": format!("org{index}") })).collect();
    let listener = Listener::new(vec![
        (
            "/login/oauth/access_token",
            200,
            json!({ "access_token": "gho_1", "scope": "read:org,read:user", "token_type": "bearer" }),
        ),
        ("/api/v3/user", 200, json!({ "login": "ada", "id": 7, "name": "Ada L." })),
        ("/api/v3/user/orgs?per_page=100&page=1", 200, json!(orgs)),
        ("/api/v3/user/orgs?per_page=100&page=2", 200, json!([{ "login": "last" }])),
        (
            "/api/v3/user/teams?per_page=100&page=1",
            200,
            json!([{ "slug": "core", "organization": { "login": "last" } }]),
        ),
    ])
    .await;
    let provider = provider(&listener, Preset::Github, |_| {});
    let attempt = attempt();
    assert!(
        provider.begin(&attempt).await.unwrap().starts_with(&format!("{}/login/oauth/authorize?", listener.origin))
    );
    let known = provider.finish(&attempt, &Secret::new("c"), now()).await.unwrap();
    assert_eq!((known.claims.username.as_str(), known.claims.subject.as_str()), ("ada", "7"));
    assert_eq!(known.claims.groups.len(), 102);
    assert!(known.claims.groups.contains(&"last".to_owned()) && known.claims.groups.contains(&"last:core".to_owned()));
    let exchange = listener.asked("/login/oauth/access_token").remove(0);
    assert!(exchange.contains("client_secret=s%26cret") && exchange.contains(&attempt.verifier), "{exchange}");
    assert!(listener.asked("/api/v3/user")[0].contains("Bearer gho_1"));
    let state = known.auth_state().0;
    assert_eq!((&state["oauth_user"]["login"], &state["refresh_token"]), (&json!("ada"), &Value::Null));
    assert_eq!(
        state["specola"],
        json!({
            "provider": "p", "expires_at": null, "sub": "7", "issuer": listener.origin, "groups": known.claims.raw_groups,
        })
    );
}

#[tokio::test]
async fn globus_is_asked_for_groups_with_the_token_that_is_for_them() {
    let groups = json!([
        { "id": "g-1", "name": "One", "my_memberships": [{ "status": "active" }] },
        { "id": "g-2", "name": "Two", "my_memberships": [{ "status": "invited" }] },
    ]);
    let listener = Listener::new(vec![("/groups", 200, groups)]).await;
    let response = json!({
        "access_token": "first", "other_tokens": [{ "resource_server": "groups.api.globus.org", "access_token": "second" }],
    });
    let answer = super::http::Answer {
        status: http::StatusCode::OK,
        headers: http::HeaderMap::new(),
        body: response.to_string().into(),
    };
    let tokens = super::Tokens::read(&answer, &[], now()).unwrap();
    let client = super::http::Client::new(None, std::time::Duration::from_secs(5)).unwrap();
    let found = super::globus::groups(&client, &format!("{}/groups", listener.origin), &tokens).await;
    assert_eq!(found.unwrap(), ["g-1"]);
    assert!(listener.asked("/groups")[0].contains("Bearer second"));
    let missing = super::globus::groups(&client, &format!("{}/nowhere", listener.origin), &tokens).await;
    assert!(matches!(missing, Err(Trouble::Broken(_))));
}

#[tokio::test]
async fn a_refresh_asks_for_scope_and_audience_in_the_providers_words_and_tells_a_new_refresh_token() {
    let answer = json!({ "access_token": "a2", "refresh_token": "r2", "expires_in": 60, "scope": "openid storage" });
    let listener = Listener::new(vec![described(), ("/token", 200, answer)]).await;
    for (preset, own, parameter) in [
        (Preset::IndigoIam, None, "audience=object"),
        (Preset::Generic, None, "resource=object"),
        (Preset::Generic, Some("aud"), "aud=object"),
    ] {
        let provider = provider(&listener, preset, |config| config.audience_parameter = own.map(str::to_owned));
        let ask = Ask { scope: Some("openid storage"), audience: Some("object") };
        let tokens = provider.refresh(&Secret::new("r 1"), &ask, now()).await.unwrap();
        assert_eq!((tokens.access_token.expose(), tokens.refresh_token.unwrap().expose()), ("a2", "r2"));
        assert_eq!(tokens.expires_at, Some(now() + chrono::TimeDelta::seconds(60)));
        let request = listener.asked("/token").pop().unwrap();
        for part in ["grant_type=refresh_token", "refresh_token=r+1", "scope=openid+storage", parameter, "Basic "] {
            assert!(request.contains(part), "{part} in {request}");
        }
    }
    let provider = provider(&listener, Preset::IndigoIam, |config| config.basic_auth = Some(false));
    provider.refresh(&Secret::new("r1"), &Ask::default(), now()).await.unwrap();
    let request = listener.asked("/token").pop().unwrap();
    assert!(request.contains("client_id=the+client&client_secret=s%26cret") && !request.contains("Basic"), "{request}");
    assert!(!request.contains("scope=") && !request.contains("audience="), "all that was granted is asked for anew");
}

#[tokio::test]
async fn a_refused_refresh_is_told_from_a_provider_that_is_down() {
    let refused = |body: Value| async move {
        let listener = Listener::new(vec![described(), ("/token", 400, body)]).await;
        let provider = provider(&listener, Preset::IndigoIam, |_| {});
        provider.refresh(&Secret::new("r"), &Ask::default(), now()).await.unwrap_err()
    };
    assert!(matches!(refused(json!({ "error": "invalid_grant" })).await, RefreshError::InvalidGrant { .. }));
    let aup = json!({ "error": "invalid_grant", "error_description": "User ada needs to sign AUP" });
    assert!(matches!(refused(aup).await, RefreshError::UsagePolicy { .. }));
    let suspended = json!({ "error": "invalid_grant", "error_description": "User ada is not active" });
    assert!(matches!(refused(suspended).await, RefreshError::Suspended { .. }));
    assert!(matches!(refused(json!({ "error": "invalid_target" })).await, RefreshError::InvalidTarget { .. }));
    assert!(matches!(refused(json!({ "error": "invalid_client" })).await, RefreshError::Other(_)));
    let listener = Listener::new(vec![described(), ("/token", 503, json!({}))]).await;
    let down = provider(&listener, Preset::IndigoIam, |_| {}).refresh(&Secret::new("r"), &Ask::default(), now()).await;
    assert!(matches!(down, Err(RefreshError::Unreachable(_))));
    let mut config = ProviderConfig::of("p", Preset::Generic, "hub");
    config.issuer = Some(HttpUrl::parse("http://127.0.0.1:9").unwrap());
    let gone = Provider::new(&config, true).unwrap().refresh(&Secret::new("r"), &Ask::default(), now()).await;
    assert!(matches!(gone, Err(RefreshError::Unreachable(_))));
}

#[test]
fn a_file_with_certificates_is_read_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ProviderConfig::of("p", Preset::Google, "hub");
    for (content, right) in
        [(&b""[..], false), (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", false)]
    {
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, content).unwrap();
        config.ca_file = Some(file);
        assert_eq!(Provider::new(&config, false).is_ok(), right);
    }
    config.ca_file = Some("/no/such/file".into());
    assert!(Provider::new(&config, false).unwrap_err().contains("/no/such/file"));
}
