//! The admin panel: what its pages show and do, for whom, and the stream that keeps its rows true.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::body::MessageBody;
use hub_core::life::Desired;
use hub_store::{AuditQuery, NewRole, UsageOf};
use serde_json::json;

use super::house::{Answer, Browser, House, Site, request, send};

/// An administrator's browser.
async fn root(house: &House, site: &Site) -> Browser {
    house.set_password("root", false).await;
    Browser::logged_in(site, "root").await
}

/// Somebody who has these scopes and no others.
async fn with(house: &House, site: &Site, scopes: &[&str]) -> Browser {
    let app = house.app();
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let role = NewRole { name: "of-the-test".to_owned(), description: None, scopes, managed_by_auth: false };
    let role = app.store.sync_role(&role).await.unwrap();
    house.set_password("bob", false).await;
    let browser = Browser::logged_in(site, "bob").await;
    // Behind the log-in, which gives everybody the role of a user.
    app.store.set_roles_of_user(house.user("bob").await.id, &[role], &[]).await.unwrap();
    browser
}

async fn wanted(house: &House, user: &str, server: &str) -> bool {
    let id = house.user(user).await.id;
    let server = house.app().store.server(id, server).await.unwrap();
    server.is_some_and(|server| server.desired == Desired::Running)
}

async fn last_act(house: &House) -> String {
    let query = AuditQuery { limit: 1, ..AuditQuery::default() };
    let page = house.app().store.list_audit(&query).await.unwrap();
    page.items.first().map_or(String::new(), |(_, act)| format!("{} {} {}", act.actor, act.action, act.object))
}

/// The names in the table, in order.
fn names(answer: &Answer) -> Vec<String> {
    let rows = answer.text.split("name=\"user\" value=\"").skip(1);
    rows.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
}

#[actix_web::test]
async fn people_are_searched_filtered_and_ordered_fifty_at_a_time() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    for number in 0..60 {
        app.store
            .create_user(&format!("person-{number:02}"), false, &format!("cookie-{number}"), app.now())
            .await
            .unwrap();
    }
    let group = app.store.create_group("a & b", &json!({})).await.unwrap();
    app.store.add_members(group.id, &[house.user("alice").await.id]).await.unwrap();
    super::cull::running(&app, "person-07", "gpu", app.now()).await;
    let mut root = root(&house, &site).await;
    let mut ask = async |query: &str| names(&root.get(&site, &format!("/hub/admin{query}")).await);
    let first = ask("").await;
    assert_eq!((first.len(), first[0].as_str(), first[49].as_str()), (50, "alice", "person-47"));
    assert_eq!(ask("?offset=50").await.len(), 13);
    assert_eq!(ask("?sort=-name").await[0], "root");
    assert_eq!(ask("?q=SON-0&offset=8").await, ["person-08", "person-09"]);
    assert_eq!(ask("?group=a+%26+b").await, ["alice"]);
    assert_eq!(ask("?admins=1").await, ["root"]);
    assert_eq!(ask("?running=1").await, ["person-07"]);
    assert_eq!(ask("?idle=1").await, [""; 0]);
    assert_eq!(ask("?failed=1").await, [""; 0]);
    assert_eq!(ask("?sort=running").await.len(), 50, "what there is not is passed over");
    app.store.touch_user(house.user("bob").await.id, app.now() + chrono::TimeDelta::days(1)).await.unwrap();
    assert_eq!(ask("?sort=-last_activity").await[0], "bob");
    assert_eq!(ask("?sort=created").await[0], "root");
    assert_eq!(ask("?q=%3Cscript%3E&sort=%22").await, [""; 0]);
}

#[actix_web::test]
async fn a_server_that_nobody_uses_is_found() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    super::cull::running(&app, "alice", "", app.now() - chrono::TimeDelta::days(2)).await;
    super::cull::running(&app, "bob", "", app.now()).await;
    let mut root = root(&house, &site).await;
    let idle = root.get(&site, "/hub/admin?idle=1").await;
    assert_eq!(names(&idle), ["alice"]);
    assert!(idle.text.contains("href=\"/user/alice/\"") && idle.text.contains("name=\"stop\" value=\"alice/\""));
    assert!(idle.text.contains("http://127.0.0.1:"), "an administrator sees where it answers");
}

