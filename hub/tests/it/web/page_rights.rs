//! Who may open what: the pages that are about somebody's server, asked for by nobody, by a stranger, by somebody who has
//! every right but the one it takes, by somebody who has it on another's server, and by who has exactly that one.

use hub_core::scope::Scope;
use hub_store::{Holder, NewRole};

use super::house::{Browser, House, Site, request, send};
use super::rights::all_but;

/// One page.
struct Row {
    method: &'static str,
    path: &'static str,
    scope: Scope,
    /// The answer to who has every other right.
    lacking: u16,
}

/// To a stranger, and to who has the right on something else.
const HIDDEN: u16 = 404;

const fn row(method: &'static str, path: &'static str, scope: Scope, lacking: u16) -> Row {
    Row { method, path, scope, lacking }
}

/// In an order in which each finds what those before it made.
const ROWS: &[Row] = &[
    row("GET", "/hub/spawn/alice", Scope::Servers, 403),
    row("POST", "/hub/spawn/alice", Scope::Servers, 403),
    row("GET", "/hub/spawn/alice/made", Scope::Servers, 403),
    row("GET", "/hub/spawn-pending/alice", Scope::Servers, 403),
    // Without access its existence is not told, whatever else one may do.
    row("GET", "/hub/user/alice/lab", Scope::AccessServers, 404),
    row("GET", "/hub/user/alice/made/lab", Scope::AccessServers, 404),
    row("GET", "/hub/share/alice/made", Scope::Shares, 404),
];

async fn ask(site: &Site, browser: &mut Browser, row: &Row) -> u16 {
    match row.method {
        "GET" => browser.get(site, row.path).await.status,
        _ => browser.post(site, row.path, &[]).await.status,
    }
}

/// Makes a role of these scopes the only one of somebody.
pub async fn may_only(house: &House, name: &str, scopes: Vec<String>) {
    let (app, user) = (house.app(), house.user(name).await.id);
    let role = NewRole { name: "of-the-test".to_owned(), description: None, scopes, managed_by_auth: false };
    let id = app.store.sync_role(&role).await.unwrap();
    app.store.set_roles_of_user(user, &[id], &[]).await.unwrap();
    assert!(app.store.holders_of_role(id).await.unwrap().contains(&Holder::User(user)));
}

#[actix_web::test]
async fn each_page_opens_to_its_right_and_to_nothing_less() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let alice = house.user("alice").await.id;
    app.store.create_server(alice, "made", None, None, app.now()).await.unwrap().unwrap();
    house.set_password("bob", false).await;
    let mut bob = Browser::logged_in(&site, "bob").await;
    for row in ROWS {
        let what = format!("{} {}", row.method, row.path);
        let answer = send(&site, request(row.method, row.path)).await;
        let to_login = answer.status == 302 && answer.header("location").starts_with("/hub/login?next=");
        assert!(answer.status == 403 || row.method == "GET" && to_login, "{what} by nobody: {answer:?}");
        may_only(&house, "bob", vec!["self".to_owned()]).await;
        assert_eq!(ask(&site, &mut bob, row).await, HIDDEN, "{what} by a stranger");
        may_only(&house, "bob", all_but(&house, &[row.scope])).await;
        assert_eq!(ask(&site, &mut bob, row).await, row.lacking, "{what} by every right but its own");
        for other in ["user=bob", "server=alice/other", "group=others"] {
            may_only(&house, "bob", vec![format!("{}!{other}", row.scope)]).await;
            assert_eq!(ask(&site, &mut bob, row).await, HIDDEN, "{what} by its right on {other}");
        }
        may_only(&house, "bob", vec![format!("{}!user=alice", row.scope)]).await;
        // What it shows depends on how far the server is.
        let answer = ask(&site, &mut bob, row).await;
        assert!(![401, 403, 404, 405].contains(&answer), "{what} by its right: {answer}");
    }
}

