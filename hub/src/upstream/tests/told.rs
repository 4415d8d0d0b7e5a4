//! What people, labs and old programs are told when a provider says no, and what follows for who they are.

use std::collections::BTreeMap;

use actix_web::test::{self, TestRequest};
use hub_core::cookie;
use hub_store::NewSession;

use super::*;
use crate::audit::Actor;
use crate::http::server::application;
use crate::intent;
use crate::upstream::Code;

/// What came back: status, headers in small letters, body.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl House {
    async fn ask(&self, request: TestRequest) -> Answer {
        let service = test::init_service(application(self.app().clone())).await;
        let response = test::call_service(&service, request.to_request()).await;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        let (status, headers) = (response.status().as_u16(), headers.collect());
        Answer { status, headers, text: String::from_utf8(test::read_body(response).await.to_vec()).unwrap() }
    }

    /// A session of ada's: what her browser sends.
    async fn session(&self) -> String {
        let (app, session_id) = (self.app(), token::generate_id(&mut rand::rng()));
        let now = app.now();
        let expires_at = now + TimeDelta::days(1);
        let session = NewSession { session_id, user_id: self.ada, now, expires_at, address: None, agent: None };
        app.store.insert_session(&session).await.unwrap();
        let ada = app.store.user_by_id(self.ada).await.unwrap().unwrap();
        let signed = cookie::sign(&app.cookie_secret, cookie::LOGIN, ada.cookie_id.as_bytes(), now);
        format!("{}={signed}; {}={}", cookie::LOGIN, cookie::SESSION, session.session_id)
    }

    async fn home(&self, cookies: &str) -> Answer {
        self.ask(TestRequest::get().uri("/hub/home").insert_header(("Cookie", cookies))).await
    }

    /// The token that a running server of ada's was started with.
    async fn lab(&self) -> Secret {
        let (app, text) = (self.app(), self.script_token().await);
        app.store.create_server(self.ada, "", None, None, app.now()).await.unwrap().unwrap();
        self.database(
            "UPDATE specola_servers SET phase = 'ready', desired = 'running', url = 'http://127.0.0.1:1',
             token_id = (SELECT MAX(id) FROM api_tokens)",
        )
        .await;
        text
    }

    async fn own_roles(&self) -> Vec<String> {
        let roles = self.app().store.own_roles_of_users(&[self.ada]).await.unwrap().remove(&self.ada);
        roles.unwrap_or_default()
    }
}

fn with_token(request: TestRequest, token: &Secret) -> TestRequest {
    request.insert_header(("Authorization", format!("token {}", token.expose())))
}

/// A no of the provider's, and how it reaches an old program and the lab's agent.
struct No {
    /// What it answers to a refresh, and in which groups it says ada is.
    refresh: (u16, Value),
    groups: &'static [&'static str],
    audience: Option<&'static str>,
    /// Status, error and some words for who refreshes at the hub as at the provider.
    facade: (u16, &'static str, &'static str),
    /// Status and code for who asks the hub afterwards, and whether the banner is on pages.
    lab: (u16, Value),
    banner: bool,
}