#[actix_web::test]
async fn each_field_is_shown_by_its_right() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let group = app.store.create_group("physics", &json!({})).await.unwrap();
    app.store.add_members(group.id, &[house.user("alice").await.id]).await.unwrap();
    super::cull::running(&app, "alice", "gpu", app.now() - chrono::TimeDelta::hours(3)).await;
    app.store.touch_user(house.user("alice").await.id, app.now()).await.unwrap();
    // Scopes beside admin-ui, who is shown, and whether the groups, the activity, the server, since when it runs, its
    // address, its link and its button are.
    let table: [(&[&str], &[&str], [bool; 7]); 8] = [
        (&[], &[], [false; 7]),
        (&["list:users!user=alice"], &["alice"], [false; 7]),
        (
            &["list:users", "read:users:groups"],
            &["alice", "bob", "root"],
            [true, false, false, false, false, false, false],
        ),
        (
            &["list:users!user=alice", "read:users:activity"],
            &["alice"],
            [false, true, false, false, false, false, false],
        ),
        (&["list:users", "read:users:activity!user=bob"], &["alice", "bob", "root"], [false; 7]),
        (&["list:users!group=physics", "read:servers"], &["alice"], [false, false, true, true, false, false, false]),
        (&["list:users!user=alice", "admin:servers"], &["alice"], [false, false, true, true, true, false, true]),
        (
            &["list:users!user=alice", "read:servers", "access:servers!user=alice"],
            &["alice"],
            [false, false, true, true, false, true, false],
        ),
    ];
    for (scopes, people, expected) in table {
        let mut bob = with(&house, &site, &[&["admin-ui"], scopes].concat()).await;
        let answer = bob.get(&site, "/hub/admin").await;
        assert_eq!(
            (answer.status, names(&answer)),
            (200, people.iter().map(|name| (*name).to_owned()).collect()),
            "{scopes:?}"
        );
        let table = answer.text.split("<tbody>").nth(1).unwrap_or_default();
        let row = |name: &str| {
            let own = table.split("<tr>").find(|row| row.contains(&format!("value=\"{name}\""))).unwrap_or_default();
            own.split("<td>").map(str::to_owned).collect::<Vec<_>>()
        };
        let alice = row("alice");
        let cell = |number: usize| alice.get(number).map_or("", String::as_str);
        let shown = [
            table.contains("physics"),
            cell(3).contains("<time "),
            table.contains(">gpu<"),
            cell(4).contains("<span>started <time ") && cell(4).contains("3 hours ago"),
            table.contains("http://127.0.0.1:"),
            table.contains("/user/alice/gpu/"),
            table.contains("value=\"alice/gpu\""),
        ];
        assert_eq!(shown, expected, "{scopes:?}: {alice:?}");
        // Who administers is seen with the name.
        assert!(!cell(1).contains("class=\"flag\""), "{scopes:?}");
        if people.contains(&"root") {
            assert!(row("root")[1].contains("<span class=\"flag\">Admin</span>"), "{scopes:?}");
        }
    }
}

