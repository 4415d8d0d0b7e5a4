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
async fn may_only(house: &House, name: &str, scopes: Vec<String>) {
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
