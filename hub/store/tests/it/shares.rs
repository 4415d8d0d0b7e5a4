//! Shares and share codes.

use crate::harness::{Database, at, both, server, user};
use chrono::TimeDelta;
use hub_core::id::{SpawnerId, UserId};
use hub_core::secret::Secret;
use hub_store::{NewShareCode, Share, ShareQuery, ShareWith, Shares, Store, StoreError};
use serde_json::json;

/// A share with these scopes in place of those there were.
async fn set(store: &Store, server: SpawnerId, with: ShareWith, scopes: &[&str]) -> Option<Share> {
    let scopes = scopes.iter().map(|scope| scope.to_string()).collect();
    store.change_share(server, with, at(1), |_| scopes).await.unwrap()
}

async fn owners(store: &Store, of: Shares) -> Vec<String> {
    let page = store.list_shares(&ShareQuery { of, offset: 0, limit: None }, at(5)).await.unwrap();
    assert_eq!(page.total as usize, page.items.len());
    page.items.into_iter().map(|share| format!("{}/{}", share.server.owner, share.server.name)).collect()
}

fn new_code(server: SpawnerId, text: &str, seconds: i64) -> NewShareCode {
    NewShareCode {
        server,
        hashed: Secret::new(format!("sha512:1:5a17:{text}")),
        prefix: text.chars().take(4).collect(),
        scopes: vec!["access:servers!server=ann/".to_owned()],
        expires_at: at(seconds),
        now: at(0),
    }
}

async fn a_share_is_made_extended_reduced_and_ended(Database { store, .. }: Database) {
    let (ann, bob) = (user(&store, "ann").await.id, ShareWith::User(user(&store, "bob").await.id));
    let lab = server(&store, ann, "lab").await.id;
    let seen = |share: hub_core::scope::Share<'_>| {
        assert_eq!((share.owner, share.server), ("ann", "lab"));
        share.scopes.to_vec()
    };
    let first = store.change_share(lab, bob, at(1), |share| [seen(share), vec!["a".into()]].concat()).await.unwrap();
    let first = first.unwrap();
    assert_eq!((first.scopes.as_slice(), first.created_at, first.expires_at), (&["a".to_owned()][..], at(1), None));
    assert_eq!((first.server.owner.as_str(), first.server.name.as_str(), first.server.ready), ("ann", "lab", false));
    assert_eq!((first.with, first.with_name.as_str()), (bob, "bob"));
    let second = store.change_share(lab, bob, at(2), |share| [seen(share), vec!["b".into()]].concat()).await.unwrap();
    let second = second.unwrap();
    assert_eq!((second.id, second.created_at, second.scopes.len()), (first.id, at(1), 2));
    assert_eq!(store.share(lab, bob, at(3)).await.unwrap(), Some(second));
    assert_eq!(set(&store, lab, bob, &[]).await, None);
    assert_eq!(store.share(lab, bob, at(3)).await.unwrap(), None);
    assert_eq!(set(&store, lab, bob, &[]).await, None, "nothing was shared");
    assert_eq!(set(&store, SpawnerId(999), bob, &["a"]).await, None, "no such server");
    let nobody = store.change_share(lab, ShareWith::User(UserId(999)), at(1), |_| vec!["a".into()]).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    set(&store, lab, bob, &["a"]).await.unwrap();
    assert!(store.delete_share(lab, bob).await.unwrap());
    assert!(!store.delete_share(lab, bob).await.unwrap());
}

async fn two_at_once_make_one_share(Database { store, .. }: Database) {
    let (ann, bob) = (user(&store, "ann").await.id, ShareWith::User(user(&store, "bob").await.id));
    let lab = server(&store, ann, "").await.id;
    let add = |scope: &'static str| {
        store.change_share(lab, bob, at(1), move |share| [share.scopes.to_vec(), vec![scope.to_owned()]].concat())
    };
    let (one, other) = tokio::join!(add("a"), add("b"));
    assert_eq!(one.unwrap().unwrap().id, other.unwrap().unwrap().id);
    let mut scopes = store.share(lab, bob, at(2)).await.unwrap().unwrap().scopes;
    scopes.sort();
    assert_eq!(scopes, ["a", "b"]);
}

