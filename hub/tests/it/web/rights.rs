//! Who may do what: every route of the REST API, asked by nobody, by a stranger, by somebody who has every right but the
//! one it takes, by somebody who has it for something else, and by somebody who has exactly that one.

use hub_core::scope::{Client, Owner, RawScope, Rights, Scope};
use hub_store::ShareWith;
use serde_json::{Value, json};

use super::house::{House, Site, by_token, request, send};

/// One route.
struct Row {
    /// As the table of addresses names it.
    handler: &'static str,
    method: &'static str,
    path: String,
    body: Option<Value>,
    /// Any of these is enough.
    any_of: &'static [Scope],
    /// The answer to who has every right but these, to who has one for somebody else's, and to who has one.
    lacking: u16,
    elsewhere: u16,
    right: u16,
}

fn row(handler: &'static str, method: &'static str, path: &str, any_of: &'static [Scope], right: u16) -> Row {
    let named = ["/users/", "/groups/", "/services/"].iter().any(|of| path.starts_with(of));
    let elsewhere = if named { 404 } else { 403 };
    Row { handler, method, path: path.to_owned(), body: None, any_of, lacking: 403, elsewhere, right }
}

impl Row {
    /// Where it is; what begins with `outside:` is not below the API.
    fn address(&self) -> String {
        match self.path.strip_prefix("outside:") {
            Some(path) => path.to_owned(),
            None => format!("/hub/api{}", self.path),
        }
    }

    fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

const READ_USER: &[Scope] = &[
    Scope::ReadUsers,
    Scope::ReadUsersName,
    Scope::ReadServers,
    Scope::ReadUsersGroups,
    Scope::ReadUsersActivity,
    Scope::ReadRolesUsers,
];
const READ_SERVICE: &[Scope] = &[Scope::ReadServices, Scope::ReadServicesName, Scope::ReadRolesServices];
const READ_GROUP: &[Scope] = &[Scope::ReadGroups, Scope::ReadGroupsName, Scope::ReadRolesGroups];

fn users(token: &str) -> Vec<Row> {
    use Scope::{AdminUsers, DeleteUsers, ListUsers, ReadTokens, Tokens, UsersActivity};
    vec![
        Row { elsewhere: 200, ..row("users::list", "GET", "/users", &[ListUsers], 200) },
        row("access_token::get", "GET", "/user/access-token", &[Scope::AdminAuthState], 404),
        row("storage::list", "GET", "/user/storage", &[Scope::AdminAuthState], 200),
        row("storage::credentials", "GET", "/user/storage/none/credentials", &[Scope::AdminAuthState], 404),
        row("users::create_many", "POST", "/users", &[AdminUsers], 201).with(json!({ "usernames": ["many"] })),
        // Whoever is asked may see at least the own name, so the rest is hidden and not forbidden.
        Row { lacking: 404, ..row("users::get", "GET", "/users/alice", READ_USER, 200) },
        row("users::create_one", "POST", "/users/fresh", &[AdminUsers], 201),
        row("users::change", "PATCH", "/users/alice", &[AdminUsers], 200).with(json!({ "name": "alice" })),
        row("users::delete", "DELETE", "/users/doomed", &[DeleteUsers], 204),
        row("activity::report", "POST", "/users/alice/activity", &[UsersActivity], 200)
            .with(json!({ "last_activity": "2026-01-02T03:04:05Z" })),
        row("tokens::list", "GET", "/users/alice/tokens", &[ReadTokens], 200),
        // Refused in the same words for everybody who may not, so that nothing tells whether alice exists.
        Row { elsewhere: 403, ..row("tokens::create", "POST", "/users/alice/tokens", &[Tokens], 201) },
        row("tokens::get", "GET", &format!("/users/alice/tokens/{token}"), &[ReadTokens], 200),
        row("tokens::delete", "DELETE", &format!("/users/alice/tokens/{token}"), &[Tokens], 204),
    ]
}

fn servers() -> Vec<Row> {
    use Scope::{DeleteServers, ReadServers, StartServers};
    vec![
        row("servers::put", "PUT", "/users/alice/servers/made", &[StartServers], 201),
        row("servers::get", "GET", "/users/alice/servers/made", &[ReadServers], 200),
        row("servers::change", "PATCH", "/users/alice/servers/made", &[StartServers], 200)
            .with(json!({ "display_name": "Made" })),
        row("servers::stop", "DELETE", "/users/alice/servers/made", &[DeleteServers], 204)
            .with(json!({ "remove": true })),
        row("servers::start", "POST", "/users/alice/server", &[StartServers], 202),
        row("progress::stream", "GET", "/users/alice/server/progress", &[ReadServers], 200),
        row("spawn_options::get", "GET", "/users/alice/spawn-options", &[StartServers], 200),
    ]
}

fn groups() -> Vec<Row> {
    use Scope::{AdminGroups, DeleteGroups, Groups, ListGroups};
    vec![
        row("groups::create_many", "POST", "/groups", &[AdminGroups], 201).with(json!({ "groups": ["many"] })),
        row("groups::create_one", "POST", "/groups/physics", &[AdminGroups], 201),
        Row { elsewhere: 200, ..row("groups::list", "GET", "/groups", &[ListGroups], 200) },
        row("groups::get", "GET", "/groups/physics", READ_GROUP, 200),
        row("groups::add_users", "POST", "/groups/physics/users", &[Groups], 200).with(json!({ "users": ["alice"] })),
        row("groups::remove_users", "DELETE", "/groups/physics/users", &[Groups], 200)
            .with(json!({ "users": ["alice"] })),
        row("groups::set_properties", "PUT", "/groups/physics/properties", &[Groups], 200).with(json!({ "a": 1 })),
        row("groups::delete", "DELETE", "/groups/physics", &[DeleteGroups], 204),
    ]
}

fn services() -> Vec<Row> {
    use Scope::{AdminServices, ListServices};
    vec![
        Row { elsewhere: 200, ..row("services::list", "GET", "/services", &[ListServices], 200) },
        row("services::create", "POST", "/services/made", &[AdminServices], 201).with(json!({ "display": false })),
        row("services::get", "GET", "/services/made", READ_SERVICE, 200),
        row("services::delete", "DELETE", "/services/made", &[AdminServices], 200),
    ]
}

fn sharing() -> Vec<Row> {
    use Scope::{GroupsShares, ReadGroupsShares, ReadShares, ReadUsersShares, Shares, UsersShares};
    // Whoever may share needs to know the other's name besides; everybody knows the own one.
    let with = json!({ "user": "root" });
    let hidden = |row: Row| Row { elsewhere: 404, ..row };
    let rows = vec![
        row("shares::list_of_owner", "GET", "/shares/alice", &[ReadShares], 200),
        row("shares::server_required", "POST", "/shares/alice", &[Shares], 405),
        row("shares::list_of_server", "GET", "/shares/alice/", &[ReadShares], 200),
        row("shares::grant", "POST", "/shares/alice/", &[Shares], 200).with(with.clone()),
        row("shares::revoke", "PATCH", "/shares/alice/", &[Shares], 200).with(with),
        row("shares::revoke_all", "DELETE", "/shares/alice/", &[Shares], 204),
        row("share_codes::list_of_owner", "GET", "/share-codes/alice", &[ReadShares], 200),
        row("share_codes::server_required", "DELETE", "/share-codes/alice", &[Shares], 405),
        row("share_codes::create", "POST", "/share-codes/alice/", &[Shares], 200),
        row("share_codes::list_of_server", "GET", "/share-codes/alice/", &[ReadShares], 200),
        row("share_codes::delete", "DELETE", "/share-codes/alice/", &[Shares], 204),
        row("shared::list_of_user", "GET", "/users/alice/shared", &[ReadUsersShares], 200),
        row("shared::get_of_user", "GET", "/users/alice/shared/root/", &[ReadUsersShares], 200),
        row("shared::leave_by_user", "DELETE", "/users/alice/shared/root/", &[UsersShares], 204),
        row("shared::list_of_group", "GET", "/groups/shared/shared", &[ReadGroupsShares], 200),
        row("shared::get_of_group", "GET", "/groups/shared/shared/root/", &[ReadGroupsShares], 200),
        row("shared::leave_by_group", "DELETE", "/groups/shared/shared/root/", &[GroupsShares], 204),
    ];
    rows.into_iter().map(hidden).collect()
}

/// A server of root that is shared with alice and with a group.
async fn with_shares(house: &House) {
    let (app, root) = (house.app(), house.user("root").await);
    let server = app.store.create_server(root.id, "", None, None, app.now()).await.unwrap().unwrap();
    let group = app.store.create_group("shared", &json!({})).await.unwrap();
    for with in [ShareWith::User(house.user("alice").await.id), ShareWith::Group(group.id)] {
        let scopes = || vec!["access:servers!server=root/".to_owned()];
        app.store.change_share(server.id, with, app.now(), |_| scopes()).await.unwrap().unwrap();
    }
}

fn announcements() -> Vec<Row> {
    const ANNOUNCE: &[Scope] = &[Scope::AdminUi];
    let (one, service) = ("/announcements/1", "outside:/services/announcement/");
    vec![
        row("announcements::service_post", "POST", service, ANNOUNCE, 200).with(json!({ "announcement": "" })),
        row("announcements::service_delete", "DELETE", service, ANNOUNCE, 200),
        row("announcements::create", "POST", "/announcements", ANNOUNCE, 201).with(json!({ "text": "Hello" })),
        row("announcements::all", "GET", "/announcements/all", ANNOUNCE, 200),
        row("announcements::get", "GET", one, ANNOUNCE, 200),
        row("announcements::change", "PATCH", one, ANNOUNCE, 200).with(json!({ "severity": "problem" })),
        row("announcements::delete", "DELETE", one, ANNOUNCE, 204),
    ]
}

fn hub() -> Vec<Row> {
    vec![
        row("hub::info", "GET", "/info", &[Scope::ReadHub], 200),
        row("metrics::show", "GET", "/metrics", &[Scope::ReadMetrics], 200),
        row("audit::list", "GET", "/audit", &[Scope::ReadHub], 200),
        // There is no such site: who may ask is told so.
        row("sites::change", "PATCH", "/sites/cnaf", &[Scope::Shutdown], 404).with(json!({ "drained": true })),
        row("admin::stream", "GET", "/admin/events", &[Scope::AdminUi], 200),
        row("proxy::list", "GET", "/proxy", &[Scope::Proxy], 200),
        row("proxy::check", "POST", "/proxy", &[Scope::Proxy], 200),
        row("proxy::change", "PATCH", "/proxy", &[Scope::Proxy], 200).with(json!({})),
        // It never opens: the option that would is not there.
        row("authorizations::admin_access", "POST", "/users/alice/admin-access", &[Scope::Servers], 403),
        row("hub::shutdown", "POST", "/shutdown", &[Scope::Shutdown], 202),
    ]
}

/// In an order in which each finds what those before it made.
pub fn table(token: &str) -> Vec<(&'static str, &'static str, String, Option<Value>)> {
    rows(token).into_iter().map(|row| (row.handler, row.method, row.address(), row.body)).collect()
}

fn rows(token: &str) -> Vec<Row> {
    [users(token), servers(), sharing(), groups(), services(), announcements(), hub()].into_iter().flatten().collect()
}

/// All scopes but those that are, or bring, one of these.
pub fn all_but(house: &House, without: &[Scope]) -> Vec<String> {
    let app = house.app();
    let brings = |scope: Scope| {
        let held = Rights::expand(&app.catalogue, &[RawScope::plain(scope)], Owner::User("root"), Client::Hub);
        without.iter().any(|&other| held.holds(other))
    };
    let names = Scope::ALL.iter().filter(|scope| !brings(**scope)).map(|scope| scope.as_str().to_owned());
    // The first two are not scopes but what tokens say instead of scopes.
    names.filter(|name| !["inherit", "self"].contains(&name.as_str())).collect()
}

fn only(scope: Scope, path: &str) -> String {
    let filter = match path {
        path if path.starts_with("/groups") => "group=others",
        path if path.starts_with("/services") => "service=others",
        _ => "user=bob",
    };
    format!("{}!{filter}", scope.as_str())
}

async fn ask(site: &Site, row: &Row, token: Option<&str>) -> u16 {
    let path = row.address();
    match token {
        Some(token) => by_token(site, token, row.method, &path, row.body.as_ref()).await.status,
        None => {
            let request = request(row.method, &path);
            let request = row.body.iter().fold(request, |request, body| request.set_json(body));
            send(site, request).await.status
        }
    }
}

#[actix_web::test]
async fn each_route_opens_to_its_right_and_to_nothing_less() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let (doomed, others) = ("doomed", "others");
    app.store.create_user(doomed, false, "cookie-of-doomed", app.now()).await.unwrap();
    app.store.create_group(others, &json!({})).await.unwrap();
    with_shares(&house).await;
    house.token("alice", &["inherit".to_owned()]).await;
    let alice = hub_store::TokenOwner::User(house.user("alice").await.id);
    let token = app.store.tokens_of(alice, app.now()).await.unwrap().pop().unwrap();
    let stranger = house.token("bob", &["inherit".to_owned()]).await;
    for row in rows(&format!("a{}", token.id)) {
        let what = format!("{} {}", row.method, row.path);
        assert_eq!(ask(&site, &row, None).await, 403, "{what} by nobody");
        assert_eq!(ask(&site, &row, Some("0123456789abcdef")).await, 403, "{what} by a token that is none");
        let answer = ask(&site, &row, Some(&stranger)).await;
        assert!([403, 404].contains(&answer), "{what} by a stranger: {answer}");
        let lacking = house.token("root", &all_but(&house, row.any_of)).await;
        assert_eq!(ask(&site, &row, Some(&lacking)).await, row.lacking, "{what} by everything but its right");
        let elsewhere = house.token("root", &[only(row.any_of[0], &row.path)]).await;
        assert_eq!(ask(&site, &row, Some(&elsewhere)).await, row.elsewhere, "{what} by the right on something else");
        let right = house.token("root", &[row.any_of[0].as_str().to_owned()]).await;
        assert_eq!(ask(&site, &row, Some(&right)).await, row.right, "{what} by its right");
    }
}