#[actix_web::test]
async fn several_people_are_added_at_once_or_none() {
    let house = House::new().await;
    let site = house.site().await;
    let mut root = root(&house, &site).await;
    let add = |names: &'static str| [("action", "add"), ("names", names), ("back", "q=x&sort=-name")];
    let answer = root.post(&site, "/hub/admin", &add("Dora\r\n\r\n  thea \r\nalice")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/hub/admin?q=x&sort=-name"));
    assert!(!house.user("dora").await.admin && !house.user("thea").await.admin);
    let answer = root.post(&site, "/hub/admin", &add("eve\nbad/name")).await;
    assert!(answer.status == 400 && answer.text.contains("Invalid username: bad/name"), "{answer:?}");
    assert!(answer.text.contains("eve\nbad/name</textarea>"), "what was typed is kept");
    assert!(house.app().store.user("eve").await.unwrap().is_none());
    let answer = root.post(&site, "/hub/admin", &add("alice")).await;
    assert_eq!(answer.status, 409);
    let fields = [("action", "add"), ("names", "boss"), ("admin", "on")];
    root.post(&site, "/hub/admin", &fields).await;
    assert!(house.user("boss").await.admin);
    assert_eq!(last_act(&house).await, "user:root user.create user:boss");
}

#[actix_web::test]
async fn one_server_is_started_and_stopped_at_once() {
    let house = House::new().await;
    let site = house.site().await;
    let mut root = root(&house, &site).await;
    let answer = root.post(&site, "/hub/admin", &[("start", "alice/"), ("back", "offset=50")]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/hub/admin?offset=50"));
    assert!(wanted(&house, "alice", "").await);
    assert_eq!(last_act(&house).await, "user:root server.start server:alice/");
    let answer = root.post(&site, "/hub/admin", &[("stop", "alice/")]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/hub/admin"));
    assert!(!wanted(&house, "alice", "").await);
    let answer = root.post(&site, "/hub/admin", &[("start", "nobody/")]).await;
    assert_eq!(answer.status, 404);
    assert_eq!(root.post(&site, "/hub/admin", &[("start", "alice")]).await.status, 400);
    assert_eq!(root.post(&site, "/hub/admin", &[("action", "dance")]).await.status, 400);
}

/// A hub where people choose among sizes.
async fn with_sizes() -> House {
    let sizes = "\n[options]\nflavours = [{ name = \"s\", display_name = \"Small\", cpu = 1 }, { name = \"l\", display_name = \"Large\", cpu = 4 }]\n";
    House::changed("", |text| text + sizes).await
}

#[actix_web::test]
async fn where_there_is_a_choice_a_start_asks_for_it_and_the_size_is_shown_by_its_name() {
    let house = with_sizes().await;
    let site = house.site().await;
    let mut root = root(&house, &site).await;
    let way = "href=\"/hub/spawn/alice?next=%2Fhub%2Fadmin%2Fusers%2Falice\"";
    for page in ["/hub/admin", "/hub/admin/users/alice"] {
        let answer = root.get(&site, page).await;
        assert!(answer.text.contains(way), "{page}: {}", answer.text);
        assert!(!answer.text.contains("name=\"start\" value=\"alice/\""), "{page} starts without a question");
    }
    let address = "/hub/spawn/alice?next=%2Fhub%2Fadmin%2Fusers%2Falice";
    let form = root.get(&site, address).await;
    assert!(form.text.contains("This server belongs to alice") && form.text.contains("Large"), "{}", form.text);
    let answer = root.post(&site, address, &[("flavour", "l")]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.header("location"), "/hub/spawn-pending/alice?next=%2Fhub%2Fadmin%2Fusers%2Falice");
    assert!(wanted(&house, "alice", "").await);
    let answer = root.get(&site, "/hub/admin/users/alice").await;
    assert!(answer.text.contains("<span>Large</span>"), "{}", answer.text);
    // Who may start servers and not see to what they are made of starts them with what was chosen last.
    let mut bob = with(&house, &site, &["admin-ui", "list:users", "start:servers"]).await;
    let answer = bob.get(&site, "/hub/admin").await;
    assert!(answer.text.contains("name=\"start\" value=\"root/\"") && !answer.text.contains("/hub/spawn/root"));
}

#[actix_web::test]
async fn a_group_that_is_asked_for_can_be_taken_away() {
    let house = House::new().await;
    let site = house.site().await;
    let mut root = root(&house, &site).await;
    let answer = root.get(&site, "/hub/admin?group=a+%26+b&running=1&offset=50").await;
    let chip = answer.text.split("<a href=\"/hub/admin?running=1\" aria-current=\"true\">").nth(1).unwrap_or_default();
    assert!(chip.starts_with("Group a &#38; b"), "{}", answer.text);
    let answer = root.get(&site, "/hub/admin").await;
    assert!(!answer.text.contains("Group "), "{}", answer.text);
}

#[actix_web::test]
async fn tokens_are_made_for_people_by_the_rights_of_rest() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let mut root = root(&house, &site).await;
    let page = "/hub/admin/users/alice";
    let fields =
        [("action", "token"), ("note", "for the robot"), ("expires_in", "3600"), ("scopes", "read:users!user=alice")];
    let answer = root.post(&site, page, &fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let secret =
        answer.text.split("<code id=\"token-result\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let told = super::house::by_token(&site, secret, "GET", "/hub/api/user", None).await.json();
    let scopes = told["scopes"].as_array().unwrap();
    assert_eq!(told["name"], "alice");
    assert!(scopes.contains(&json!("read:users!user=alice")) && !scopes.contains(&json!("servers!user=alice")));
    assert_eq!(last_act(&house).await, "user:root token.create user:alice");
    let again = root.get(&site, page).await;
    assert!(again.text.contains("for the robot") && !again.text.contains(secret), "it is shown once");
    let refused = root.post(&site, page, &[("action", "token"), ("scopes", "admin:users"), ("note", "much")]).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("value=\"admin:users\"") && refused.text.contains("value=\"much\""), "it stays");
    // Who holds tokens gives none of an administrator's, and who does not gives none at all.
    let mut bob = with(&house, &site, &["admin-ui", "read:users", "tokens"]).await;
    let of_root = bob.get(&site, "/hub/admin/users/root").await;
    assert!(of_root.status == 200 && !of_root.text.contains("id=\"new-token\""), "{of_root:?}");
    assert_eq!(bob.post(&site, "/hub/admin/users/root", &[("action", "token")]).await.status, 403);
    assert!(bob.get(&site, page).await.text.contains("id=\"new-token\""));
    let mut bob = with(&house, &site, &["admin-ui", "read:users", "read:tokens"]).await;
    assert!(!bob.get(&site, page).await.text.contains("id=\"new-token\""));
    assert_eq!(bob.post(&site, page, &[("action", "token")]).await.status, 403);
    let alice = hub_store::TokenOwner::User(house.user("alice").await.id);
    assert_eq!(app.store.tokens_of(alice, app.now()).await.unwrap().len(), 1);
}

#[actix_web::test]
async fn what_touches_many_is_asked_before_with_number_and_consequence() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    for name in ["", "gpu"] {
        super::cull::running(&app, "alice", name, app.now()).await;
    }
    super::cull::running(&app, "bob", "", app.now()).await;
    let mut root = root(&house, &site).await;
    let all =
        [("action", "stop"), ("user", "alice"), ("user", "bob"), ("user", "root"), ("user", "nobody"), ("back", "q=a")];
    let answer = root.post(&site, "/hub/admin", &all).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains("Stop 3 servers of 2 people?"), "{}", answer.text);
    assert!(answer.text.contains("Yes, stop 3 servers") && answer.text.contains("Files are kept"));
    assert!(wanted(&house, "alice", "").await, "nothing is done yet");
    let answer = root.post(&site, "/hub/admin", &[&all[..], &[("confirmed", "1")]].concat()).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/hub/admin?q=a"));
    for (user, server) in [("alice", ""), ("alice", "gpu"), ("bob", "")] {
        assert!(!wanted(&house, user, server).await, "{user}/{server}");
    }
    let nothing = root.post(&site, "/hub/admin", &[("action", "stop"), ("user", "root")]).await;
    assert!(nothing.text.contains("There is nothing to do") && !nothing.text.contains("confirm-yes"));
    let start = root.post(&site, "/hub/admin", &[("action", "start"), ("user", "root")]).await;
    assert!(start.text.contains("Start the servers of 1 person?"), "{}", start.text);
    root.post(&site, "/hub/admin", &[("action", "start"), ("user", "root"), ("confirmed", "1")]).await;
    assert!(wanted(&house, "root", "").await);
    let mut many = vec![("action", "start")];
    many.extend(std::iter::repeat_n(("user", "alice"), 201));
    assert_eq!(root.post(&site, "/hub/admin", &many).await.status, 400);
}

#[actix_web::test]
async fn people_are_deleted_but_not_oneself() {
    let house = House::new().await;
    let site = house.site().await;
    let mut root = root(&house, &site).await;
    let both = [("action", "delete"), ("user", "alice"), ("user", "root")];
    let answer = root.post(&site, "/hub/admin", &both).await;
    assert!(
        answer.text.contains("Delete 1 person?") && answer.text.contains("root: you may not do this"),
        "{}",
        answer.text
    );
    let answer = root.post(&site, "/hub/admin", &[&both[..], &[("confirmed", "1")]].concat()).await;
    assert!(answer.status == 200 && answer.text.contains("root: you may not do this"), "{answer:?}");
    assert!(house.app().store.user("alice").await.unwrap().is_none());
    house.user("root").await;
    let answer = root.post(&site, "/hub/admin", &[("action", "delete"), ("user", "root"), ("confirmed", "1")]).await;
    assert_eq!(answer.status, 403, "nothing of it can be done");
}

#[actix_web::test]
async fn all_servers_are_stopped_as_far_as_one_may() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let group = app.store.create_group("physics", &json!({})).await.unwrap();
    app.store.add_members(group.id, &[house.user("alice").await.id]).await.unwrap();
    for name in ["alice", "root"] {
        super::cull::running(&app, name, "", app.now()).await;
    }
    let all = [("action", "stop-all"), ("confirmed", "1")];
    let mut bob = with(&house, &site, &["admin-ui"]).await;
    assert_eq!(bob.post(&site, "/hub/admin", &all).await.status, 403);
    let mut bob = with(&house, &site, &["admin-ui", "delete:servers!group=physics"]).await;
    let answer = bob.post(&site, "/hub/admin", &all[..1]).await;
    assert!(answer.text.contains("Stop 1 server of 1 person?"), "{}", answer.text);
    bob.post(&site, "/hub/admin", &all).await;
    assert!(!wanted(&house, "alice", "").await && wanted(&house, "root", "").await);
    let mut root = root(&house, &site).await;
    root.post(&site, "/hub/admin", &all).await;
    assert!(!wanted(&house, "root", "").await);
}