#[actix_web::test]
async fn a_page_about_nobody_is_as_one_about_somebody_elses_server() {
    let house = House::new().await;
    let site = house.site().await;
    house.set_password("bob", false).await;
    let mut bob = Browser::logged_in(&site, "bob").await;
    for (scopes, expected) in [(vec!["self"], 404), (vec!["read:hub"], 403)] {
        may_only(&house, "bob", scopes.into_iter().map(str::to_owned).collect()).await;
        for name in ["alice", "no-such-person"] {
            for page in ["spawn", "spawn-pending"] {
                assert_eq!(bob.get(&site, &format!("/hub/{page}/{name}")).await.status, expected, "{page}/{name}");
            }
        }
    }
}

/// A page or an act of the admin panel.
struct Act {
    path: &'static str,
    /// Nothing for a page; what is posted for an act.
    fields: Option<&'static [(&'static str, &'static str)]>,
    /// What it takes beside `admin-ui`.
    scope: Scope,
}

const fn see(path: &'static str, scope: Scope) -> Act {
    Act { path, fields: None, scope }
}

const fn act(path: &'static str, scope: Scope, fields: &'static [(&'static str, &'static str)]) -> Act {
    Act { path, fields: Some(fields), scope }
}

const ALICE: &str = "/hub/admin/users/alice";

/// In an order in which each finds what those before it made. The audit takes an administrator besides: see below.
const PANEL: &[Act] = &[
    see("/hub/admin", Scope::AdminUi),
    see(ALICE, Scope::ReadUsersName),
    see("/hub/admin/services", Scope::ListServices),
    see("/hub/admin/roles", Scope::ReadRoles),
    see("/hub/admin/sites", Scope::AdminUi),
    see("/hub/admin/usage", Scope::ReadHub),
    act("/hub/admin", Scope::AdminUsers, &[("action", "add"), ("names", "fresh")]),
    act("/hub/admin", Scope::StartServers, &[("start", "alice/")]),
    act("/hub/admin", Scope::DeleteServers, &[("stop", "alice/")]),
    act("/hub/admin", Scope::StartServers, &[("action", "start"), ("user", "alice"), ("confirmed", "1")]),
    act("/hub/admin", Scope::DeleteServers, &[("action", "stop"), ("user", "alice"), ("confirmed", "1")]),
    act("/hub/admin", Scope::DeleteServers, &[("action", "stop-all"), ("confirmed", "1")]),
    act("/hub/admin", Scope::Shutdown, &[("action", "shutdown")]),
    act("/hub/admin", Scope::Shutdown, &[("action", "shutdown"), ("confirmed", "1")]),
    act(ALICE, Scope::StartServers, &[("start", "alice/")]),
    act(ALICE, Scope::DeleteServers, &[("stop", "alice/")]),
    act(ALICE, Scope::DeleteServers, &[("remove", "alice/made")]),
    act(ALICE, Scope::AdminUsers, &[("action", "edit"), ("name", "alice")]),
    act(ALICE, Scope::Tokens, &[("action", "revoke"), ("token_id", "a1")]),
    act("/hub/admin/services", Scope::AdminServices, &[("action", "delete"), ("service", "made")]),
    act("/hub/admin", Scope::DeleteUsers, &[("action", "delete"), ("user", "fresh"), ("confirmed", "1")]),
    act(ALICE, Scope::DeleteUsers, &[("action", "delete")]),
];

async fn ask_panel(site: &Site, browser: &mut Browser, act: &Act) -> u16 {
    match act.fields {
        None => browser.get(site, act.path).await.status,
        Some(fields) => browser.post(site, act.path, fields).await.status,
    }
}