#[test]
fn every_route_of_the_api_is_in_the_table() {
    let routes = include_str!("../../../src/http/routes.rs");
    let table: Vec<&str> = rows("a1").iter().map(|row| row.handler).collect();
    let open = [
        "announcements::shown",
        "announcements::service_get",
        "hub::root",
        "hub::health",
        "health::ready",
        "users::whoami",
        // Anybody with an account: `sites.rs`.
        "sites::list",
        // No right opens it: `lab_status.rs`.
        "lab_status::put",
        // For programs that show a lab's token in their own way.
        "facade::discovery",
        "facade::token",
    ];
    let by_any_token = ["authorizations::token", "authorizations::make", "authorizations::of_cookie"];
    let open = [&open[..], &by_any_token].concat();
    let mut found = 0;
    for (at, _) in routes.match_indices("api::") {
        let name: String = routes[at + 5..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
        if name.contains("::") {
            found += 1;
            assert!(table.contains(&name.as_str()) || open.contains(&name.as_str()), "no row for {name}");
        }
    }
    assert!(found >= table.len(), "routes.rs is written in another way than this test reads");
}

#[actix_web::test]
async fn a_filtered_right_lists_only_what_it_names() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    for group in ["others", "ours"] {
        app.store.create_group(group, &json!({})).await.unwrap();
    }
    for (path, scope) in [("/users", Scope::ListUsers), ("/groups", Scope::ListGroups)] {
        let token = house.token("root", &[only(scope, path)]).await;
        let answer = by_token(&site, &token, "GET", &format!("/hub/api{path}"), None).await.json();
        let names: Vec<&str> = answer.as_array().unwrap().iter().filter_map(|model| model["name"].as_str()).collect();
        assert_eq!(names, [if path == "/users" { "bob" } else { "others" }]);
    }
}