#[actix_web::test]
async fn no_form_of_the_panel_acts_without_its_token() {
    let house = House::new().await;
    let site = house.site().await;
    let mut root = root(&house, &site).await;
    for (path, fields) in [
        ("/hub/admin", &[("action", "add"), ("names", "eve")][..]),
        ("/hub/admin", &[("action", "shutdown"), ("confirmed", "1")]),
        ("/hub/admin", &[("start", "alice/")]),
        ("/hub/admin/users/alice", &[("action", "delete")]),
        ("/hub/admin/services", &[("action", "delete"), ("service", "made")]),
    ] {
        for forged in [&[][..], &[("_xsrf", "2|0|10|forged")]] {
            let fields = [fields, forged].concat();
            let answer = root.send(&site, request("POST", path).set_form(&fields)).await;
            assert_eq!(answer.status, 403, "{path} {fields:?}: {answer:?}");
        }
    }
    let app = house.app();
    assert!(app.shutdown.borrow().is_none() && app.store.user("eve").await.unwrap().is_none());
    assert!(!wanted(&house, "alice", "").await && house.user("alice").await.name == "alice");
}

#[actix_web::test]
async fn the_hub_is_shut_down_with_what_was_chosen() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    super::cull::running(&app, "alice", "", app.now()).await;
    let mut root = root(&house, &site).await;
    let answer = root.post(&site, "/hub/admin", &[("action", "shutdown")]).await;
    assert!(answer.text.contains("Stop 1 server too") && answer.text.contains("Stop the proxy too"), "{}", answer.text);
    assert!(app.shutdown.borrow().is_none(), "nothing is done yet");
    let answer = root.post(&site, "/hub/admin", &[("action", "shutdown"), ("confirmed", "1"), ("servers", "on")]).await;
    assert!(answer.status == 200 && answer.text.contains("The hub is shutting down"), "{answer:?}");
    let (how, _) = app.shutdown.borrow().clone().unwrap();
    assert_eq!((how.servers, how.proxy), (true, false));
}

