//! The pages of groups: what each right shows and lets do, names of any kind, long lists.

use std::collections::BTreeMap;

use hub_store::{Holder, NewRole};
use serde_json::json;

use super::house::{Browser, House, Site, request, send};

/// What may stand in the name of a group.
const ODD: &str = "Sternwarte / Ärzte & <b>\"50%\"</b>";
const ODD_PATH: &str = "/hub/groups/Sternwarte%20%2F%20%C3%84rzte%20%26%20%3Cb%3E%2250%25%22%3C%2Fb%3E";

async fn house() -> House {
    let house = House::new().await;
    let app = house.app();
    for name in ["physics", ODD, "other"] {
        let group = app.store.create_group(name, &json!({ "course": "x<y" })).await.unwrap();
        app.store.add_members(group.id, &[house.user("alice").await.id]).await.unwrap();
    }
    house
}

/// Somebody who has these scopes and no others.
async fn with(house: &House, site: &Site, scopes: &[&str]) -> Browser {
    let app = house.app();
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let role = NewRole { name: "of-the-test".to_owned(), description: None, scopes, managed_by_auth: false };
    let role = app.store.sync_role(&role).await.unwrap();
    let bob = house.user("bob").await.id;
    app.store.set_roles_of_user(bob, &[role], &[]).await.unwrap();
    assert!(app.store.holders_of_role(role).await.unwrap().contains(&Holder::User(bob)));
    house.set_password("bob", false).await;
    Browser::logged_in(site, "bob").await
}

async fn members(house: &House, name: &str) -> Vec<String> {
    let group = house.app().store.group(name).await.unwrap().unwrap();
    house.app().store.members_of(&[group.id]).await.unwrap().remove(&group.id).unwrap_or_default()
}

#[actix_web::test]
async fn each_right_shows_what_it_does_over_rest() {
    let house = house().await;
    let site = house.site().await;
    super::cull::running(&house.app(), "alice", "gpu", house.app().now()).await;
    let answer = send(&site, request("GET", "/hub/groups/physics")).await;
    assert!(answer.header("location").starts_with("/hub/login?next="), "nobody is sent to the login");
    // Scopes, status of the page of physics, whether it shows members, the server, roles, and the form.
    let table: [(&[&str], u16, [bool; 4]); 9] = [
        (&["self"], 403, [false; 4]),
        (&["read:users", "read:servers"], 403, [false; 4]),
        (&["read:groups!group=other"], 404, [false; 4]),
        (&["list:groups"], 200, [false; 4]),
        (&["read:groups:name!group=physics"], 200, [false; 4]),
        (&["read:groups!group=physics"], 200, [true, false, false, false]),
        (&["read:groups", "read:servers!group=physics"], 200, [true, true, false, false]),
        (&["read:roles:groups"], 200, [false, false, true, false]),
        (&["groups!group=physics"], 200, [true, false, false, true]),
    ];
    for (scopes, status, shown) in table {
        let mut bob = with(&house, &site, scopes).await;
        let answer = bob.get(&site, "/hub/groups/physics").await;
        assert_eq!(answer.status, status, "{scopes:?}");
        let has = |text: &str| answer.text.contains(text);
        let seen = [has("data-user=\"alice\""), has("/user/alice/gpu/"), has("Roles:"), has("id=\"new-member\"")];
        assert_eq!(seen, shown, "{scopes:?}");
        assert!(!has("x<y"), "what is in a group stays text");
    }
    let mut bob = with(&house, &site, &["list:groups"]).await;
    assert_eq!(bob.get(&site, "/hub/groups/none").await.status, 404);
}