#[actix_web::test]
async fn only_administrators_give_the_right_to_administer() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let role = hub_store::NewRole {
        name: "helpdesk".to_owned(),
        description: None,
        scopes: vec!["admin:users".to_owned(), "tokens".to_owned(), "groups".to_owned()],
        managed_by_auth: false,
    };
    let role = app.store.sync_role(&role).await.unwrap();
    app.store.assign_role(hub_store::Holder::User(house.user("bob").await.id), role).await.unwrap();
    let bob = house.token("bob", &["inherit".to_owned()]).await;
    let admin = json!({ "admin": true });
    for (method, path, body) in [
        ("POST", "/users", json!({ "usernames": ["eve"], "admin": true })),
        ("POST", "/users/eve", admin.clone()),
        ("PATCH", "/users/bob", admin.clone()),
        ("PATCH", "/users/alice", admin),
        ("PATCH", "/users/root", json!({ "name": "toor" })),
        ("POST", "/users/root/tokens", json!({})),
    ] {
        let answer = by_token(&site, &bob, method, &format!("/hub/api{path}"), Some(&body)).await;
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
    }
    assert!(app.store.user("eve").await.unwrap().is_none());
    let answer = by_token(&site, &bob, "POST", "/hub/api/users/alice/tokens", None).await;
    assert_eq!(answer.status, 201, "for people who do not administer");
}