#[actix_web::test]
async fn the_page_of_a_person_shows_and_changes_it() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let alice = house.user("alice").await.id;
    let group = app.store.create_group("a/b", &json!({})).await.unwrap();
    app.store.add_members(group.id, &[alice]).await.unwrap();
    let role = NewRole {
        name: "helper".to_owned(),
        description: Some("Helps".to_owned()),
        scopes: Vec::new(),
        managed_by_auth: false,
    };
    let role = app.store.sync_role(&role).await.unwrap();
    app.store.assign_role(hub_store::Holder::Group(group.id), role).await.unwrap();
    app.store.create_server(alice, "gpu", None, None, app.now()).await.unwrap();
    house.token("alice", &["read:users!user=alice".to_owned()]).await;
    let mut root = root(&house, &site).await;
    let place = "/hub/admin/users/alice";
    let page = root.get(&site, place).await;
    for part in [
        "href=\"/hub/groups/a%2Fb\"",
        "group a/b",
        "everybody has it",
        "of a test",
        "value=\"alice/gpu\"",
        "value=\"alice/\"",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let mut post = async |fields: &[(&str, &str)]| root.post(&site, place, fields).await;
    assert_eq!(post(&[("start", "bob/")]).await.status, 400, "a form cannot name another");
    assert_eq!(post(&[("remove", "alice/gpu")]).await.status, 303);
    assert!(app.store.server(alice, "gpu").await.unwrap().is_none());
    assert_eq!(post(&[("remove", "alice/")]).await.status, 400, "the default server stays");
    let token = app.store.tokens_of(hub_store::TokenOwner::User(alice), app.now()).await.unwrap().remove(0);
    let id = format!("a{}", token.id);
    assert_eq!(post(&[("action", "revoke"), ("token_id", &id)]).await.status, 303);
    assert!(app.store.token(token.id).await.unwrap().is_none());
    assert_eq!(post(&[("action", "revoke"), ("token_id", &id)]).await.status, 404);
    let refused = post(&[("action", "edit"), ("name", "bob")]).await;
    assert!(refused.status == 400 && refused.text.contains("already exists"), "{refused:?}");
    assert_eq!(post(&[("start", "alice/")]).await.status, 303);
    assert!(wanted(&house, "alice", "").await);
    let runs = post(&[("action", "edit"), ("name", "alicia")]).await;
    assert!(runs.status == 400 && runs.text.contains("running servers"), "{runs:?}");
    assert_eq!(post(&[("stop", "alice/")]).await.status, 303);
    let id = app.store.server(alice, "").await.unwrap().unwrap().id;
    let stopped = specola::intent::wait_at_most(&app, id, specola::intent::Until::Stopped, Duration::from_secs(60));
    assert!(stopped.await.unwrap());
    let renamed = post(&[("action", "edit"), ("name", "Alicia"), ("admin", "on")]).await;
    assert_eq!((renamed.status, renamed.header("location")), (303, "/hub/admin/users/alicia"));
    assert!(house.user("alicia").await.admin);
    let page = root.get(&site, "/hub/admin/users/alicia").await;
    assert!(page.text.contains("user.admin.grant"), "what was done to a person is told: {}", page.text);
    let answer = root.post(&site, "/hub/admin/users/alicia", &[("action", "delete")]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/hub/admin"));
    assert!(app.store.user("alicia").await.unwrap().is_none());
}

#[actix_web::test]
async fn services_roles_and_the_audit_have_pages() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["inherit".to_owned()]).await;
    let body = json!({ "display": false });
    super::house::by_token(&site, &token, "POST", "/hub/api/services/made", Some(&body)).await;
    let mut root = root(&house, &site).await;
    assert!(root.get(&site, "/hub/admin/services").await.text.contains(">made<"));
    let answer = root.post(&site, "/hub/admin/services", &[("action", "delete"), ("service", "made")]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert!(app.store.service("made").await.unwrap().is_none());
    let again = root.post(&site, "/hub/admin/services", &[("action", "delete"), ("service", "made")]).await;
    assert_eq!(again.status, 404);
    let roles = root.get(&site, "/hub/admin/roles").await;
    assert!(roles.text.contains("every hub has it") && roles.text.contains("3 people"), "{}", roles.text);
    let audit = root.get(&site, "/hub/admin/audit?actor=user%3Aroot&action=service.").await;
    assert!(audit.text.contains("service.delete") && audit.text.contains("service:made"));
    assert!(!audit.text.contains(">login<"));
    let refused = root.get(&site, "/hub/admin/audit?since=yesterday").await;
    assert!(refused.status == 400 && refused.text.contains("since must be a day"), "{refused:?}");
}

