//! What becomes of fresh tokens that the database does not take, with a real database that refuses.

mod told;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hub_core::id::UserId;
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{HUB_CLIENT, NewToken, TokenOwner};
use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use tempfile::TempDir;

use super::{Access, Refused, Want};
use crate::app::App;
use crate::config::{CRYPT_KEY, Config, Environment};
use crate::hook::auth_state::AuthState;
use crate::http::caller;
use crate::login::oidc::listener::Listener;
use crate::start::{self, Parts};

const PATIENCE: Duration = Duration::from_secs(20);
/// Refuses what it is to keep of people, and nothing else.
const REFUSE: &str = "CREATE TRIGGER refuse BEFORE UPDATE OF encrypted_auth_state ON users
                      BEGIN SELECT RAISE(ABORT, 'there is no room'); END";
const TAKE: &str = "DROP TRIGGER refuse";

/// Who it is, as userinfo tells it.
fn ada(groups: &[&str]) -> Value {
    json!({ "sub": "s", "preferred_username": "ada", "groups": groups })
}

/// A hub with one person, whose access token is over, and a provider that gives the next one.
struct House {
    parts: Parts,
    provider: Listener,
    ada: UserId,
    folder: TempDir,
}

impl House {
    async fn new() -> Self {
        Self::with("").await
    }

    /// The same with more lines in the section `[auth]`.
    async fn with(more: &str) -> Self {
        Self::at(more, "").await
    }

    /// At a provider where each refresh ends the access tokens of before, with more lines of it.
    async fn where_refreshes_end_tokens(more: &str) -> Self {
        let house = Self::at("", &format!("refresh_ends_tokens = true\n{more}")).await;
        house.gives("a2");
        house
    }

    async fn at(more: &str, of_provider: &str) -> Self {
        let provider = Listener::new(vec![
            (
                "/.well-known/openid-configuration",
                200,
                json!({
                    "issuer": "ORIGIN", "authorization_endpoint": "ORIGIN/authorize", "token_endpoint": "ORIGIN/token",
                    "userinfo_endpoint": "ORIGIN/userinfo", "jwks_uri": "ORIGIN/jwk",
                }),
            ),
            ("/jwk", 200, json!({ "keys": [] })),
            ("/userinfo", 200, ada(&["users"])),
            ("/token", 200, json!({ "access_token": "a2", "refresh_token": "r2", "expires_in": 3600 })),
        ])
        .await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("specola.toml");
        let settings = format!(
            "[hub]\ndata_dir = {:?}\n[auth]\nauthenticator = \"oidc\"\nenable_auth_state = true\n{more}\
             [[auth.providers]]\nname = \"iam\"\nlogin_service = \"Test IAM\"\nissuer = {:?}\nclient_id = \"hub\"\nallowed_groups = [\"users\"]\n{of_provider}",
            folder.path().join("data"),
            provider.origin
        );
        std::fs::write(&path, settings).unwrap();
        let environment = Environment::from([(CRYPT_KEY.to_owned(), "5f".repeat(32))]);
        let parts = start::assemble(Config::load(Some(&path), &environment).unwrap()).await.unwrap().unwrap();
        let ada = parts.app.store.create_user("ada", false, "cookie", parts.app.now()).await.unwrap().id;
        let house = Self { parts, provider, ada, folder };
        house.log_in("r1").await;
        house
    }

    fn app(&self) -> &Arc<App> {
        &self.parts.app
    }

    /// What a login keeps; the access token has just ended.
    async fn log_in(&self, refresh_token: &str) {
        self.keep(json!({
            "access_token": "a1", "refresh_token": refresh_token, "token_response": { "expires_in": 60 },
            "specola": { "provider": "iam", "sub": "s", "expires_at": self.app().now().to_rfc3339() },
        }))
        .await;
    }

    async fn keep(&self, state: Value) {
        let (states, store) = (&self.app().hooks.auth_states, &self.app().store);
        states.write(store, self.ada, Some(&AuthState(state)), self.app().now()).await.unwrap();
    }

    async fn access(&self) -> Result<Access, Refused> {
        self.app().upstream.access(self.ada, Want::default(), TimeDelta::seconds(60)).await
    }

