//! What is sent to a provider and what becomes of its answers, with a listener on this machine in place of those that
//! cannot be run here: GitHub's REST API, Globus' groups, and the words with which tokens are asked for.

use std::collections::HashMap;

use actix_web::test as site;
use chrono::DateTime;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use serde_json::{Value, json};

use super::listener::{Listener, keys, signed};
use super::preset::Preset;
use super::{Ask, Attempt, Before, Known, Provider, RefreshError, Trouble};
use crate::config::ProviderConfig;
use crate::config::address::HttpUrl;
use crate::upstream::Kept;

fn now() -> Time {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn described() -> (&'static str, u16, Value) {
    let description = json!({
        "issuer": "ORIGIN/",
        "authorization_endpoint": "ORIGIN/authorize?kind=a",
        "token_endpoint": "ORIGIN/token",
        "jwks_uri": "ORIGIN/jwk",
        "userinfo_endpoint": "ORIGIN/userinfo",
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
async fn every_preset_asks_for_its_scopes_and_with_its_parameters() {
    let groups = "urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships";
    let globus = format!("openid profile email {groups} offline_access");
    for (preset, scope, own) in [
        (Preset::Generic, "openid profile email offline_access", &[][..]),
        (Preset::IndigoIam, "openid profile email offline_access wlcg.groups", &[]),
        (Preset::EgiCheckin, "openid profile email offline_access eduperson_entitlement entitlements", &[]),
        (Preset::Keycloak, "openid profile email offline_access", &[]),
        (Preset::Cilogon, "openid profile email org.cilogon.userinfo offline_access", &[]),
        (Preset::Google, "openid profile email", &[("access_type", "offline")]),
        (Preset::Github, "read:user read:org", &[]),
        (Preset::Globus, globus.as_str(), &[]),
    ] {
        let listener = Listener::new(vec![described()]).await;
        let url = provider(&listener, preset, |_| {}).begin(&attempt()).await.unwrap();
        let url = url::Url::parse(&url).unwrap();
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query["scope"], scope, "{preset:?}");
        let github = preset == Preset::Github;
        assert_eq!(url.path(), if github { "/login/oauth/authorize" } else { "/authorize" }, "{preset:?}");
        let mut names: Vec<&str> = vec![
            "response_type",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "code_challenge",
            "code_challenge_method",
        ];
        // A parameter of the listener's own address, and what GitHub does not know.
        names.extend(if github { &[][..] } else { &["kind", "nonce"] });
        for (name, value) in own {
            assert_eq!(query[*name], *value, "{preset:?}");
            names.push(name);
        }
        names.sort_unstable();
        let mut sent: Vec<&str> = query.keys().map(String::as_str).collect();
        sent.sort_unstable();
        assert_eq!(sent, names, "{preset:?}");
    }
    assert_eq!(Preset::ALL.len(), 8, "each of them is above");
}

/// From the login page to who the hub takes somebody for, as a browser goes.
#[actix_web::test]
async fn a_login_at_github_goes_through_the_pages_of_the_hub() {
    let listener = github().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("specola.toml");
    let settings = format!(
        "[hub]\ndata_dir = {:?}\n[auth]\nauthenticator = \"oidc\"\nmanage_groups = true\n[[auth.providers]]\nname = \"github\"\n\
         preset = \"github\"\nissuer = {:?}\nclient_id = \"hub\"\nclient_secret = \"s\"\nallowed_groups = [\"last:core\"]\n",
        folder.path().join("data"),
        listener.origin
    );
    std::fs::write(&path, settings).unwrap();
    let config = crate::config::Config::load(Some(&path), &crate::config::Environment::new()).unwrap();
    let parts = crate::start::assemble(config).await.unwrap().unwrap();
    let service = site::init_service(crate::http::server::application(parts.app.clone())).await;
    let mut jar: HashMap<String, String> = HashMap::new();
    let mut get = async |path: &str| {
        let cookies = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let request = site::TestRequest::get().uri(path).insert_header(("Cookie", cookies)).to_request();
        let response = site::call_service(&service, request).await;
        jar.extend(response.response().cookies().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())));
        let location =
            response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
        (response.status().as_u16(), location, String::from_utf8(site::read_body(response).await.to_vec()).unwrap())
    };
    let (status, _, page) = get("/hub/login").await;
    assert!(status == 200 && page.contains("Log in with GitHub") && page.contains("/hub/oauth_login"), "{page}");
    let (status, there, _) = get("/hub/oauth_login?provider=github").await;
    assert!(status == 302 && there.starts_with(&format!("{}/login/oauth/authorize?", listener.origin)), "{there}");
    let state =
        url::Url::parse(&there).unwrap().query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let (status, _, page) = get(&format!("/hub/oauth_callback?code=c&state={}", state.replace('=', "%3D"))).await;
    assert_eq!(status, 303, "{page}");
    let (status, _, body) = get("/hub/home").await;
    assert!(status == 200 && body.contains("ada"), "{body}");
    let ada = parts.app.store.user("ada").await.unwrap().unwrap();
    let groups = parts.app.store.groups_of(ada.id).await.unwrap();
    assert!(groups.len() == 102 && groups.contains(&"last:core".to_owned()), "{groups:?}");
    // The same answer once more is good for nothing.
    let (status, _, _) = get(&format!("/hub/oauth_callback?code=c&state={}", state.replace('=', "%3D"))).await;
    assert_eq!((status, listener.asked("/login/oauth/access_token").len()), (302, 1));
}

/// A page of organisations or teams in GitHub's shape, and the header that leads to the next.
async fn github() -> Listener {
    let user = json!({
        "login": "ada", "id": 7, "node_id": "MDQ6", "type": "User", "site_admin": false, "name": "Ada L.", "email": null,
    });
    let orgs: Vec<Value> = (0..100).map(|index| json!({ "login": format!("org{index}"), "id": index })).collect();
    let team = json!({
        "id": 1, "name": "Core People", "slug": "core", "permission": "pull", "organization": { "login": "last", "id": 9 },
    });
    let token = json!({ "access_token": "gho_1", "scope": "read:org,read:user", "token_type": "bearer" });
    let listener = Listener::new(vec![
        ("/login/oauth/access_token", 200, token),
        ("/api/v3/user", 200, user),
        ("/api/v3/user/orgs?per_page=100&page=2", 200, json!([{ "login": "last", "id": 9 }])),
        ("/api/v3/user/teams?per_page=100", 200, json!([team])),
    ])
    .await;
    let link = "link: <ORIGIN/api/v3/user/orgs?per_page=100&page=2>; rel=\"next\", \
                <ORIGIN/api/v3/user/orgs?per_page=100&page=2>; rel=\"last\"\r\n";
    listener.answer("/api/v3/user/orgs?per_page=100", 200, link, json!(orgs));
    listener
}

#[tokio::test]
async fn github_tells_who_it_is_and_the_organisations_and_teams() {
    let listener = github().await;
    let of_listener = |change: fn(&mut ProviderConfig)| provider(&listener, Preset::Github, change);
    let attempt = attempt();
    let begun = of_listener(|_| {}).begin(&attempt).await.unwrap();
    assert!(begun.starts_with(&format!("{}/login/oauth/authorize?", listener.origin)));
    assert!(begun.contains("scope=read%3Auser+read%3Aorg") && !begun.contains("nonce"), "{begun}");
    let known = of_listener(|_| {}).finish(&attempt, &Secret::new("c"), now()).await.unwrap();
    assert_eq!((known.claims.username.as_str(), known.claims.subject.as_str()), ("ada", "7"));
    assert_eq!(known.claims.groups.len(), 102);
    assert!(known.claims.groups.contains(&"last".to_owned()) && known.claims.groups.contains(&"last:core".to_owned()));
    let exchange = listener.asked("/login/oauth/access_token").remove(0);
    assert!(exchange.contains("client_secret=s%26cret") && exchange.contains(&attempt.verifier), "{exchange}");
    assert!(listener.asked("/api/v3/user").iter().all(|request| request.contains("Bearer gho_1")));
    let state = known.auth_state().0;
    assert_eq!((&state["oauth_user"]["login"], &state["refresh_token"]), (&json!("ada"), &Value::Null));
    let own = &state["specola"];
    assert_eq!((&own["provider"], &own["sub"], &own["issuer"]), (&json!("p"), &json!("7"), &json!(listener.origin)));
    assert_eq!((&own["groups"], &own["expires_at"]), (&json!(known.claims.raw_groups), &Value::Null));
    assert_eq!(own["told"]["groups"]["asked"], own["groups"]);
    // The teams themselves are kept where that is wanted, as oauthenticator does.
    assert_eq!(state["teams"], Value::Null);
    let wanted = of_listener(|config| config.populate_teams_in_auth_state = true);
    let state = wanted.finish(&attempt, &Secret::new("c"), now()).await.unwrap().auth_state().0;
    assert_eq!((&state["teams"][0]["slug"], &state["teams"][0]["name"]), (&json!("core"), &json!("Core People")));
    // Without the scope nobody is asked, and nobody is in anything.
    let token = json!({ "access_token": "gho_2", "scope": "read:user", "token_type": "bearer" });
    listener.answer("/login/oauth/access_token", 200, "", token);
    let asked = listener.asked("/api/v3/user/").len();
    let known = of_listener(|_| {}).finish(&attempt, &Secret::new("c"), now()).await.unwrap();
    assert_eq!((known.claims.groups.len(), listener.asked("/api/v3/user/").len()), (0, asked));
}

#[tokio::test]
async fn what_github_refuses_is_told_apart_and_no_list_is_cut_short() {
    let listener = github().await;
    let provider = provider(&listener, Preset::Github, |_| {});
    let known = provider.finish(&attempt(), &Secret::new("c"), now()).await.unwrap();
    let before = Before { subject: "7".to_owned(), ..Before::default() };
    let message = |text: &str| json!({ "message": text, "documentation_url": "https://docs.github.com/rest" });
    let next = |url: &str| format!("link: <{url}>; rel=\"next\"\r\n");
    let itself = next("ORIGIN/api/v3/user/teams?per_page=100");
    let elsewhere = next("http://127.0.0.1:9/user/teams?per_page=100&page=2");
    for (path, status, headers, body, expected) in [
        ("/user", 401, "", message("Bad credentials"), "denied"),
        ("/user/orgs?per_page=100", 401, "", message("Bad credentials"), "denied"),
        ("/user/orgs?per_page=100", 403, "x-ratelimit-remaining: 0\r\n", message("API rate limit exceeded"), "down"),
        ("/user/orgs?per_page=100", 403, "retry-after: 60\r\n", message("secondary rate limit"), "down"),
        ("/user/orgs?per_page=100", 429, "", message("too many"), "down"),
        ("/user/orgs?per_page=100", 502, "", message("Server Error"), "down"),
        ("/user/orgs?per_page=100", 403, "", message("You need at least read:org scope"), "broken"),
        ("/user/teams?per_page=100", 404, "", message("Not Found"), "broken"),
        ("/user/teams?per_page=100", 200, "", json!({}), "broken"),
        ("/user/teams?per_page=100", 200, itself.as_str(), json!([]), "broken"),
        ("/user/teams?per_page=100", 200, elsewhere.as_str(), json!([]), "broken"),
    ] {
        let listener = github().await;
        listener.answer(&format!("/api/v3{path}"), status, headers, body);
        let provider = self::provider(&listener, Preset::Github, |_| {});
        let outcome = match provider.look_again(known.tokens.clone(), &before, now()).await.map(drop).unwrap_err() {
            Trouble::Denied { .. } => "denied",
            Trouble::Unreachable(_) => "down",
            Trouble::Broken(_) => "broken",
            _ => "other",
        };
        assert_eq!(outcome, expected, "{path} {status} {headers}");
    }
    // Somebody else has the token now.
    let other = Before { subject: "8".to_owned(), ..Before::default() };
    assert!(matches!(provider.look_again(known.tokens.clone(), &other, now()).await, Err(Trouble::Untrusted(_))));
    // GitHub says no with 200.
    listener.answer("/login/oauth/access_token", 200, "", json!({ "error": "bad_verification_code" }));
    let refused = provider.finish(&attempt(), &Secret::new("c"), now()).await;
    assert!(matches!(refused, Err(Trouble::Denied { .. })));
}

/// Globus Auth as its documentation has it: a token for each service, an identity with its set, groups by their API.
async fn globus(nonce: &str) -> Listener {
    let listener = Listener::new(vec![described(), ("/jwk", 200, keys())]).await;
    let identity =
        json!({ "sub": "id-1", "username": "ada@uni.example", "identity_provider": "idp-1", "status": "used" });
    let userinfo = json!({
        "sub": "id-1", "preferred_username": "ada@uni.example", "name": "Ada L.", "email": "ada@uni.example",
        "identity_provider": "idp-1", "identity_provider_display_name": "University", "organization": "University",
        "identity_set": [identity, { "sub": "id-2", "username": "ada@globusid.org", "status": "used" }],
    });
    listener.answer("/userinfo", 200, "", userinfo);
    let membership =
        |status: &str| json!([{ "group_id": "g", "identity_id": "id-1", "status": status, "role": "member" }]);
    let groups = json!([
        { "id": "g-1", "name": "One", "group_type": "regular", "my_memberships": membership("active") },
        { "id": "g-2", "name": "Two", "group_type": "regular", "my_memberships": membership("invited") },
    ]);
    listener.answer("/groups", 200, "", groups);
    let claims = json!({
        "iss": listener.origin, "aud": ["the client"], "sub": "id-1", "nonce": nonce,
        "iat": now().timestamp(), "exp": now().timestamp() + 600,
    });
    let of_groups = json!({
        "resource_server": "groups.api.globus.org", "access_token": "groups-1", "refresh_token": "groups-r", "expires_in": 172800,
        "scope": "urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships", "token_type": "Bearer",
    });
    let tokens = json!({
        "access_token": "auth-1", "refresh_token": "auth-r", "resource_server": "auth.globus.org", "expires_in": 172800,
        "scope": "email openid profile", "token_type": "Bearer", "id_token": signed(&claims), "other_tokens": [of_groups],
    });
    listener.answer("/token", 200, "", tokens);
    listener
}

#[tokio::test]
async fn globus_is_asked_for_groups_with_the_token_that_is_for_them() {
    let attempt = attempt();
    let listener = globus(&attempt.nonce).await;
    let of_listener = |change: fn(&mut ProviderConfig)| {
        let groups = HttpUrl::parse(&format!("{}/groups", listener.origin)).unwrap();
        provider(&listener, Preset::Globus, |config| {
            config.groups_url = Some(groups);
            change(config);
        })
    };
    let plain = of_listener(|_| {});
    let begun = plain.begin(&attempt).await.unwrap();
    assert!(begun.contains("groups.api.globus.org%3Aview_my_groups_and_memberships"), "{begun}");
    let known = plain.finish(&attempt, &Secret::new("c"), now()).await.unwrap();
    assert_eq!((known.claims.username.as_str(), known.claims.subject.as_str()), ("ada@uni.example", "id-1"));
    assert_eq!(known.claims.groups, ["g-1"], "an invitation is no membership");
    assert!(listener.asked("/groups")[0].contains("Bearer groups-1"));
    assert!(listener.asked("/userinfo")[0].contains("Bearer auth-1"));

    // As oauthenticator's `identity_provider`: other institutions are kept out, whatever the groups say.
    let ours = of_listener(|config| {
        config.identity_provider = Some("uni.example".to_owned());
        config.strip_domain = vec!["uni.example".to_owned()];
    });
    assert_eq!(ours.finish(&attempt, &Secret::new("c"), now()).await.unwrap().claims.username, "ada");
    let other = of_listener(|config| config.identity_provider = Some("globusid.org".to_owned()));
    let refused = other.finish(&attempt, &Secret::new("c"), now()).await.map(drop);
    assert_eq!(refused, Err(Trouble::Required("preferred_username".to_owned())));
}

#[tokio::test]
async fn a_token_for_globus_groups_that_is_over_is_renewed_with_its_own_refresh_token() {
    let attempt = attempt();
    let listener = globus(&attempt.nonce).await;
    let groups = HttpUrl::parse(&format!("{}/groups", listener.origin)).unwrap();
    let provider = provider(&listener, Preset::Globus, |config| config.groups_url = Some(groups));
    let known = provider.finish(&attempt, &Secret::new("c"), now()).await.unwrap();
    let before = Before { subject: "id-1".to_owned(), ..Before::default() };
    let asked = listener.asked("/token").len();
    provider.look_again(known.tokens.clone(), &before, now()).await.unwrap();
    assert_eq!(listener.asked("/token").len(), asked, "it is good");
    listener.answer("/groups", 401, "", json!({ "code": "UNAUTHORIZED" }));
    listener.answer("/token", 200, "", json!({ "access_token": "groups-2", "expires_in": 172800 }));
    // It is not good with the new one either: told, and not that there are no groups.
    let denied = provider.look_again(known.tokens.clone(), &before, now()).await;
    assert!(matches!(denied, Err(Trouble::Denied { .. })));
    assert!(listener.asked("/token").pop().unwrap().contains("refresh_token=groups-r"));
    assert!(listener.asked("/groups").pop().unwrap().contains("Bearer groups-2"));
    for (status, body) in [(503, json!({})), (404, json!({})), (200, json!({ "groups": [] }))] {
        listener.answer("/groups", status, "", body);
        let outcome = provider.look_again(known.tokens.clone(), &before, now()).await;
        assert!(matches!(outcome, Err(Trouble::Unreachable(_) | Trouble::Broken(_))), "{status}");
    }
}

/// Groups, a claim that is required and the user's name told in the ID token alone, which need not come with a refresh.
#[tokio::test]
async fn a_refresh_without_an_id_token_takes_nothing_away_that_it_alone_told() {
    let attempt = attempt();
    let listener =
        Listener::new(vec![described(), ("/jwk", 200, keys()), ("/userinfo", 200, json!({ "sub": "s" }))]).await;
    let claims = |groups: Value| {
        json!({
            "iss": listener.origin, "aud": "the client", "sub": "s", "nonce": attempt.nonce, "preferred_username": "ada",
            "idp": "uni", "groups": groups, "team": ["tutor"], "iat": now().timestamp(), "exp": now().timestamp() + 600,
        })
    };
    let tokens = |claims: Option<Value>| {
        let mut tokens = json!({ "access_token": "a", "refresh_token": "r", "expires_in": 60 });
        if let Some(claims) = claims {
            tokens["id_token"] = signed(&claims).into();
        }
        listener.answer("/token", 200, "", tokens);
    };
    let provider = provider(&listener, Preset::Generic, |config| {
        config.required_claims = [("idp".to_owned(), vec!["uni".to_owned()])].into();
        config.roles_claim = Some("team".to_owned());
    });
    let kept = |known: &Known| Kept::new(Vec::new(), known.auth_state().0).unwrap();
    tokens(Some(claims(json!(["/a", "/b"]))));
    let known = provider.finish(&attempt, &Secret::new("c"), now()).await.unwrap();
    assert_eq!(
        (&known.claims.groups, &known.claims.roles),
        (&vec!["a".to_owned(), "b".to_owned()], &Some(vec!["tutor".into()]))
    );

    let mut state = kept(&known);
    for _ in 0..2 {
        tokens(None);
        let fresh = provider.refresh(&Secret::new("r"), &Ask::default(), now()).await.unwrap();
        state = Kept::new(Vec::new(), state.renewed(&fresh, now())).unwrap();
        let again = provider.look_again(fresh, &state.before().unwrap(), now()).await.unwrap();
        assert_eq!((&again.claims, &again.claims.username), (&known.claims, &"ada".to_owned()));
        state = Kept::new(Vec::new(), state.with(&again)).unwrap();
    }
    // One that comes and names fewer takes away; none that comes after it brings nothing back.
    tokens(Some(claims(json!(["/b"]))));
    let fresh = provider.refresh(&Secret::new("r"), &Ask::default(), now()).await.unwrap();
    state = Kept::new(Vec::new(), state.renewed(&fresh, now())).unwrap();
    let again = provider.look_again(fresh, &state.before().unwrap(), now()).await.unwrap();
    assert_eq!(again.claims.groups, ["b"]);
    state = Kept::new(Vec::new(), state.with(&again)).unwrap();
    tokens(None);
    let fresh = provider.refresh(&Secret::new("r"), &Ask::default(), now()).await.unwrap();
    state = Kept::new(Vec::new(), state.renewed(&fresh, now())).unwrap();
    assert_eq!(provider.look_again(fresh, &state.before().unwrap(), now()).await.unwrap().claims.groups, ["b"]);
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
    let answered = |status: u16, body: Value| async move {
        let listener = Listener::new(vec![described(), ("/token", status, body)]).await;
        let provider = provider(&listener, Preset::IndigoIam, |_| {});
        provider.refresh(&Secret::new("r"), &Ask::default(), now()).await.unwrap_err()
    };
    let refused = |body: Value| answered(400, body);
    assert!(matches!(refused(json!({ "error": "invalid_grant" })).await, RefreshError::InvalidGrant { .. }));
    let aup = json!({ "error": "invalid_grant", "error_description": "User ada needs to sign AUP" });
    assert!(matches!(refused(aup).await, RefreshError::UsagePolicy { .. }));
    let suspended = json!({ "error": "invalid_grant", "error_description": "User ada is not active" });
    assert!(matches!(refused(suspended).await, RefreshError::Suspended { .. }));
    // IAM 1.12 in its own words.
    let suspended = json!({ "error": "unauthorized", "error_description": "User test is not active." });
    assert!(matches!(answered(401, suspended).await, RefreshError::Suspended { .. }));
    let unknown = json!({ "error": "invalid_token", "error_description": "Invalid refresh token: eyJ" });
    assert!(matches!(answered(401, unknown).await, RefreshError::InvalidGrant { .. }));
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