async fn shares_are_listed_by_server_owner_and_holder(Database { store, .. }: Database) {
    let (ann, bob, eve) = (user(&store, "ann").await.id, user(&store, "bob").await.id, user(&store, "eve").await.id);
    let (lab, gpu) = (server(&store, ann, "").await.id, server(&store, ann, "gpu").await.id);
    let other = server(&store, eve, "").await.id;
    let group = store.create_group("physics", &json!({})).await.unwrap().id;
    store.add_members(group, &[bob]).await.unwrap();
    for (server, with) in [
        (lab, ShareWith::User(bob)),
        (lab, ShareWith::Group(group)),
        (gpu, ShareWith::Group(group)),
        (gpu, ShareWith::User(eve)),
        (other, ShareWith::User(ann)),
    ] {
        set(&store, server, with, &["a"]).await.unwrap();
    }
    assert_eq!(owners(&store, Shares::OfServer(lab)).await, ["ann/", "ann/"]);
    assert_eq!(owners(&store, Shares::OfOwner(ann)).await, ["ann/", "ann/", "ann/gpu", "ann/gpu"]);
    assert_eq!(owners(&store, Shares::WithGroup(group)).await, ["ann/", "ann/gpu"]);
    assert_eq!(owners(&store, Shares::WithUser(bob)).await, ["ann/", "ann/", "ann/gpu"], "of itself and of its group");
    let query = ShareQuery { of: Shares::OfOwner(ann), offset: 1, limit: Some(2) };
    let page = store.list_shares(&query, at(5)).await.unwrap();
    assert_eq!((page.total, page.items.len()), (4, 2));
    let kinds: Vec<&str> = page.items.iter().map(|share| share.with_name.as_str()).collect();
    assert_eq!(kinds, ["physics", "physics"]);

    store.remove_members(group, &[bob]).await.unwrap();
    assert_eq!(owners(&store, Shares::WithUser(bob)).await, ["ann/"]);
    store.rename_user(ann, "anna").await.unwrap();
    store.rename_server(lab, "first").await.unwrap();
    assert_eq!(owners(&store, Shares::WithUser(bob)).await, ["anna/first"]);
    assert_eq!(store.delete_shares_of(gpu).await.unwrap(), 2);
    assert_eq!(store.shares_with(eve, at(5)).await.unwrap(), []);
}

async fn a_share_goes_with_its_owner_server_or_holder(Database { store, .. }: Database) {
    let bob = user(&store, "bob").await.id;
    for (round, name) in ["owner", "server", "group", "user"].into_iter().enumerate() {
        let group = store.create_group(name, &json!({})).await.unwrap().id;
        store.add_members(group, &[bob]).await.unwrap();
        let ann = user(&store, &format!("ann{round}")).await.id;
        let lab = server(&store, ann, "").await.id;
        set(&store, lab, ShareWith::Group(group), &["a"]).await.unwrap();
        set(&store, lab, ShareWith::User(bob), &["a"]).await.unwrap();
        store.insert_share_code(&new_code(lab, &format!("{round}-code"), 100)).await.unwrap().unwrap();
        let left = match name {
            "owner" => store.delete_user(ann).await.unwrap().then_some(0),
            "server" => store.delete_server(lab).await.unwrap().then_some(0),
            "group" => store.delete_group(group).await.unwrap().then_some(1),
            _ => {
                assert!(store.delete_user(bob).await.unwrap());
                assert_eq!(owners(&store, Shares::OfServer(lab)).await.len(), 1, "the group's");
                break;
            }
        };
        assert_eq!(Some(store.shares_with(bob, at(5)).await.unwrap().len()), left, "{name}");
        let codes = store.share_codes_by_prefix(&format!("{round}-co"), at(1)).await.unwrap();
        assert_eq!(codes.len(), usize::from(name == "group"), "{name}");
        store.delete_shares_of(lab).await.unwrap();
    }
}

