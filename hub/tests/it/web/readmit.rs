//! Deciding anew about somebody whom a provider was asked about: what readmission and refusal do, and that the second is
//! not for ever.

use hub_store::Identity;
use specola::admission;
use specola::login::allow::Verdict;
use specola::login::oidc::Claims;

use super::house::{Browser, House, by_token};

const PROVIDER: &str = "[[auth.providers]]\nname = \"iam\"\nissuer = \"https://iam.example.org\"\nclient_id = \"hub\"\n\
                        username_prefix = \"\"\nallowed_groups = [\"users\"]\nadmin_groups = [\"admins\"]\n";

async fn house() -> House {
    let house = House::changed("", |settings| {
        format!("{}{PROVIDER}", settings.replace("allow_all = true", "manage_groups = true"))
    })
    .await;
    let (app, alice) = (house.app(), house.user("alice").await);
    let (issuer, provider) = ("https://iam.example.org".to_owned(), "iam".to_owned());
    let identity = Identity { issuer, subject: "s-1".to_owned(), provider, seen_at: app.now() };
    app.store.note_identity(alice.id, &identity).await.unwrap();
    house.set_password("alice", false).await;
    house
}

fn claims(subject: &str, groups: &[&str]) -> Claims {
    Claims {
        provider: "iam".into(),
        issuer: "https://iam.example.org/".into(),
        subject: subject.into(),
        username: "alice".into(),
        display: None,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        raw_groups: Vec::new(),
        roles: None,
    }
}

async fn acts(house: &House) -> Vec<String> {
    let root = house.token("root", &["read:hub".to_owned(), "admin-ui".to_owned()]).await;
    let site = house.site().await;
    let answer = by_token(&site, &root, "GET", "/hub/api/audit?limit=200", None).await;
    let records = answer.json();
    let all = records.as_array().cloned().unwrap_or_default();
    all.iter()
        .filter(|record| record["object"] == "user:alice")
        .filter_map(|record| Some(record["action"].as_str()?.to_owned()))
        .collect()
}

/// H1: at each refresh, and for API tokens.
#[actix_web::test]
async fn who_is_no_longer_admitted_is_out_with_sessions_and_tokens_and_comes_back_with_the_group() {
    let house = house().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("alice", &["self".to_owned()]).await;
    let mut browser = Browser::logged_in(&site, "alice").await;
    let reads = async |token: &str| by_token(&site, token, "GET", "/hub/api/user", None).await.status;
    assert_eq!((reads(&token).await, browser.get(&site, "/hub/home").await.status), (200, 200));

    let verdict = admission::readmit(&app, &house.user("alice").await, &claims("s-1", &["users"])).await.unwrap();
    assert_eq!(verdict, Verdict::Allowed { admin: Some(false) });
    assert_eq!((reads(&token).await, browser.get(&site, "/hub/home").await.status), (200, 200));
    assert_eq!(app.store.groups_of(house.user("alice").await.id).await.unwrap(), ["users"]);

    for _ in 0..2 {
        let verdict = admission::readmit(&app, &house.user("alice").await, &claims("s-1", &["visitors"])).await;
        assert_eq!(verdict.unwrap(), Verdict::NotListed);
        assert_eq!((reads(&token).await, browser.get(&site, "/hub/home").await.status), (403, 302));
    }
    let refused = acts(&house).await.iter().filter(|act| *act == "user.refuse").count();
    assert_eq!(refused, 1, "once, however often it is found");

    admission::readmit(&app, &house.user("alice").await, &claims("s-1", &["users", "admins"])).await.unwrap();
    assert_eq!(reads(&token).await, 200, "no token was deleted");
    assert_eq!(browser.get(&site, "/hub/home").await.status, 302, "a session that has ended stays so");
    assert!(house.user("alice").await.admin);
    admission::readmit(&app, &house.user("alice").await, &claims("s-1", &["users"])).await.unwrap();
    assert!(!house.user("alice").await.admin, "the right goes with the group");
    let acts = acts(&house).await;
    for act in ["user.admit", "user.admin.grant", "user.admin.revoke", "user.groups"] {
        assert!(acts.iter().any(|other| other == act), "{act} in {acts:?}");
    }
}

#[actix_web::test]
async fn a_refused_login_puts_out_only_the_one_whose_account_it_is() {
    let house = house().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("alice", &["self".to_owned()]).await;
    let by = specola::audit::Actor::hub();
    admission::refuse_known(&app, &by, "alice", &claims("s-2", &[]), "NoGroup").await.unwrap();
    admission::refuse_known(&app, &by, "nobody", &claims("s-1", &[]), "NoGroup").await.unwrap();
    assert_eq!(by_token(&site, &token, "GET", "/hub/api/user", None).await.status, 200);
    admission::refuse_known(&app, &by, "alice", &claims("s-1", &[]), "NoGroup").await.unwrap();
    assert_eq!(by_token(&site, &token, "GET", "/hub/api/user", None).await.status, 403);
    // A password that is right ends the refusal: the rules have let somebody in.
    Browser::logged_in(&site, "alice").await;
    assert_eq!(by_token(&site, &token, "GET", "/hub/api/user", None).await.status, 200);
}