#[actix_web::test]
async fn each_no_of_a_provider_is_told_in_the_words_of_who_asks() {
    let error = |status, error: &str, words: &str| (status, json!({ "error": error, "error_description": words }));
    let table = [
        No {
            refresh: (503, json!({})),
            groups: &["users"],
            audience: None,
            facade: (503, "temporarily_unavailable", "Test IAM does not answer at the moment."),
            lab: (503, json!("unreachable")),
            banner: false,
        },
        No {
            refresh: error(400, "invalid_grant", "it is used up"),
            groups: &["users"],
            audience: None,
            facade: (400, "invalid_grant", "Log in again to get fresh ones."),
            lab: (409, json!("sign_in_needed")),
            banner: false,
        },
        No {
            refresh: error(401, "unauthorized", "User ada is not active."),
            groups: &["users"],
            audience: None,
            facade: (400, "invalid_grant", "Your account at Test IAM is suspended."),
            // With every token of theirs, that of the lab too.
            lab: (403, Value::Null),
            banner: false,
        },
        No {
            refresh: error(400, "invalid_grant", "User ada needs to sign AUP"),
            groups: &["users"],
            audience: None,
            facade: (400, "invalid_grant", "wants its usage policy accepted"),
            lab: (409, json!("usage_policy")),
            banner: true,
        },
        No {
            // The client itself is suspended or its secret is another.
            refresh: error(401, "invalid_client", "Client is suspended: evil words"),
            groups: &["users"],
            audience: None,
            facade: (400, "invalid_grant", "Test IAM refuses to renew your credentials."),
            lab: (409, json!("refused")),
            banner: true,
        },
        No {
            refresh: error(400, "invalid_target", "evil words"),
            groups: &["users"],
            audience: Some("https://storage.example"),
            facade: (400, "invalid_target", "Test IAM gives no token for this audience or scope."),
            lab: (400, Value::Null),
            banner: false,
        },
        No {
            refresh: (200, json!({ "access_token": "a2", "expires_in": 3600 })),
            groups: &[],
            audience: None,
            facade: (400, "invalid_grant", "This hub has no token of yours"),
            lab: (403, Value::Null),
            banner: false,
        },
    ];
    for No { refresh: (status, body), groups, audience, facade, lab, banner } in table {
        let house = House::new().await;
        let (token, cookies) = (house.lab().await, house.session().await);
        house.provider.answer("/token", status, "", body.clone());
        house.provider.answer("/userinfo", 200, "", ada(groups));
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token.expose())];
        fields.extend(audience.map(|audience| ("audience", audience)));
        let program = TestRequest::post().uri("/hub/api/iam/iam/token").set_form(&fields);
        let answer = house.ask(program).await;
        let said = answer.json();
        assert_eq!((answer.status, said["error"].as_str()), (facade.0, Some(facade.1)), "{body}: {said}");
        let words = said["error_description"].as_str().unwrap();
        assert!(words.contains(facade.2) && !answer.text.contains("evil"), "{body}: {said}");
        assert_eq!(answer.headers["cache-control"], "no-store");

        let query = audience.map(|audience| format!("?audience={audience}")).unwrap_or_default();
        let agent = TestRequest::get().uri(&format!("/hub/api/user/access-token{query}"));
        let answer = house.ask(with_token(agent, &token)).await;
        assert_eq!((answer.status, answer.json()["code"].clone()), lab, "{body}: {}", answer.text);
        assert_eq!(answer.headers.contains_key("retry-after"), answer.status == 503, "{body}");
        assert!(!answer.text.contains("evil"), "{}", answer.text);
        // On the pages of who is still there.
        let home = house.home(&cookies).await;
        assert_eq!(home.status == 200 && home.text.contains(facade.2), banner, "{body}: {} {}", home.status, home.text);
    }
}

/// A refusal that only the operator can mend, such as of a client that was suspended, is no reason to ask all the time.
#[actix_web::test]
async fn a_client_that_is_refused_is_asked_for_again_after_a_while_that_grows() {
    let house = House::new().await;
    let text = house.script_token().await;
    house.provider.answer("/token", 401, "", json!({ "error": "invalid_client" }));
    let (app, mut before) = (house.app().clone(), TimeDelta::zero());
    let cookies = house.session().await;
    for number in 1..=3 {
        let Err(Refused::Failed(failure)) = house.access().await else { panic!("it is refused") };
        assert_eq!((failure.code, house.refreshes()), (Code::Refused, number));
        // Who asks at once is told the same without the provider.
        assert!(matches!(house.access().await, Err(Refused::Failed(failure)) if failure.code == Code::Refused));
        assert_eq!(house.refreshes(), number);
        let upstream = app.store.upstream(house.ada).await.unwrap().unwrap();
        let pause = upstream.due_at.unwrap() - upstream.failed_at.unwrap();
        assert!(pause >= TimeDelta::seconds(59) && pause > before, "{pause} after {before}");
        before = pause;
        house.database("UPDATE specola_upstream SET failed_at = '2020-01-01 00:00:00.000000'").await;
    }
    // Nobody has lost anything else, and all of it is over when the client is good again.
    assert!(caller::by_token(&app, text.expose()).await.unwrap().is_some());
    assert_eq!(house.home(&cookies).await.status, 200);
    house.provider.answer("/token", 200, "", json!({ "access_token": "a2", "expires_in": 3600 }));
    assert_eq!(house.token().await, "a2");
    let home = house.home(&cookies).await.text;
    assert!(!home.contains("refuses to renew"), "{home}");
}