async fn an_expired_share_is_none(Database { store, url, .. }: Database) {
    let (ann, bob) = (user(&store, "ann").await.id, user(&store, "bob").await.id);
    let lab = server(&store, ann, "").await.id;
    let with = ShareWith::User(bob);
    set(&store, lab, with, &["a"]).await.unwrap();
    let end = "UPDATE shares SET expires_at = '2027-01-15 08:00:10.250000'";
    crate::open::outside(&url, end).await;
    assert_eq!(store.shares_with(bob, at(9)).await.unwrap()[0].expires_at, Some(at(10)));
    assert_eq!(store.shares_with(bob, at(10)).await.unwrap(), []);
    assert_eq!(store.share(lab, with, at(10)).await.unwrap(), None);
    let query = ShareQuery { of: Shares::OfServer(lab), offset: 0, limit: None };
    assert_eq!(store.list_shares(&query, at(10)).await.unwrap().total, 0);
    let new = store.change_share(lab, with, at(11), |share| [share.scopes.to_vec(), vec!["b".into()]].concat()).await;
    let new = new.unwrap().unwrap();
    assert_eq!(new.created_at, at(11));
    assert_eq!((new.scopes.as_slice(), new.expires_at), (&["b".to_owned()][..], None), "nothing of the old one");
}

async fn two_rows_of_one_share_become_one(Database { store, url, .. }: Database) {
    let (ann, bob) = (user(&store, "ann").await.id, user(&store, "bob").await.id);
    let lab = server(&store, ann, "").await.id;
    let sql = "INSERT INTO shares (user_id, created_at, scopes, owner_id, spawner_id) VALUES
                   (BOB, '2027-01-15 08:00:00.000000', '[\"a\"]', ANN, LAB),
                   (BOB, '2027-01-15 08:00:00.000000', '[\"b\"]', ANN, LAB)";
    let sql = sql.replace("BOB", &bob.to_string()).replace("ANN", &ann.to_string()).replace("LAB", &lab.to_string());
    crate::open::outside(&url, &sql).await;
    let keep = |share: hub_core::scope::Share<'_>| share.scopes.iter().filter(|scope| *scope != "b").cloned().collect();
    let left = store.change_share(lab, ShareWith::User(bob), at(1), keep).await.unwrap().unwrap();
    assert_eq!(left.scopes, ["a"]);
    assert_eq!(store.shares_with(bob, at(2)).await.unwrap(), [left]);
}

async fn a_code_is_found_until_it_expires(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let (lab, gpu) = (server(&store, ann, "").await.id, server(&store, ann, "gpu").await.id);
    let code = store.insert_share_code(&new_code(lab, "abcd-1", 60)).await.unwrap().unwrap();
    let other = store.insert_share_code(&new_code(gpu, "abcd-2", 90)).await.unwrap().unwrap();
    assert!(store.insert_share_code(&new_code(SpawnerId(999), "abcd-3", 60)).await.unwrap().is_none());
    let twice = store.insert_share_code(&new_code(gpu, "abcd-2", 90)).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    let found = async |seconds| {
        let codes = store.share_codes_by_prefix("abcd", at(seconds)).await.unwrap();
        codes.into_iter().map(|code| code.id).collect::<Vec<_>>()
    };
    assert_eq!(found(59).await, [code.id, other.id]);
    assert_eq!(found(60).await, [other.id]);
    let found = store.share_codes_by_prefix("abcd", at(1)).await.unwrap().remove(0);
    assert!(found.hashed.matches("sha512:1:5a17:abcd-1"));
    assert_eq!((found.exchange_count, found.last_exchanged_at, found.expires_at), (0, None, Some(at(60))));
    assert_eq!((found.server.id, found.server.owner_id, found.created_at), (lab, ann, at(0)));
    let total = async |of, seconds| {
        let query = ShareQuery { of, offset: 0, limit: Some(1) };
        store.list_share_codes(&query, at(seconds)).await.unwrap().total
    };
    assert_eq!((total(Shares::OfOwner(ann), 1).await, total(Shares::OfOwner(ann), 61).await), (2, 1));
    assert_eq!((total(Shares::OfServer(lab), 1).await, total(Shares::WithUser(ann), 1).await), (1, 0));
    assert!(!store.delete_share_code(gpu, code.id).await.unwrap(), "a code of another server");
    assert!(store.delete_share_code(lab, code.id).await.unwrap());
    assert_eq!(store.delete_share_codes_of(gpu).await.unwrap(), 1);
}

