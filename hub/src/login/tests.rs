//! Logins from end to end, on a real database.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta};
use hub_core::clock::Time;
use hub_store::{OpenOptions, User};

use super::password::SetError;
use super::*;
use crate::config::auth::{DemoConfig, PasswordConfig, ThrottleConfig};

struct Hands(Mutex<Time>);

impl Clock for Hands {
    fn now(&self) -> Time {
        *self.0.lock().unwrap()
    }
}

struct Case {
    login: Login,
    store: Store,
    clock: Hands,
    _folder: tempfile::TempDir,
}

const GOOD: &str = "correct horse";

impl Case {
    async fn new(change: impl FnOnce(&mut AuthConfig)) -> Self {
        let mut auth = AuthConfig::default();
        change(&mut auth);
        let folder = tempfile::tempdir().unwrap();
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let url = format!("sqlite:///{}", folder.path().join("hub.sqlite").display());
        let store = Store::open(&url, OpenOptions::new(now)).await.unwrap();
        Self { login: Login::new(&auth).unwrap(), store, clock: Hands(Mutex::new(now)), _folder: folder }
    }

    async fn user(&self, name: &str) -> User {
        let cookie_id = hub_core::token::generate_id(&mut rand::rng());
        self.store.create_user(name, false, &cookie_id, self.clock.now()).await.unwrap()
    }

    async fn user_with_password(&self, name: &str, must_change: bool) -> User {
        let user = self.user(name).await;
        let passwords = self.login.passwords().unwrap();
        passwords.set(&self.store, user.id, &Secret::new(GOOD), must_change, self.clock.now()).await.unwrap();
        user
    }

    async fn log_in(&self, name: &str, password: &str) -> Outcome {
        self.log_in_from(name, password, "192.0.2.1").await
    }

    async fn log_in_from(&self, name: &str, password: &str, address: &str) -> Outcome {
        let address = Some(address.parse().unwrap());
        self.login.authenticate(&self.store, &self.clock, name, &Secret::new(password), address).await
    }

    fn pass(&self, seconds: i64) {
        *self.clock.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

fn welcome(name: &str, admin: Option<bool>, must_change_password: bool) -> Outcome {
    Outcome::Welcome(Identity {
        name: UserName::parse(name).unwrap(),
        admin,
        groups: None,
        roles: None,
        must_change_password,
        auth_state: None,
        account: None,
    })
}

const WRONG: Outcome = Outcome::Refused(Refusal::Wrong);

#[tokio::test]
async fn a_person_logs_in_with_the_right_password_only() {
    let case = Case::new(|_| {}).await;
    case.user_with_password("ada", false).await;
    case.user("grace").await;
    assert_eq!(case.log_in("Ada", GOOD).await, welcome("ada", None, false));
    for (name, password) in [("ada", "wrong"), ("ada", ""), ("grace", GOOD), ("nobody", GOOD), ("a/b", GOOD), ("", "")]
    {
        assert_eq!(case.log_in(name, password).await, WRONG, "{name}");
    }
    assert_eq!(case.log_in("ada", &"x".repeat(5000)).await, WRONG);
}

#[tokio::test]
async fn an_administrator_and_a_one_time_password_are_told() {
    let case = Case::new(|auth| auth.admin_users = ["ada".to_owned()].into()).await;
    case.user_with_password("ada", true).await;
    assert_eq!(case.log_in("ada", GOOD).await, welcome("ada", Some(true), true));
}

#[tokio::test]
async fn a_blocked_person_is_refused_in_spite_of_the_password() {
    let case = Case::new(|auth| auth.blocked_users = ["ada".to_owned()].into()).await;
    case.user_with_password("ada", false).await;
    assert_eq!(case.log_in("ada", GOOD).await, Outcome::Refused(Refusal::NotAllowed));
    assert_eq!(case.log_in("ada", "wrong").await, WRONG);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_wait_ends() {
    let throttle = ThrottleConfig { failures_per_user: 3, ..ThrottleConfig::default() };
    let case = Case::new(|auth| auth.throttle = throttle).await;
    case.user_with_password("ada", false).await;
    for attempt in 0..3 {
        assert_eq!(case.log_in("ada", "wrong").await, WRONG, "{attempt}");
    }
    // The right password is not looked at either: whether it fits must not be found out by trying on.
    let throttled = case.log_in("ada", GOOD).await;
    assert!(matches!(throttled, Outcome::Throttled { retry_after } if (1..=3).contains(&retry_after.as_secs())));
    case.pass(4);
    assert_eq!(case.log_in("ada", GOOD).await, welcome("ada", None, false));
    assert_eq!(case.log_in("ada", "wrong").await, WRONG, "a success makes up for what was before");
}

#[tokio::test]
async fn many_failures_cost_a_long_but_bounded_wait() {
    let throttle = ThrottleConfig { failures_per_user: 1, failures_per_address: 100, ..ThrottleConfig::default() };
    let case = Case::new(|auth| auth.throttle = throttle).await;
    case.user_with_password("ada", false).await;
    for _ in 0..4 {
        assert_eq!(case.log_in("ada", "wrong").await, WRONG);
        case.pass(3);
    }
    let throttled = case.log_in("ada", GOOD).await;
    assert!(matches!(throttled, Outcome::Throttled { retry_after } if (290..=301).contains(&retry_after.as_secs())));
    case.pass(300);
    assert_eq!(case.log_in("ada", GOOD).await, welcome("ada", None, false));
}

#[tokio::test]
async fn one_address_cannot_try_many_names() {
    let throttle = ThrottleConfig { failures_per_address: 4, ..ThrottleConfig::default() };
    let case = Case::new(|auth| auth.throttle = throttle).await;
    case.user_with_password("ada", false).await;
    for index in 0..4 {
        assert_eq!(case.log_in(&format!("nobody{index}"), "wrong").await, WRONG);
    }
    assert!(matches!(case.log_in("ada", GOOD).await, Outcome::Throttled { .. }));
    assert_eq!(case.log_in_from("ada", GOOD, "192.0.2.2").await, welcome("ada", None, false));
}

#[tokio::test]
async fn guesses_sent_at_once_are_counted_one_by_one() {
    let throttle = ThrottleConfig { failures_per_user: 2, ..ThrottleConfig::default() };
    let case = Case::new(|auth| auth.throttle = throttle).await;
    case.user_with_password("ada", false).await;
    let outcomes = futures_util::future::join_all((0..10).map(|_| case.log_in("ada", "wrong"))).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == WRONG).count(), 2, "{outcomes:?}");
}

#[tokio::test]
async fn an_invitation_sets_a_password_once() {
    let case = Case::new(|_| {}).await;
    let ada = case.user("ada").await;
    let passwords = case.login.passwords().unwrap();
    let invite = password::invitation(&mut rand::rng());
    passwords.invite(&case.store, ada.id, &invite, case.clock.now()).await.unwrap();
    let accept = |password: &'static str| {
        let (password, now) = (Secret::new(password), case.clock.now());
        let (store, invite) = (&case.store, &invite);
        async move { passwords.accept(store, invite, &password, now).await }
    };
    assert!(matches!(accept("short").await, Err(SetError::Short(10))), "a refused password uses nothing up");
    assert_eq!(accept(GOOD).await.unwrap(), ada.id);
    assert!(matches!(accept("another horse").await, Err(SetError::Invite)));
    assert_eq!(case.log_in("ada", GOOD).await, welcome("ada", None, false));
}