/// The database may fail between the one and the other: then all of it is done when it is asked for again.
#[actix_web::test]
async fn who_has_to_log_in_anew_is_put_out_however_often_the_database_fails_meanwhile() {
    let refuse = |event: &str, on: &str| {
        format!("CREATE TRIGGER fails BEFORE {event} ON {on} BEGIN SELECT RAISE(ABORT, 'the connection is cut'); END")
    };
    let house = House::new().await;
    let cookies = house.session().await;
    house.provider.answer("/token", 400, "", json!({ "error": "invalid_grant" }));
    for (event, on) in [("UPDATE OF cookie_id", "users"), ("UPDATE OF failure", "specola_upstream")] {
        house.database(&refuse(event, on)).await;
        assert!(matches!(house.access().await, Err(Refused::Problem(_))), "{on}");
        assert!(house.app().store.upstream(house.ada).await.unwrap().unwrap().failure.is_none(), "{on}");
        house.database("DROP TRIGGER fails").await;
    }
    assert!(matches!(house.access().await, Err(Refused::Failed(failure)) if failure.code == Code::SignInNeeded));
    assert_eq!(house.home(&cookies).await.status, 302, "and is out");
    assert_eq!(house.refreshes(), 3);
    assert!(matches!(house.access().await, Err(Refused::Failed(_))) && house.refreshes() == 3, "that is all");
}

/// JupyterHub ends the session at the end of the access token; where nobody wrote that, nothing was refused.
#[actix_web::test]
async fn without_a_refresh_token_the_session_goes_on_unless_strictness_is_written() {
    for (more, is_strict) in
        [("", false), ("auth_refresh_strict = false\n", false), ("auth_refresh_strict = true\n", true)]
    {
        let house = House::with(more).await;
        house.log_in("").await;
        let (lab, script, cookies) = (house.lab().await, house.script_token().await, house.session().await);
        for _ in 0..2 {
            let agent = TestRequest::get().uri("/hub/api/user/access-token");
            let answer = house.ask(with_token(agent, &lab)).await;
            let code = if is_strict { "sign_in_needed" } else { "token_ended" };
            assert_eq!((answer.status, &answer.json()["code"]), (409, &json!(code)), "{more}: {}", answer.text);
            assert!(answer.text.contains("Log in again"), "{}", answer.text);
        }
        let home = house.home(&cookies).await;
        assert_eq!(home.status, if is_strict { 302 } else { 200 }, "{more}");
        assert!(!home.text.contains("credentials"), "no banner: {}", home.text);
        let is_good = caller::by_token(house.app(), script.expose()).await.unwrap().is_some();
        assert_eq!(is_good, !is_strict, "{more}");
        assert_eq!(house.refreshes(), 0);
        // The next login brings another one, and what it was is over.
        house.log_in("r2").await;
        house.app().store.upstream_good(house.ada, house.app().now(), None).await.unwrap();
        assert_eq!(house.token().await, "a2", "{more}");
    }
}

/// GitHub's tokens have no end, and nothing renews them: what cannot be had says nothing of them, and it is asked on who has
/// them.
#[actix_web::test]
async fn a_wish_for_another_token_ends_nothing_where_nothing_renews_the_one_at_hand() {
    for (more, code) in [("", Code::TokenEnded), ("auth_refresh_strict = true\n", Code::SignInNeeded)] {
        let house = House::with(more).await;
        let (app, whose) = (house.app(), json!({ "provider": "iam", "sub": "s" }));
        house.keep(json!({ "access_token": "a1", "token_response": {}, "specola": whose })).await;
        let (lab, cookies) = (house.lab().await, house.session().await);
        let asked = async |query: &str| {
            let agent = TestRequest::get().uri(&format!("/hub/api/user/access-token?{query}"));
            house.ask(with_token(agent, &lab)).await
        };
        for query in ["audience=x", "scope=openid"] {
            assert_eq!(asked(query).await.status, 400, "{query}");
        }
        let answer = asked("min_valid=86400").await;
        assert_eq!((answer.status, &answer.json()["access_token"]), (200, &json!("a1")), "{}", answer.text);
        app.upstream.check(house.ada, TimeDelta::zero()).await.unwrap();
        let upstream = app.store.upstream(house.ada).await.unwrap().unwrap();
        assert!(upstream.failure.is_none() && upstream.due_at.is_some(), "{upstream:?}");
        assert_eq!(house.home(&cookies).await.status, 200, "{more}");

        // The provider ended it.
        house.provider.answer("/userinfo", 401, "", json!({ "error": "invalid_token" }));
        let looked = app.upstream.check(house.ada, TimeDelta::zero()).await;
        assert!(matches!(&looked, Err(Refused::Failed(failure)) if failure.code == code), "{looked:?}");
        assert_eq!(house.refreshes(), 0);
    }
    // Whoever has left the group is out.
    let house = House::new().await;
    let whose = json!({ "provider": "iam", "sub": "s" });
    house.keep(json!({ "access_token": "a1", "token_response": {}, "specola": whose })).await;
    let cookies = house.session().await;
    house.provider.answer("/userinfo", 200, "", ada(&[]));
    let looked = house.app().upstream.check(house.ada, TimeDelta::zero()).await;
    assert!(matches!(looked, Err(Refused::NotAdmitted)), "{looked:?}");
    assert_eq!(house.home(&cookies).await.status, 302);
}