async fn each_exchange_counts_and_none_is_too_late(Database { store, .. }: Database) {
    let (ann, bob) = (user(&store, "ann").await.id, user(&store, "bob").await.id);
    let lab = server(&store, ann, "").await.id;
    let code = store.insert_share_code(&new_code(lab, "abcd-1", 60)).await.unwrap().unwrap();
    let exchange = |seconds, user| {
        let (scopes, now) = (code.scopes.clone(), at(0) + TimeDelta::seconds(seconds));
        store.exchange_share_code(code.id, user, now, move |share| {
            if share.scopes.is_empty() { scopes } else { share.scopes.to_vec() }
        })
    };
    let first = exchange(1, bob).await.unwrap().unwrap();
    assert_eq!((first.with, first.scopes.as_slice()), (ShareWith::User(bob), code.scopes.as_slice()));
    assert_eq!(exchange(2, bob).await.unwrap().unwrap().id, first.id);
    let row = store.share_codes_by_prefix("abcd", at(3)).await.unwrap().remove(0);
    assert_eq!((row.exchange_count, row.last_exchanged_at), (2, Some(at(2))));
    let nobody = exchange(3, UserId(999)).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    assert_eq!(store.share_codes_by_prefix("abcd", at(3)).await.unwrap()[0].exchange_count, 2, "not for nobody");
    assert_eq!(exchange(60, bob).await.unwrap(), None, "it has expired");
    assert!(store.delete_share_code(lab, code.id).await.unwrap());
    assert_eq!(exchange(1, bob).await.unwrap(), None, "it is gone");
    assert_eq!(store.shares_with(bob, at(99)).await.unwrap().len(), 1, "what was exchanged stays");
}

async fn shares_and_codes_change_hands_with_jupyterhub(database: Database) {
    let url = crate::jupyterhub::empty(&database);
    let Some(made) = crate::jupyterhub::python("share", &url) else { return };
    let store = Store::open(&url, crate::harness::options()).await.unwrap();
    let bob = store.user("bob").await.unwrap().unwrap().id;
    // Made by JupyterHub a moment ago by its own clock.
    let now = hub_core::clock::Clock::now(&hub_core::clock::SystemClock);
    let shares = store.shares_with(bob, now).await.unwrap();
    let scopes: Vec<_> = shares.iter().flat_map(|share| share.as_scopes().current()).collect();
    assert_eq!(scopes, ["read:servers!server=ann/", "access:servers!server=ann/"]);
    let text = made["code"].as_str().unwrap();
    let codes = store.share_codes_by_prefix(hub_core::token::prefix(text), now).await.unwrap();
    assert!(codes.len() == 1 && hub_core::token::verify(codes[0].hashed.expose(), text));
    let more = hub_core::scope::Catalogue::default().parse_all(codes[0].as_scopes().current()).unwrap();
    store.rename_user(shares[0].server.owner_id, "anna").await.unwrap();
    store.exchange_share_code(codes[0].id, bob, now, |share| share.extended(&more)).await.unwrap().unwrap();
    store.close().await;
    let access = "access:servers!server=anna/";
    let both = json!([access, "read:servers!server=anna/"]);
    let expected = json!({
        "code": [1, now.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(), [access]], "shares": [["group", [access]], ["user", both]],
        "rights": both,
    });
    assert_eq!(crate::jupyterhub::python("shared", &url).unwrap(), expected);
}

both!(
    shares_and_codes_change_hands_with_jupyterhub,
    a_share_is_made_extended_reduced_and_ended,
    two_at_once_make_one_share,
    shares_are_listed_by_server_owner_and_holder,
    a_share_goes_with_its_owner_server_or_holder,
    an_expired_share_is_none,
    two_rows_of_one_share_become_one,
    a_code_is_found_until_it_expires,
    each_exchange_counts_and_none_is_too_late,
);