    async fn token(&self) -> String {
        self.access().await.unwrap().token.expose().to_owned()
    }

    /// An API token of ada's.
    async fn script_token(&self) -> Secret {
        let text = token::generate(&mut rand::rng());
        let new = NewToken {
            owner: TokenOwner::User(self.ada),
            hashed: Secret::new(token::hash(text.expose(), token::GENERATED_ROUNDS, &mut rand::rng())),
            prefix: token::prefix(text.expose()).to_owned(),
            client_id: HUB_CLIENT.to_owned(),
            session_id: None,
            note: "of a script".to_owned(),
            scopes: vec!["self".to_owned()],
            expires_at: None,
            now: self.app().now(),
        };
        self.app().store.insert_token(&new).await.unwrap();
        text
    }

    /// The refresh token in the database.
    async fn kept(&self) -> Value {
        let opened = self.app().hooks.auth_states.open(&self.app().store, self.ada).await.unwrap();
        opened.unwrap().1["refresh_token"].clone()
    }

    async fn database(&self, sql: &str) {
        let path = self.folder.path().join("data/jupyterhub.sqlite");
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    async fn until_kept(&self, refresh_token: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.kept().await != refresh_token || self.app().upstream.unkept.has(self.ada) {
            assert!(Instant::now() < deadline, "{} is kept", self.kept().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the provider gives from now on; of a short life, so that nobody waits for long before the next refresh.
    fn gives(&self, token: &str) {
        self.provider.answer("/token", 200, "", json!({ "access_token": token, "expires_in": 3 }));
    }

    /// The token for a storage.
    async fn token_for_storage(&self) -> String {
        let want = Want { audience: Some("storage".to_owned()), ..Want::default() };
        let access = self.app().upstream.access(self.ada, want, TimeDelta::seconds(60)).await.unwrap();
        access.token.expose().to_owned()
    }

    fn refreshes(&self) -> usize {
        self.provider.asked("/token").len()
    }

    /// Tells the hub to stop, and waits for what it still does.
    async fn stop(&self) {
        self.parts.stop.cancel();
        self.parts.tracker.close();
        tokio::time::timeout(PATIENCE, self.parts.tracker.wait()).await.unwrap();
    }
}

/// What is logged in this thread while it lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn fresh_tokens_that_the_database_refuses_are_handed_out_meanwhile_and_kept_when_it_takes_them() {
    let house = House::new().await;
    house.database(REFUSE).await;
    assert_eq!(house.token().await, "a2");
    assert_eq!((house.kept().await, house.token().await, house.refreshes()), (json!("r1"), "a2".to_owned(), 1));
    // Another hub does not use the refresh token that is spent, for as long as this one goes on.
    let other =
        house.app().store.claim_upstream(house.ada, "another hub", TimeDelta::seconds(1), TimeDelta::zero()).await;
    assert!(!other.unwrap());
    house.database(TAKE).await;
    house.until_kept("r2").await;
    assert_eq!((house.token().await, house.refreshes()), ("a2".to_owned(), 1));
    let deadline = Instant::now() + PATIENCE;
    while !house
        .app()
        .store
        .claim_upstream(house.ada, "another hub", TimeDelta::seconds(1), TimeDelta::zero())
        .await
        .unwrap()
    {
        assert!(Instant::now() < deadline, "the lease is given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A second token would be got with a refresh token that is nowhere but in memory.
#[tokio::test]
async fn no_more_tokens_are_got_while_those_at_hand_are_not_kept() {
    let house = House::new().await;
    let short = json!({ "access_token": "a2", "refresh_token": "r2", "expires_in": 0 });
    house.provider.answer("/token", 200, "", short);
    house.database(REFUSE).await;
    assert_eq!(house.token().await, "a2");
    let Err(Refused::Problem(problem)) = house.access().await else { panic!("it is over, and there is no other") };
    assert_eq!((problem.status().as_u16(), house.refreshes()), (503, 1));
    house.database(TAKE).await;
    let next = json!({ "access_token": "a3", "refresh_token": "r3", "expires_in": 3600 });
    house.provider.answer("/token", 200, "", next);
    assert_eq!((house.token().await, house.refreshes()), ("a3".to_owned(), 2));
    assert!(house.provider.asked("/token")[1].contains("refresh_token=r2"), "with the one that was held");
    house.until_kept("r3").await;
}

#[tokio::test]
async fn a_rotated_refresh_token_is_not_lost_with_a_token_for_others_either() {
    let house = House::new().await;
    house.database(REFUSE).await;
    let want = Want { audience: Some("storage".to_owned()), ..Want::default() };
    let access = house.app().upstream.access(house.ada, want, TimeDelta::seconds(60)).await.unwrap();
    assert_eq!((access.token.expose(), house.kept().await), ("a2", json!("r1")));
    house.database(TAKE).await;
    house.until_kept("r2").await;
}

#[tokio::test]
async fn a_login_meanwhile_goes_before_what_was_held() {
    let house = House::new().await;
    house.database(REFUSE).await;
    assert_eq!(house.token().await, "a2");
    house.database(TAKE).await;
    house.log_in("r9").await;
    let next = json!({ "access_token": "a10", "refresh_token": "r10", "expires_in": 3600 });
    house.provider.answer("/token", 200, "", next);
    assert_eq!(house.token().await, "a10");
    assert!(house.provider.asked("/token")[1].contains("refresh_token=r9"));
    house.until_kept("r10").await;
}

/// Whatever a provider calls a refresh token that is not good: a better one that came meanwhile is tried.
#[tokio::test]
async fn a_refresh_token_that_is_not_good_ends_nothing_while_another_came_meanwhile() {
    for (status, error) in [(400, "invalid_grant"), (401, "invalid_token")] {
        let house = House::new().await;
        house.provider.answer("/token", status, "", json!({ "error": error }));
        let hold = house.provider.hold("/token");
        let asking = async {
            while house.refreshes() == 0 {
                tokio::task::yield_now().await;
            }
            house.log_in("r9").await;
            // What was asked before is answered with the refusal, which is read by then.
            let next = house.provider.hold("/token");
            hold.notify_one();
            while house.refreshes() < 2 {
                tokio::task::yield_now().await;
            }
            house.provider.answer("/token", 200, "", json!({ "access_token": "a10", "expires_in": 3600 }));
            next.notify_one();
        };
        let (token, ()) = tokio::join!(house.token(), asking);
        assert_eq!(token, "a10", "{error}");
        assert!(house.provider.asked("/token")[1].contains("refresh_token=r9"));
        assert!(!house.app().upstream.needs_login(house.ada).await.unwrap());
    }
}

/// A refresh token that is no longer taken says nothing of who is let in: what was made before waits for a login.
#[tokio::test]
async fn tokens_of_who_has_to_log_in_anew_wait_for_that_unless_told_otherwise() {
    for (more, is_refused) in [("", true), ("auth_refresh_strict = false\n", false)] {
        let house = House::with(more).await;
        let (app, text) = (house.app(), house.script_token().await);
        let is_good = async || caller::by_token(app, text.expose()).await.unwrap().is_some();
        assert!(is_good().await);
        house.provider.answer("/token", 401, "", json!({ "error": "invalid_token" }));
        assert!(matches!(house.access().await, Err(Refused::Failed(_))));
        assert_eq!(is_good().await, !is_refused, "{more}");
        // By a password of this hub, say.
        app.store.upstream_vouched(house.ada, app.now()).await.unwrap();
        assert!(is_good().await);
    }
}

#[tokio::test]
async fn what_a_later_refresh_has_ended_is_not_handed_out() {
    let house = House::where_refreshes_end_tokens("").await;
    assert_eq!(house.token().await, "a2");
    house.gives("s3");
    let begun = Instant::now();
    assert_eq!(house.token_for_storage().await, "s3");
    assert!(begun.elapsed() >= Duration::from_millis(590), "whoever was given a2 was about to use it");
    assert_eq!((house.token_for_storage().await, house.refreshes()), ("s3".to_owned(), 2));
    house.gives("a4");
    assert_eq!((house.token().await, house.token().await, house.refreshes()), ("a4".to_owned(), "a4".to_owned(), 3));
    house.gives("s5");
    assert_eq!((house.token_for_storage().await, house.refreshes()), ("s5".to_owned(), 4));

    // Who never asks the provider whether a token is good goes on with it, and nobody waits for them.
    let house = House::where_refreshes_end_tokens("offline_audiences = [\"storage\"]").await;
    assert_eq!(house.token_for_storage().await, "a2");
    house.gives("a3");
    let begun = Instant::now();
    assert_eq!(house.token().await, "a3");
    assert!(begun.elapsed() < Duration::from_millis(500));
    assert_eq!((house.token_for_storage().await, house.refreshes()), ("a2".to_owned(), 2));

    // Elsewhere nothing is ended.
    let house = House::new().await;
    house.gives("a2");
    assert_eq!((house.token().await, house.token_for_storage().await), ("a2".to_owned(), "a2".to_owned()));
    assert_eq!((house.token().await, house.refreshes()), ("a2".to_owned(), 2));
}

#[tokio::test]
async fn who_wishes_for_every_scope_gets_what_who_wishes_for_none_gets() {
    let house = House::where_refreshes_end_tokens("").await;
    let given = json!({ "access_token": "a2", "expires_in": 3600, "scope": "openid profile" });
    house.provider.answer("/token", 200, "", given);
    assert_eq!(house.token().await, "a2");
    let of = |scope: &str| Want { scope: Some(scope.to_owned()), ..Want::default() };
    let all = house.app().upstream.access(house.ada, of("profile  openid"), TimeDelta::seconds(60)).await.unwrap();
    assert_eq!((all.token.expose(), house.refreshes()), ("a2", 1));
    house.app().upstream.access(house.ada, of("openid"), TimeDelta::seconds(60)).await.unwrap();
    assert!(house.refreshes() == 2 && house.provider.asked("/token")[1].contains("scope=openid"));
}

/// A kind after the other, not one of them after the other: else each would end the token of the one before.
#[tokio::test]
async fn many_who_wish_for_two_kinds_of_tokens_make_two_refreshes() {
    let house = House::where_refreshes_end_tokens("").await;
    let each = (0..20).map(|_| async { (house.token_for_storage().await, house.token().await) });
    assert_eq!(futures_util::future::join_all(each).await.len(), 20);
    // Two, but for who came a little late.
    assert!((2..=6).contains(&house.refreshes()), "{}", house.refreshes());
}

#[tokio::test]
async fn who_waits_for_the_next_token_hears_of_it_at_once_and_of_nothing_else() {
    let house = House::where_refreshes_end_tokens("").await;
    let first = house.token().await;
    let waits = |patience: Duration| {
        house.app().upstream.next(house.ada, TimeDelta::seconds(0), patience, |access| access.token.expose() == first)
    };
    assert!(waits(Duration::from_millis(10)).await.unwrap().is_none());
    house.app().upstream.tell(UserId(99));
    house.gives("a3");
    let (next, _) = tokio::join!(waits(PATIENCE), house.token_for_storage());
    assert_eq!(next.unwrap().unwrap().token.expose(), "a3");
    house.stop().await;
    let known = house.app().upstream.next(house.ada, TimeDelta::seconds(0), PATIENCE, |_| true);
    assert!(tokio::time::timeout(Duration::from_secs(5), known).await.is_ok(), "a hub that stops keeps nobody waiting");
}

/// Every hub looks for who is due. What another one has done meanwhile, or does, is not done again.
#[tokio::test]
async fn who_is_due_is_asked_about_unless_another_hub_does_or_has_done_so() {
    let house = House::new().await;
    let (app, now) = (house.app(), house.app().now());
    let asked = || (house.refreshes(), house.provider.asked("/userinfo").len());
    let (lease, notice) = (TimeDelta::seconds(30), TimeDelta::zero());
    app.store.upstream_good(house.ada, now, Some(now)).await.unwrap();
    assert!(app.store.claim_upstream(house.ada, "another hub", lease, notice).await.unwrap());
    app.upstream.check_due(house.ada).await.unwrap();
    assert_eq!(asked(), (0, 0), "another hub does");
    app.store.upstream_good(house.ada, now, Some(now + TimeDelta::hours(1))).await.unwrap();
    assert!(app.store.release_upstream(house.ada, "another hub").await.unwrap());
    app.upstream.check_due(house.ada).await.unwrap();
    assert_eq!(asked(), (0, 0), "another hub has done so");
    assert!(app.store.claim_upstream(house.ada, "another hub", lease, notice).await.unwrap(), "nobody has the lease");
    assert!(app.store.release_upstream(house.ada, "another hub").await.unwrap());
    app.store.upstream_good(house.ada, now, Some(now)).await.unwrap();
    app.upstream.check_due(house.ada).await.unwrap();
    assert_eq!(asked(), (1, 1));
    assert!(app.store.upstream(house.ada).await.unwrap().unwrap().due_at.unwrap() > app.now());
}

#[tokio::test]
async fn a_hub_that_stops_tries_once_more_and_says_what_is_lost() {
    for takes in [true, false] {
        let (log, _guard) = Log::begin();
        let house = House::new().await;
        house.database(REFUSE).await;
        assert_eq!(house.token().await, "a2");
        if takes {
            house.database(TAKE).await;
        }
        house.stop().await;
        let text = log.text();
        assert_eq!(house.kept().await, if takes { "r2" } else { "r1" });
        assert_eq!(text.contains("fresh tokens are lost"), !takes, "{text}");
        assert!(takes || text.contains("name=\"ada\"") && text.contains("no room"), "{text}");
        assert!(!["a1", "a2", "r1", "r2"].iter().any(|token| text.contains(&format!("{token:?}"))), "{text}");
    }
}

/// The provider's words may hold anything: they are for the log.
#[tokio::test]
async fn the_providers_own_words_stay_in_the_log_beside_a_reference() {
    for error in ["invalid_target", "invalid_scope"] {
        let (log, _guard) = Log::begin();
        let house = House::new().await;
        let words = json!({ "error": error, "error_description": "ask https://evil.example, said ada" });
        house.provider.answer("/token", 400, "", words);
        let want = Want { audience: Some("storage".to_owned()), ..Want::default() };
        let refused = house.app().upstream.access(house.ada, want, TimeDelta::seconds(60)).await.map(drop);
        let Err(Refused::Target(sentence)) = refused else { panic!("{refused:?}") };
        let reference =
            sentence.strip_prefix("Test IAM gives no token for this audience or scope. Reference: ").unwrap();
        let text = log.text();
        let line = text.lines().find(|line| line.contains(reference)).unwrap();
        assert!(reference.len() == 8 && line.contains("evil.example"), "{line}");
        // What is shown of a login says nothing of it either.
        house.provider.answer(
            "/token",
            400,
            "",
            json!({ "error": "invalid_grant", "error_description": "evil words" }),
        );
        let Err(Refused::Failed(failure)) = house.access().await else { panic!("it is refused") };
        assert!(!failure.sentence.contains("evil"), "{failure:?}");
    }
}

/// H1, for API tokens: whoever is not about is not asked about, so that a token may have slept through its owner's leaving.
#[tokio::test]
async fn a_token_that_slept_is_good_only_if_its_owner_is_still_let_in() {
    let house = House::new().await;
    let (app, text) = (house.app(), house.script_token().await);
    let overdue = app.now() - TimeDelta::hours(2);
    // Each use of it is noted.
    let sleep = async || house.database("UPDATE api_tokens SET last_activity = NULL").await;
    let wakes = async || {
        sleep().await;
        app.store.upstream_good(house.ada, overdue, Some(overdue)).await.unwrap();
        caller::by_token(app, text.expose()).await.unwrap().is_some()
    };
    assert!(wakes().await, "the provider vouches");
    let asked = house.provider.asked("/userinfo").len();
    assert_eq!(asked, 1);
    // Away: nothing changes.
    house.provider.answer("/userinfo", 503, "", json!({}));
    assert!(wakes().await);
    house.provider.answer("/userinfo", 200, "", ada(&[]));
    sleep().await;
    // Not asked again so soon after the last time, whatever it would say.
    app.store.upstream_good(house.ada, app.now(), Some(overdue)).await.unwrap();
    assert!(caller::by_token(app, text.expose()).await.unwrap().is_some());
    assert!(!wakes().await, "no group lets them in any more");
    assert!(!wakes().await, "and that stays so");
    assert_eq!(house.provider.asked("/userinfo").len(), asked + 2);
}