/// Whose group was taken away a moment ago at the provider is asked about before a server starts.
#[actix_web::test]
async fn who_has_lost_the_group_at_the_provider_cannot_start_a_server_by_form_nor_by_rest() {
    for by_form in [true, false] {
        let house = House::new().await;
        let (cookies, script) = (house.session().await, house.script_token().await);
        let home = house.home(&cookies).await;
        assert_eq!(home.status, 200, "nobody has asked the provider yet");
        house.provider.answer("/userinfo", 200, "", ada(&[]));
        let answer = if by_form {
            let xsrf = home.headers["set-cookie"].split([';', '=']).nth(1).unwrap().to_owned();
            let cookies = format!("{cookies}; _xsrf={xsrf}");
            let form = TestRequest::post().uri("/hub/spawn").insert_header(("Cookie", cookies));
            house.ask(form.set_form([("_xsrf", xsrf)])).await
        } else {
            house.ask(with_token(TestRequest::post().uri("/hub/api/users/ada/server"), &script)).await
        };
        assert_eq!(answer.status, 403, "{}", answer.text);
        assert!(answer.text.contains("ada may not use this hub any more"), "{}", answer.text);
        assert_eq!(house.provider.asked("/userinfo").len(), 1);
        assert!(house.app().store.active_servers().await.unwrap().is_empty());
        assert_eq!(house.home(&cookies).await.status, 302, "and is out");
    }
}

#[actix_web::test]
async fn a_provider_is_not_asked_before_a_start_where_it_was_asked_lately_or_that_is_not_wanted() {
    for (more, lately) in [("", true), ("refresh_pre_spawn = false\n", false)] {
        let house = House::with(more).await;
        let app = house.app();
        house.provider.answer("/userinfo", 200, "", ada(&[]));
        if lately {
            app.store.upstream_good(house.ada, app.now(), None).await.unwrap();
        }
        let ada = app.store.user_by_id(house.ada).await.unwrap().unwrap();
        let server = intent::want_running(app, &Actor::hub(), &ada, "", None).await.unwrap();
        assert_eq!((server.user_name.as_str(), house.provider.asked("/userinfo").len()), ("ada", 0), "{more}");
    }
    // One that is away keeps nobody from starting either.
    let house = House::new().await;
    house.provider.answer("/userinfo", 503, "", json!({}));
    let ada = house.app().store.user_by_id(house.ada).await.unwrap().unwrap();
    intent::want_running(house.app(), &Actor::hub(), &ada, "", None).await.unwrap();
    assert_eq!(house.provider.asked("/userinfo").len(), 1);
}

/// Roles are what the provider tells of now, at each refresh and not at logins alone.
#[actix_web::test]
async fn roles_come_and_go_with_what_the_provider_tells_at_a_refresh() {
    let of_provider = "roles_claim = \"hub.roles\"\n[[hub.load_roles]]\nname = \"tutor\"\nscopes = [\"list:users\"]\n";
    let house = House::at("manage_roles = true\n", of_provider).await;
    let tells = |roles: &[&str]| {
        let mut person = ada(&["users"]);
        person["hub"] = json!({ "roles": roles });
        house.provider.answer("/userinfo", 200, "", person);
    };
    let script = house.script_token().await;
    let lists = async || house.ask(with_token(TestRequest::get().uri("/hub/api/users"), &script)).await.status;
    let check = async || house.app().upstream.check(house.ada, TimeDelta::zero()).await.unwrap();
    // Half a token of before has the rights of its owner's roles, and no more.
    house.database("UPDATE api_tokens SET scopes = '[\"inherit\"]'").await;
    for (roles, expected, status) in [
        (&["tutor", "user"][..], &["tutor", "user"][..], 200),
        (&["user"], &["user"], 403),
        (&["user", "tutor"], &["tutor", "user"], 200),
        (&[], &[], 403),
    ] {
        tells(roles);
        check().await;
        let mut own = house.own_roles().await;
        own.sort_unstable();
        assert_eq!((own, lists().await), (expected.iter().map(|&role| role.to_owned()).collect(), status), "{roles:?}");
    }
}
