//! Accounts at identity providers, and refusals.

use crate::harness::{Database, at, both};
use hub_store::Identity;

fn account(issuer: &str, subject: &str, seconds: i64) -> Identity {
    Identity {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        provider: "iam".to_owned(),
        seen_at: at(seconds),
    }
}

async fn one_account_of_each_provider_is_kept_and_the_latest_comes_first(Database { store, .. }: Database) {
    let ada = store.create_user("ada", false, "c1", at(0)).await.unwrap().id;
    let eve = store.create_user("eve", false, "c2", at(0)).await.unwrap().id;
    assert_eq!(store.identities_of(ada).await.unwrap(), []);
    store.note_identity(ada, &account("https://a", "1", 1)).await.unwrap();
    store.note_identity(ada, &account("https://b", "1", 2)).await.unwrap();
    assert_eq!(store.identities_of(ada).await.unwrap(), [account("https://b", "1", 2), account("https://a", "1", 1)]);
    store.note_identity(ada, &account("https://a", "2", 3)).await.unwrap();
    assert_eq!(store.identities_of(ada).await.unwrap()[0], account("https://a", "2", 3));
    assert_eq!(store.identities_of(eve).await.unwrap(), []);
    assert!(store.delete_user(ada).await.unwrap());
    let again = store.create_user("ada", false, "c3", at(0)).await.unwrap().id;
    assert_eq!(store.identities_of(again).await.unwrap(), [], "whoever has the name next has no account yet");
}

async fn a_refusal_stays_as_it_began_until_it_ends(Database { store, .. }: Database) {
    let ada = store.create_user("ada", false, "c1", at(0)).await.unwrap().id;
    assert_eq!(store.refusal(ada).await.unwrap(), None);
    assert!(store.refuse(ada, "no group", at(1)).await.unwrap());
    assert!(!store.refuse(ada, "blocked", at(2)).await.unwrap());
    let refusal = store.refusal(ada).await.unwrap().unwrap();
    assert_eq!((refusal.since, refusal.reason.as_str()), (at(1), "no group"));
    assert!(store.admit(ada).await.unwrap());
    assert!(!store.admit(ada).await.unwrap());
    assert_eq!(store.refusal(ada).await.unwrap(), None);
    assert!(store.refuse(ada, "again", at(3)).await.unwrap());
    assert!(store.delete_user(ada).await.unwrap());
}

both!(one_account_of_each_provider_is_kept_and_the_latest_comes_first, a_refusal_stays_as_it_began_until_it_ends,);