#[actix_web::test]
async fn each_change_takes_its_right_and_is_that_of_rest() {
    let house = house().await;
    let site = house.site().await;
    let (add, remove) = ([("action", "add"), ("user", "bob")], [("action", "remove"), ("user", "alice")]);
    let properties = [("action", "properties"), ("properties", "{\"quota\": 5}")];
    let delete = [("action", "delete")];
    let mut reader = with(&house, &site, &["read:groups", "list:groups", "groups!group=other"]).await;
    for (form, status) in [(&add[..], 404), (&remove, 404), (&properties, 404), (&delete, 403)] {
        assert_eq!(reader.post(&site, ODD_PATH, form).await.status, status, "{form:?}");
    }
    assert_eq!(reader.post(&site, "/hub/groups", &[("action", "create"), ("name", "new")]).await.status, 403);
    let mut changer = with(&house, &site, &["groups"]).await;
    assert_eq!(changer.post(&site, ODD_PATH, &add).await.header("location"), ODD_PATH);
    assert_eq!(changer.post(&site, ODD_PATH, &remove).await.status, 303);
    assert_eq!(members(&house, ODD).await, ["bob"]);
    assert_eq!(changer.post(&site, ODD_PATH, &properties).await.status, 303);
    assert_eq!(house.app().store.group(ODD).await.unwrap().unwrap().properties, json!({ "quota": 5 }));
    for (form, told) in [
        (&[("action", "add"), ("user", "nobody")][..], "No such user: nobody"),
        (&[("action", "add"), ("user", " ")], "Name a user"),
        (&[("action", "properties"), ("properties", "{")], "JSON"),
        (&[("action", "properties"), ("properties", "[1]")], "JSON"),
        (&[("action", "explode")], "not complete"),
        (&[], "not complete"),
    ] {
        let answer = changer.post(&site, ODD_PATH, form).await;
        assert!(answer.status == 400 && answer.text.contains(told), "{form:?}: {answer:?}");
    }
    assert_eq!(changer.post(&site, ODD_PATH, &delete).await.status, 403, "deleting is another right");
    let mut forged = changer.clone();
    forged.cookies.insert("_xsrf".to_owned(), "forged".to_owned());
    assert_eq!(forged.post(&site, ODD_PATH, &remove).await.status, 403);
    assert_eq!(members(&house, ODD).await, ["bob"]);
    let mut admin = with(&house, &site, &["admin:groups"]).await;
    let answer = admin.post(&site, "/hub/groups", &[("action", "create"), ("name", "über/uns")]).await;
    assert_eq!(answer.header("location"), "/hub/groups/%C3%BCber%2Funs");
    assert_eq!(admin.get(&site, "/hub/groups/%C3%BCber%2Funs").await.status, 200);
    assert_eq!(admin.post(&site, "/hub/groups", &[("action", "create"), ("name", "über/uns")]).await.status, 409);
    assert_eq!(admin.post(&site, "/hub/groups", &[("action", "create"), ("name", "")]).await.status, 400);
    assert_eq!(admin.post(&site, ODD_PATH, &delete).await.header("location"), "/hub/groups");
    assert_eq!(house.app().store.group(ODD).await.unwrap(), None);
    let mut acts: BTreeMap<String, u32> = BTreeMap::new();
    for (_, act) in house.app().store.audit_since(0, 1000).await.unwrap() {
        *acts.entry(act.action).or_default() += 1;
    }
    for act in ["group.create", "group.delete", "group.members.add", "group.members.remove", "group.properties"] {
        assert_eq!(acts.get(act), Some(&1), "{act}");
    }
}

#[actix_web::test]
async fn members_see_their_groups_and_no_more_than_the_name() {
    let house = house().await;
    let site = house.site().await;
    house.set_password("alice", false).await;
    house.set_password("bob", false).await;
    let mut alice = Browser::logged_in(&site, "alice").await;
    let list = alice.get(&site, "/hub/groups").await;
    assert!(list.text.contains(&format!("href=\"{ODD_PATH}\"")) && list.text.contains("You are in it"), "{list:?}");
    assert!(!list.text.contains("member</span>") && !list.text.contains("new-group-name"), "no numbers, no form");
    assert!(alice.get(&site, "/hub/home").await.text.contains("href=\"/hub/groups\""));
    let page = alice.get(&site, ODD_PATH).await;
    assert!(page.status == 200 && page.text.contains("You may not see who is in this group."), "{page:?}");
    assert_eq!(alice.post(&site, ODD_PATH, &[("action", "add"), ("user", "bob")]).await.status, 403);
    let mut bob = Browser::logged_in(&site, "bob").await;
    let list = bob.get(&site, "/hub/groups").await.text;
    assert!(list.contains("There are no groups you may see."));
    assert!(!bob.get(&site, "/hub/home").await.text.contains("href=\"/hub/groups\""));
}

#[actix_web::test]
async fn long_lists_come_in_parts() {
    let house = house().await;
    let (site, app) = (house.site().await, house.app());
    let mut ids = Vec::new();
    for number in 0..120 {
        let name = format!("user-{number:03}");
        ids.push(app.store.create_user(&name, false, &format!("cookie-{number}"), app.now()).await.unwrap().id);
        app.store.create_group(&format!("group-{number:03}"), &json!({})).await.unwrap();
    }
    let group = app.store.group("other").await.unwrap().unwrap();
    app.store.add_members(group.id, &ids).await.unwrap();
    let mut bob = with(&house, &site, &["groups"]).await;
    for (path, kind, total) in [("/hub/groups/other", "<tr data-user=", 121), ("/hub/groups", "class=\"server\"", 123)]
    {
        let mut counts = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = bob.get(&site, &path).await.text;
            counts.push(page.matches(kind).count());
            let link = page.split("rel=\"next\" href=\"").nth(1);
            next = link.map(|rest| rest.split('"').next().unwrap().to_owned());
            assert!(counts.len() < 9, "it ends");
        }
        assert_eq!(counts, [50, 50, total - 100], "{path}");
    }
    for bad in ["-1", "x", "99999999999"] {
        assert_eq!(bob.get(&site, &format!("/hub/groups?offset={bad}")).await.status, 400, "{bad}");
    }
    assert_eq!(bob.get(&site, "/hub/groups?offset=4000000000").await.status, 200);
}
