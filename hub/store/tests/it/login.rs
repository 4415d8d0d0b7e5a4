//! Passwords, invitations, the throttle, sessions.

use crate::harness::{Database, at, both, user};
use chrono::TimeDelta;
use hub_core::id::UserId;
use hub_core::secret::Secret;
use hub_store::{NewSession, StoreError, Throttle};

async fn a_password_is_set_replaced_and_deleted(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    assert!(store.password(ann).await.unwrap().is_none());
    store.set_password(ann, &Secret::new("$argon2id$one"), true, at(1)).await.unwrap();
    store.set_password(ann, &Secret::new("$argon2id$two"), false, at(2)).await.unwrap();
    let password = store.password(ann).await.unwrap().unwrap();
    assert!(password.hash.matches("$argon2id$two"));
    assert_eq!((password.must_change, password.changed_at), (false, at(2)));
    assert!(store.delete_password(ann).await.unwrap());
    assert!(!store.delete_password(ann).await.unwrap());
    let nobody = store.set_password(UserId(999), &Secret::new("x"), false, at(1)).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
}

async fn an_invitation_is_good_for_one_time(database: Database) {
    let store = &database.store;
    let ann = user(store, "ann").await.id;
    let (one, two) = (Secret::new("one"), Secret::new("two"));
    store.insert_invite(&one, ann, at(100)).await.unwrap();
    store.insert_invite(&two, ann, at(10)).await.unwrap();
    assert_eq!(store.invite(&one, at(50)).await.unwrap().map(|(user, _)| user), Some(ann));
    let accept = async |invite: &Secret, now| store.accept_invite(invite, &Secret::new("$argon2id$own"), now).await;
    // What cannot be set uses nothing up.
    database.hand("ALTER TABLE specola_passwords RENAME TO elsewhere").await;
    accept(&one, at(49)).await.unwrap_err();
    database.hand("ALTER TABLE elsewhere RENAME TO specola_passwords").await;
    assert_eq!(accept(&one, at(50)).await.unwrap(), Some(ann));
    let password = store.password(ann).await.unwrap().unwrap();
    assert!(password.hash.matches("$argon2id$own") && !password.must_change && password.changed_at == at(50));
    assert_eq!(accept(&one, at(51)).await.unwrap(), None);
    assert_eq!(store.invite(&one, at(51)).await.unwrap(), None);
    assert_eq!(accept(&two, at(10)).await.unwrap(), None, "it has run out");
    assert_eq!(accept(&Secret::new("three"), at(1)).await.unwrap(), None);
    let twice = store.insert_invite(&one, ann, at(100)).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
}

const THREE: Throttle = Throttle { failures: 3, window: TimeDelta::seconds(100), block: TimeDelta::seconds(60) };

async fn failures_within_the_window_block(Database { store, .. }: Database) {
    let fail = async |seconds| store.record_login_failure("user:ann", THREE, at(seconds)).await.unwrap();
    let blocked = async |seconds| {
        let keys = ["user:ann".to_owned(), "address:::1".to_owned()];
        store.login_blocked_until(&keys, at(seconds)).await.unwrap()
    };
    assert_eq!((fail(0).await, fail(10).await), (None, None));
    assert_eq!(blocked(11).await, None);
    assert_eq!(fail(20).await, Some(at(80)));
    assert_eq!((blocked(79).await, blocked(80).await), (Some(at(80)), None));
    assert_eq!(fail(81).await, Some(at(141)), "the next failure in the window blocks again");
    assert_eq!(fail(200).await, None, "a new window begins");
    assert!(store.clear_login_failures("user:ann").await.unwrap());
    assert!(!store.clear_login_failures("user:ann").await.unwrap());
    let strict = Throttle { failures: 1, ..THREE };
    assert_eq!(store.record_login_failure("x", strict, at(0)).await.unwrap(), Some(at(60)));
}

async fn failures_at_once_are_all_counted(Database { store, .. }: Database) {
    let tasks: Vec<_> = (0..9)
        .map(|_| {
            let store = store.clone();
            let ten = Throttle { failures: 10, ..THREE };
            tokio::spawn(async move { store.record_login_failure("k", ten, at(0)).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), None);
    }
    let ten = Throttle { failures: 10, ..THREE };
    assert_eq!(store.record_login_failure("k", ten, at(0)).await.unwrap(), Some(at(60)));
}

async fn old_failures_are_forgotten_but_blocks_are_not(Database { store, .. }: Database) {
    store.record_login_failure("old", THREE, at(0)).await.unwrap();
    let long = Throttle { failures: 1, block: TimeDelta::seconds(9000), ..THREE };
    store.record_login_failure("blocked", long, at(0)).await.unwrap();
    store.record_login_failure("new", THREE, at(500)).await.unwrap();
    assert_eq!(store.purge_login_failures(at(400), at(500)).await.unwrap(), 1);
    assert!(store.login_blocked_until(&["blocked".to_owned()], at(500)).await.unwrap().is_some());
}

async fn sessions_are_seen_and_ended(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    for (session_id, seconds) in [("one", 0), ("two", 5), ("three", 9)] {
        let session = NewSession {
            session_id: session_id.to_owned(),
            user_id: ann,
            now: at(seconds),
            expires_at: at(seconds + 100),
            address: Some("::1".to_owned()),
            agent: Some("Browser/1".to_owned()),
        };
        store.insert_session(&session).await.unwrap();
    }
    let valid = async |seconds| {
        let sessions = store.sessions_of(ann, at(seconds)).await.unwrap();
        sessions.into_iter().map(|session| session.session_id).collect::<Vec<_>>()
    };
    assert_eq!(valid(10).await, ["three", "two", "one"]);
    assert!(store.touch_session("one", at(50), TimeDelta::seconds(10)).await.unwrap());
    assert!(!store.touch_session("one", at(55), TimeDelta::seconds(10)).await.unwrap());
    assert_eq!(valid(60).await, ["one", "three", "two"]);
    assert_eq!(valid(100).await, ["three", "two"], "the first has run out");
    assert!(store.revoke_session("two", at(60)).await.unwrap());
    assert!(!store.revoke_session("two", at(61)).await.unwrap());
    let revoked = store.session("two").await.unwrap().unwrap();
    assert_eq!((revoked.is_valid(at(61)), revoked.revoked_at), (false, Some(at(60))));
    assert!(store.session("three").await.unwrap().unwrap().is_valid(at(61)));
    assert_eq!(store.revoke_sessions_of(ann, at(70)).await.unwrap(), 2);
    assert_eq!(valid(71).await, [""; 0]);
    assert_eq!(store.session("none").await.unwrap(), None);
}

both!(
    a_password_is_set_replaced_and_deleted,
    an_invitation_is_good_for_one_time,
    failures_within_the_window_block,
    failures_at_once_are_all_counted,
    old_failures_are_forgotten_but_blocks_are_not,
    sessions_are_seen_and_ended,
);