#[actix_web::test]
async fn what_is_taken_away_is_gone_at_the_next_request() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let (bob, alice) = (house.user("bob").await, house.user("alice").await);
    let group = app.store.create_group("helpers", &json!({})).await.unwrap();
    let role = hub_store::NewRole {
        name: "helper".to_owned(),
        description: None,
        scopes: vec!["read:users".to_owned()],
        managed_by_auth: false,
    };
    let role = app.store.sync_role(&role).await.unwrap();
    app.store.assign_role(hub_store::Holder::Group(group.id), role).await.unwrap();
    let token = house.token("bob", &["inherit".to_owned()]).await;
    let sees = async || by_token(&site, &token, "GET", "/hub/api/users/alice", None).await.status;
    assert_eq!(sees().await, 404);
    app.store.add_members(group.id, &[bob.id]).await.unwrap();
    assert_eq!(sees().await, 200, "as a member");
    app.store.remove_members(group.id, &[bob.id]).await.unwrap();
    assert_eq!(sees().await, 404, "no member any more");
    app.store.assign_role(hub_store::Holder::User(bob.id), role).await.unwrap();
    assert_eq!(sees().await, 200, "with the role");
    app.store.revoke_role(hub_store::Holder::User(bob.id), role).await.unwrap();
    assert_eq!(sees().await, 404, "without the role");
    app.store.set_admin(bob.id, true).await.unwrap();
    assert_eq!(sees().await, 200, "as an administrator");
    app.store.delete_user(alice.id).await.unwrap();
    assert_eq!(sees().await, 404, "alice is gone");
    let id = app.store.tokens_of(hub_store::TokenOwner::User(bob.id), app.now()).await.unwrap()[0].id;
    app.store.delete_token(id).await.unwrap();
    assert_eq!(sees().await, 403, "the token is gone");
}
