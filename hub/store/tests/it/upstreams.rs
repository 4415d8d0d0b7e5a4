//! Whom identity providers are to be asked about: leases, failures, and who is due.

use crate::harness::{Database, at, both, new_token, server, user, want_running};
use chrono::TimeDelta;
use hub_store::{NewSession, NewUpstreamOther, TokenOwner, Upstream};
use serde_json::json;

/// What a hub takes for the time plays no part: clocks of two machines may differ by more than a lease.
async fn one_hub_at_a_time_holds_somebodys_tokens_by_the_clock_of_the_database(database: Database) {
    let (store, ada) = (&database.store, user(&database.store, "ada").await.id);
    let (lease, over, notice) = (TimeDelta::seconds(30), TimeDelta::seconds(-1), TimeDelta::seconds(30));
    assert_eq!(store.upstream(ada).await.unwrap(), None);
    assert!(store.claim_upstream(ada, "one", lease, notice).await.unwrap());
    assert!(!store.claim_upstream(ada, "two", lease, notice).await.unwrap());
    assert!(store.claim_upstream(ada, "one", lease, notice).await.unwrap(), "the same hub may hold on");
    assert!(!store.is_upstream_held(ada, "one").await.unwrap() && store.is_upstream_held(ada, "two").await.unwrap());
    let left = "SELECT CAST(CAST(held_until > $NOW AND held_until < $SOON AS integer) AS text) FROM specola_upstream";
    let (now, soon) = match database.url.starts_with("sqlite") {
        true => ("datetime('now', '+28 seconds')", "datetime('now', '+32 seconds')"),
        false => ("timezone('UTC', now()) + interval '28 s'", "timezone('UTC', now()) + interval '32 s'"),
    };
    assert_eq!(database.cell(&left.replace("$NOW", now).replace("$SOON", soon)).await, "1", "half a minute from now");
    assert!(!store.release_upstream(ada, "two").await.unwrap());
    assert!(store.release_upstream(ada, "one").await.unwrap());
    assert!(!store.is_upstream_held(ada, "two").await.unwrap(), "it was given back");
    assert!(store.claim_upstream(ada, "two", over, notice).await.unwrap());
    assert!(!store.is_upstream_held(ada, "one").await.unwrap(), "it is over");
    // It did not give them back: it has this long to come for them, whatever time has passed meanwhile.
    assert!(!store.claim_upstream(ada, "one", lease, notice).await.unwrap(), "it has notice");
    assert!(!store.claim_upstream(ada, "one", lease, over).await.unwrap(), "once");
    assert!(store.is_upstream_held(ada, "one").await.unwrap());
    assert!(store.claim_upstream(ada, "two", over, notice).await.unwrap(), "it is back in time");
    assert!(!store.claim_upstream(ada, "one", lease, over).await.unwrap(), "notice again, which is over at once");
    assert!(store.claim_upstream(ada, "one", lease, notice).await.unwrap(), "a hub that died holds nothing for ever");
    assert!(!store.claim_upstream(ada, "two", lease, notice).await.unwrap());
}

async fn failures_are_counted_until_something_is_good(Database { store, .. }: Database) {
    let ada = user(&store, "ada").await.id;
    let failure = json!({"code": "unreachable"});
    for failures in [1, 2] {
        store.upstream_failed(ada, &failure, at(failures), Some(at(9))).await.unwrap();
        let kept = store.upstream(ada).await.unwrap().unwrap();
        assert_eq!((kept.failures, kept.failed_at), (failures.unsigned_abs().try_into().unwrap(), Some(at(failures))));
    }
    store.upstream_good(ada, at(5), Some(at(50))).await.unwrap();
    let good = Upstream { due_at: Some(at(50)), checked_at: Some(at(5)), ..Upstream::default() };
    assert_eq!(store.upstream(ada).await.unwrap(), Some(good));
    store.upstream_failed(ada, &failure, at(6), None).await.unwrap();
    store.upstream_renewed(ada, Some(at(60))).await.unwrap();
    let renewed = Upstream { due_at: Some(at(60)), checked_at: Some(at(5)), ..Upstream::default() };
    assert_eq!(store.upstream(ada).await.unwrap(), Some(renewed), "who vouched when is another thing");
    store.upstream_failed(ada, &failure, at(6), None).await.unwrap();
    let kept = store.upstream(ada).await.unwrap().unwrap();
    assert_eq!((kept.due_at, kept.checked_at, kept.failure.as_ref()), (None, Some(at(5)), Some(&failure)));
    store.upstream_vouched(ada, at(7)).await.unwrap();
    let kept = store.upstream(ada).await.unwrap().unwrap();
    assert_eq!((kept.checked_at, kept.failure), (Some(at(7)), Some(failure)), "it stands as it did with the tokens");
}