#[actix_web::test]
async fn usage_is_looked_at_once_and_drawn_by_group() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    for name in ["staff", "staff/gpu"] {
        let group = app.store.create_group(name, &json!({})).await.unwrap();
        app.store.add_members(group.id, &[house.user("alice").await.id]).await.unwrap();
    }
    for (user, server) in [("alice", ""), ("alice", "x"), ("bob", "")] {
        super::cull::running(&app, user, server, app.now()).await;
    }
    let mut root = root(&house, &site).await;
    let empty = root.get(&site, "/hub/admin/usage").await;
    assert!(empty.status == 200 && empty.text.contains("Nothing is known"), "{empty:?}");
    assert!(specola::task::usage::in_turn(&app).await.unwrap());
    assert!(!specola::task::usage::in_turn(&app).await.unwrap(), "another hub has looked");
    let found = app.store.usage(app.now() - chrono::TimeDelta::hours(1), 60).await.unwrap();
    let found: BTreeSet<_> = found.into_iter().map(|share| (share.of, share.sum.servers)).collect();
    let expected = [(UsageOf::Group("staff/gpu".to_owned()), 2), (UsageOf::Nobody, 1)];
    assert_eq!(found, expected.into());
    for period in ["", "?period=week", "?period=month", "?period=nonsense"] {
        let page = root.get(&site, &format!("/hub/admin/usage{period}")).await;
        assert!(page.text.contains("<svg viewBox=\"0 0 960 220\"") && page.text.contains("staff/gpu"), "{}", page.text);
    }
}