#[actix_web::test]
async fn the_panel_opens_to_its_right_and_each_act_takes_the_right_of_rest_besides() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    app.store.create_server(house.user("alice").await.id, "made", None, None, app.now()).await.unwrap().unwrap();
    house.token("alice", &["self".to_owned()]).await;
    let token = house.token("root", &["inherit".to_owned()]).await;
    let body = serde_json::json!({ "display": false });
    super::house::by_token(&site, &token, "POST", "/hub/api/services/made", Some(&body)).await;
    house.set_password("bob", false).await;
    let mut bob = Browser::logged_in(&site, "bob").await;
    for row in PANEL {
        let what = format!("{} {:?}", row.path, row.fields);
        let answer = match row.fields {
            None => send(&site, request("GET", row.path)).await,
            Some(fields) => send(&site, request("POST", row.path).set_form(fields)).await,
        };
        let to_login = answer.status == 302 && answer.header("location").starts_with("/hub/login?next=");
        assert!(answer.status == 403 || row.fields.is_none() && to_login, "{what} by nobody: {answer:?}");
        may_only(&house, "bob", vec!["self".to_owned()]).await;
        assert_eq!(ask_panel(&site, &mut bob, row).await, 403, "{what} by a stranger");
        may_only(&house, "bob", all_but(&house, &[Scope::AdminUi])).await;
        assert_eq!(ask_panel(&site, &mut bob, row).await, 403, "{what} by everything but the panel");
        if row.scope == Scope::AdminUi {
            may_only(&house, "bob", vec!["admin-ui".to_owned()]).await;
            assert_eq!(ask_panel(&site, &mut bob, row).await, 200, "{what} by the panel alone");
            continue;
        }
        // Reading what a page shows is not the right to change it.
        let sees = ["admin-ui", "list:users", "read:users", "read:servers", "list:services", "read:services"];
        let brings = |scope: &&str| all_but(&house, &[row.scope]).contains(&(*scope).to_owned());
        let sees: Vec<String> = sees.iter().filter(|scope| brings(scope)).map(|scope| (*scope).to_owned()).collect();
        let lacking = match row.path == ALICE && row.fields.is_none() {
            // Anything about her is enough to open her page.
            true => vec!["admin-ui".to_owned()],
            false => sees.clone(),
        };
        may_only(&house, "bob", lacking).await;
        assert_eq!(ask_panel(&site, &mut bob, row).await, 403, "{what} without its right");
        may_only(&house, "bob", [sees, vec![row.scope.to_string()]].concat()).await;
        let answer = ask_panel(&site, &mut bob, row).await;
        assert!([200, 303].contains(&answer), "{what} by its right: {answer}");
    }
    assert!(app.store.user("alice").await.unwrap().is_none(), "the last act was done");
}

#[actix_web::test]
async fn the_audit_opens_to_administrators_only() {
    let house = House::new().await;
    let site = house.site().await;
    house.set_password("bob", false).await;
    let mut bob = Browser::logged_in(&site, "bob").await;
    may_only(&house, "bob", vec!["admin-ui".to_owned(), "read:hub".to_owned(), "read:users".to_owned()]).await;
    assert_eq!(bob.get(&site, "/hub/admin/audit").await.status, 403);
    assert!(!bob.get(&site, ALICE).await.text.contains("id=\"audit-title\""), "nor on the page of a person");
    house.app().store.set_admin(house.user("bob").await.id, true).await.unwrap();
    assert_eq!(bob.get(&site, "/hub/admin/audit").await.status, 200);
    assert!(bob.get(&site, ALICE).await.text.contains("id=\"audit-title\""));
}

#[test]
fn every_page_of_the_panel_is_in_the_table() {
    let routes = include_str!("../../../src/http/routes.rs");
    let mut found = 0;
    for path in routes.split('"').filter(|text| text.starts_with("/admin") && *text != "/admin/events") {
        found += 1;
        let known = |row: &Act| row.path == format!("/hub{}", path.replace("{user}", "alice"));
        assert!(PANEL.iter().any(known) || path == "/admin/audit", "no row for {path}");
    }
    assert!(found >= 6, "routes.rs is written in another way than this test reads");
}