async fn only_people_who_are_about_are_due(Database { store, url, directory }: Database) {
    let mut ids = Vec::new();
    for (name, due) in [("away", 1), ("browser", 4), ("lab", 3), ("script", 2), ("later", 90), ("held", 1)] {
        let id = user(&store, name).await.id;
        store.upstream_good(id, at(0), Some(at(due))).await.unwrap();
        ids.push(id);
    }
    let [_, browser, lab, script, later, held] = ids[..] else { unreachable!() };
    for (id, user_id, expires) in [("s1", browser, 99), ("s2", later, 99), ("s3", held, 99), ("s4", ids[0], 5)] {
        let session = NewSession {
            session_id: id.to_owned(),
            user_id,
            now: at(0),
            expires_at: at(expires),
            address: None,
            agent: None,
        };
        store.insert_session(&session).await.unwrap();
    }
    let server = server(&store, lab, "").await;
    want_running(&store, server.id).await;
    let database = Database { store: store.clone(), url, directory };
    database.hand("UPDATE specola_servers SET phase = 'starting'").await;
    assert!(store.claim_upstream(held, "another", TimeDelta::seconds(30), TimeDelta::zero()).await.unwrap());
    store.insert_token(&new_token(TokenOwner::User(script), "of a script")).await.unwrap();
    database.hand(&format!("UPDATE api_tokens SET last_activity = '{}'", at(8).format("%F %T%.6f"))).await;
    assert_eq!(store.due_upstreams(at(10), at(5), 10).await.unwrap(), [script, lab, browser]);
    assert_eq!(store.due_upstreams(at(10), at(5), 1).await.unwrap(), [script]);
    assert_eq!(
        store.due_upstreams(at(10), at(8), 10).await.unwrap(),
        [lab, browser],
        "a token that is not used any more"
    );
}

async fn tokens_for_others_are_kept_until_they_end_or_the_login_does(Database { store, .. }: Database) {
    let (ada, bob) = (user(&store, "ada").await.id, user(&store, "bob").await.id);
    let put = async |user, want: &str, got, end| {
        let (got_at, expires_at) = (at(got), at(end));
        let new = NewUpstreamOther { user, want, sealed: want.as_bytes(), got_at, expires_at, most: 3 };
        store.put_upstream_other(new).await.unwrap();
    };
    let has = async |user, want: &str, now| {
        let found = store.upstream_other(user, want, at(now)).await.unwrap();
        assert!(found.as_ref().is_none_or(|found| found == want.as_bytes()), "{found:?}");
        found.is_some()
    };
    put(ada, "a", 0, 100).await;
    put(bob, "a", 0, 100).await;
    assert!(has(ada, "a", 99).await && !has(ada, "a", 100).await && !has(ada, "b", 1).await);
    for (got, want) in [(1, "b"), (2, "c"), (3, "c"), (4, "d")] {
        put(ada, want, got, 100).await;
    }
    assert!(!has(ada, "a", 5).await, "there are three at most, the newest");
    assert!(has(ada, "b", 5).await && has(ada, "d", 5).await && has(bob, "a", 5).await);
    put(ada, "e", 200, 300).await;
    assert_eq!(store.purge_upstream_others(at(200)).await.unwrap(), 1, "bob's; hers went with the next one");
    put(bob, "f", 200, 300).await;
    assert!(store.set_auth_state(ada, Some(b"the next login")).await.unwrap());
    assert!(!has(ada, "e", 201).await && has(bob, "f", 201).await);
    assert!(store.delete_user(bob).await.unwrap() && !has(bob, "f", 201).await);
}

async fn states_of_several_people_are_read_at_once(Database { store, .. }: Database) {
    let (ada, bob) = (user(&store, "ada").await.id, user(&store, "bob").await.id);
    store.set_auth_state(ada, Some(&[0, 255, 7])).await.unwrap();
    assert_eq!(store.auth_states_of(&[ada, bob]).await.unwrap(), [(ada, vec![0, 255, 7])]);
    assert_eq!(store.auth_states_of(&[bob]).await.unwrap(), []);
}

both!(
    tokens_for_others_are_kept_until_they_end_or_the_login_does,
    states_of_several_people_are_read_at_once,
    one_hub_at_a_time_holds_somebodys_tokens_by_the_clock_of_the_database,
    failures_are_counted_until_something_is_good,
    only_people_who_are_about_are_due,
);