/// What a stream says until a condition holds.
async fn read_until(body: &mut (impl MessageBody + Unpin), condition: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let read = async {
        while !condition(&text) {
            let next = std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_next(context)).await;
            match next {
                Some(Ok(bytes)) => text.push_str(&String::from_utf8_lossy(&bytes)),
                Some(Err(_)) | None => break,
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(ended.is_ok(), "the stream says no more than {text:?}");
    text
}

#[actix_web::test]
async fn rows_are_told_as_they_change_and_to_nobody_without_the_right() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    assert_eq!(send(&site, request("GET", "/hub/api/admin/events")).await.status, 403);
    let token = house.token("bob", &["inherit".to_owned()]).await;
    assert_eq!(super::house::by_token(&site, &token, "GET", "/hub/api/admin/events", None).await.status, 403);
    let mut root = root(&house, &site).await;
    let page = root.get(&site, "/hub/admin?q=a").await;
    let seen = page.text.split("data-seen=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let xsrf = root.cookies["_xsrf"].clone();
    let path = format!("/hub/api/admin/events?q=a&seen={seen}&_xsrf={xsrf}");
    let mut body = Box::pin(root.stream(&site, &path).await);
    // Alice's row changes twice, and bob is not on the page.
    app.store.set_admin(house.user("bob").await.id, true).await.unwrap();
    let lab = super::cull::running(&app, "alice", "", app.now()).await;
    app.keeper.signals().progressed(lab);
    let told = read_until(&mut body, |text| text.contains("id: ")).await;
    assert!(told.contains("\"user\":\"alice\"") && told.contains("state ready"), "{told}");
    assert!(!told.contains("bob") && !told.contains("root"), "what has not changed is not told: {told}");
    app.store.delete_user(house.user("alice").await.id).await.unwrap();
    let told = read_until(&mut body, |text| text.contains("data: ")).await;
    assert!(told.contains(r#"{"html":"","user":"alice"}"#), "{told}");
    // Who comes to the list is told too, if it is this list.
    for name in ["anna", "otto"] {
        app.store.create_user(name, false, &format!("cookie-of-{name}"), app.now()).await.unwrap();
    }
    let told = read_until(&mut body, |text| text.contains("\"user\":\"anna\"")).await;
    assert!(!told.contains("otto"), "{told}");
    // Somebody whose page is older is told everything at once.
    let mut body = Box::pin(root.stream(&site, &format!("/hub/api/admin/events?q=o&seen=old&_xsrf={xsrf}")).await);
    let told = read_until(&mut body, |text| text.contains("id: ")).await;
    assert!(told.contains("bob") && told.contains("root"), "{told}");
}

#[actix_web::test]
async fn there_is_room_for_so_many_streams_and_no_more() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let mut root = root(&house, &site).await;
    root.get(&site, "/hub/admin").await;
    let path = format!("/hub/api/admin/events?_xsrf={}", root.cookies["_xsrf"]);
    let all = app
        .watchers
        .clone()
        .acquire_many_owned(u32::try_from(app.watchers.available_permits()).unwrap())
        .await
        .unwrap();
    let answer = root.get(&site, &path).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "15"));
    drop(all);
    assert_eq!(root.get(&site, &path).await.status, 200);
    assert_eq!(app.watchers.available_permits(), 64, "a stream that nobody reads any more gives its place back");
}