#[tokio::test]
async fn an_old_invitation_is_refused() {
    let password = PasswordConfig { invite_lifetime: crate::config::unit::Seconds(60.0), ..PasswordConfig::default() };
    let case = Case::new(|auth| auth.password = password).await;
    let ada = case.user("ada").await;
    let passwords = case.login.passwords().unwrap();
    let invite = password::invitation(&mut rand::rng());
    passwords.invite(&case.store, ada.id, &invite, case.clock.now()).await.unwrap();
    case.pass(61);
    assert_eq!(passwords.invited(&case.store, &invite, case.clock.now()).await.unwrap(), None);
    let refused = passwords.accept(&case.store, &invite, &Secret::new(GOOD), case.clock.now()).await;
    assert!(matches!(refused, Err(SetError::Invite)));
}

#[tokio::test]
async fn a_one_time_password_has_to_be_changed_to_another() {
    let case = Case::new(|_| {}).await;
    let ada = case.user("ada").await;
    let passwords = case.login.passwords().unwrap();
    let shown = password::one_time(&mut rand::rng());
    passwords.reset(&case.store, ada.id, &shown, case.clock.now()).await.unwrap();
    assert_eq!(case.log_in("ada", shown.expose()).await, welcome("ada", None, true));
    let same = passwords.change(&case.store, ada.id, &shown, case.clock.now()).await;
    assert!(matches!(same, Err(SetError::Same)));
    passwords.change(&case.store, ada.id, &Secret::new(GOOD), case.clock.now()).await.unwrap();
    assert_eq!(case.log_in("ada", shown.expose()).await, WRONG);
    assert_eq!(case.log_in("ada", GOOD).await, welcome("ada", None, false));
}

#[tokio::test]
async fn the_demo_lets_in_any_name_with_its_password() {
    let open = Case::new(|auth| auth.authenticator = Authenticator::Demo).await;
    assert_eq!(open.log_in("anybody", "").await, welcome("anybody", None, false));
    let demo = DemoConfig { password: Some(Secret::new(GOOD)), ..DemoConfig::default() };
    let closed = Case::new(|auth| {
        auth.authenticator = Authenticator::Demo;
        auth.demo = demo;
    })
    .await;
    assert_eq!(closed.log_in("anybody", GOOD).await, welcome("anybody", None, false));
    assert_eq!(closed.log_in("anybody", "").await, WRONG);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_no_refusal() {
    let case = Case::new(|_| {}).await;
    case.user_with_password("ada", false).await;
    case.store.close().await;
    assert_eq!(case.log_in("ada", GOOD).await, Outcome::Unavailable);
}
