//! Sites: where servers start, what operators say of each place, and what people read of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use hub_core::clock::isoformat;
use hub_core::id::SpawnerId;
use hub_core::life::Desired;
use hub_core::site::SiteState;
use hub_store::{AuditQuery, StartLimits};
use serde_json::{Value, json};
use specola::task;

use super::house::{Answer, Browser, House, Site, by_token, request, send};
use super::page_rights::may_only;

const API: &str = "/hub/api/sites";
const PAGE: &str = "/hub/admin/sites";

/// Two sites: `cnaf`, where the hub is, for everybody, and `bari` for members of the group of that name.
const SITES: &str = "
[[sites]]
name = \"cnaf\"
display_name = \"CNAF\"
description = \"In <b>Bologna</b>.\"
[[sites]]
name = \"bari\"
display_name = \"Bari\"
[[options.policies]]
name = \"everybody\"
grant = { sites = [\"cnaf\"] }
[[options.policies]]
name = \"bari\"
groups = [\"bari\"]
grant = { sites = [\"bari\"] }
";

async fn house() -> House {
    let house = House::changed("site = \"cnaf\"", |settings| format!("{settings}{SITES}")).await;
    let app = house.app();
    app.store.set_groups(house.user("alice").await.id, &["bari".to_owned()]).await.unwrap();
    for name in ["alice", "bob", "root"] {
        house.set_password(name, false).await;
    }
    house
}

async fn operator(house: &House) -> String {
    house.token("root", &["shutdown".to_owned()]).await
}

async fn say(site: &Site, token: &str, name: &str, body: Value) -> Answer {
    by_token(site, token, "PATCH", &format!("{API}/{name}"), Some(&body)).await
}

async fn start(site: &Site, token: &str, user: &str, server: &str, options: Value) -> Answer {
    by_token(site, token, "POST", &format!("/hub/api/users/{user}/servers/{server}"), Some(&options)).await
}

/// The site in plan and options of a server.
async fn place(house: &House, user: &str, server: &str) -> (Value, Value) {
    let server = house.app().store.server(house.user(user).await.id, server).await.unwrap().unwrap();
    (server.plan.unwrap_or_default()["site"].clone(), server.user_options.unwrap_or_default()["site"].clone())
}

/// The default server of somebody with this plan, wanted, and taken up by nobody.
async fn wanted(house: &House, user: &str, plan: Value) -> SpawnerId {
    let (app, owner) = (house.app(), house.user(user).await.id);
    let id = app.store.create_server(owner, "", None, None, app.now()).await.unwrap().unwrap().id;
    app.store.want_running(id, None, &plan, StartLimits::default(), app.now()).await.unwrap();
    id
}

/// A window from and to so many minutes from now.
fn window(house: &House, from: i64, to: i64, stops: bool) -> Value {
    let at = |minutes| isoformat(house.app().now() + TimeDelta::minutes(minutes));
    json!({ "begins": at(from), "ends": at(to), "text": "New <disks>", "stops_servers": stops })
}

#[actix_web::test]
async fn a_start_goes_where_it_may_and_where_it_was() {
    let house = house().await;
    let site = house.site().await;
    let (alice, bob) =
        (house.token("alice", &["self".to_owned()]).await, house.token("bob", &["self".to_owned()]).await);
    let answer = start(&site, &bob, "bob", "", json!({})).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(place(&house, "bob", "").await, (json!("cnaf"), json!("cnaf")));
    for (options, status, code) in [
        (json!({ "site": "bari" }), 403, "not_offered"),
        (json!({ "site": "nowhere" }), 403, "not_offered"),
        (json!({ "site": ["cnaf", "bari"] }), 400, "bad_value"),
        (json!({ "site": {} }), 400, "bad_value"),
        (json!({ "site": "<script>" }), 403, "not_offered"),
    ] {
        let answer = start(&site, &bob, "bob", "more", options.clone()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{options} {answer:?}");
        assert_eq!(answer.json()["field"], "site");
    }
    assert_eq!(start(&site, &alice, "alice", "named", json!({ "site": "bari" })).await.status, 202);
    assert_eq!(place(&house, "alice", "named").await, (json!("bari"), json!("bari")));
    let model = by_token(&site, &alice, "GET", "/hub/api/users/alice?include_stopped_servers=1", None).await.json();
    assert_eq!(model["servers"]["named"]["user_options"]["site"], "bari");
    // Again without a word: where its storage is, whatever was kept for it.
    let id = wanted(&house, "alice", json!({ "site": "bari" })).await;
    house.app().store.want_stopped(id, house.app().now()).await.unwrap();
    assert_eq!(start(&site, &alice, "alice", "", json!({})).await.status, 202);
    assert_eq!(place(&house, "alice", "").await, (json!("bari"), json!("bari")));
    let options = by_token(&site, &bob, "GET", "/hub/api/users/bob/spawn-options", None).await.json();
    assert_eq!(
        (&options["selected"]["site"], &options["questions"]),
        (&json!("cnaf"), &json!([])),
        "one site is no question"
    );
    let options = by_token(&site, &alice, "GET", "/hub/api/users/alice/spawn-options?server=new", None).await.json();
    let choices = options["questions"][0]["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|one| one["value"].as_str().unwrap()).collect::<Vec<_>>(), ["cnaf", "bari"]);
    // A menu for who has two, nothing to choose for who has one.
    let mut browser = Browser::logged_in(&site, "alice").await;
    let page = browser.get(&site, "/hub/spawn/alice/other").await.text;
    assert!(page.contains("name=\"site\" value=\"bari\"") && page.contains("In &#60;b&#62;Bologna"), "{page}");
    let mut browser = Browser::logged_in(&site, "bob").await;
    let page = browser.get(&site, "/hub/spawn/bob/other").await.text;
    assert!(!page.contains("name=\"site\""), "{page}");
}

#[actix_web::test]
async fn a_site_that_takes_no_starts_says_why_and_the_default_moves_on() {
    let house = house().await;
    let (site, root) = (house.site().await, operator(&house).await);
    let (alice, bob) =
        (house.token("alice", &["self".to_owned()]).await, house.token("bob", &["self".to_owned()]).await);
    assert_eq!(send(&site, request("GET", API)).await.status, 403, "nobody in particular");
    assert_eq!(say(&site, &bob, "cnaf", json!({ "drained": true })).await.status, 403);
    assert_eq!(say(&site, &root, "rome", json!({ "drained": true })).await.status, 404);
    let told = say(&site, &root, "cnaf", json!({ "drained": true })).await;
    assert_eq!(told.status, 200, "{told:?}");
    let model = told.json();
    assert_eq!((&model["drained"], &model["lost"], &model["servers"]), (&json!(true), &json!(false), &json!(0)));
    assert_eq!((&model["changed_by"], &model["takes_starts"]), (&json!("root"), &json!(false)));
    let seen = by_token(&site, &bob, "GET", API, None).await;
    let first = &seen.json()[0];
    assert_eq!(
        (&first["name"], &first["display_name"], &first["takes_starts"]),
        (&json!("cnaf"), &json!("CNAF"), &json!(false))
    );
    assert_eq!(first["reason"], "CNAF takes no new servers at present.");
    assert!(!seen.text.contains("root") && !seen.text.contains("drained"), "that is for operators: {seen:?}");
    // Who has no other site is told why, on every way.
    let answer = start(&site, &bob, "bob", "", json!({})).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("site_closed")), "{answer:?}");
    assert!(answer.text.contains("CNAF takes no new servers at present."));
    let mut browser = Browser::logged_in(&site, "bob").await;
    let page = browser.get(&site, "/hub/spawn").await.text;
    assert!(page.contains("CNAF takes no new servers at present.") && !page.contains("id=\"start\""), "{page}");
    // Who has goes there, unless it was this one they asked for.
    assert_eq!(start(&site, &alice, "alice", "", json!({})).await.status, 202);
    assert_eq!(place(&house, "alice", "").await.0, "bari");
    let answer = start(&site, &alice, "alice", "more", json!({ "site": "cnaf" })).await;
    assert_eq!(
        (answer.status, &answer.json()["code"], &answer.json()["field"]),
        (403, &json!("site_closed"), &json!("site"))
    );
    let mut browser = Browser::logged_in(&site, "alice").await;
    let page = browser.get(&site, "/hub/spawn/alice/more").await.text;
    assert!(page.contains("value=\"cnaf\" disabled") && page.contains("takes no new servers"), "{page}");
    assert_eq!(say(&site, &root, "cnaf", json!({ "drained": false })).await.status, 200);
    assert_eq!(start(&site, &bob, "bob", "", json!({})).await.status, 202);
    let query = AuditQuery { actions: Some(vec!["site.change".to_owned()]), limit: 9, ..AuditQuery::default() };
    let acts = house.app().store.list_audit(&query).await.unwrap();
    let acts = acts.items.iter().map(|(_, act)| (act.actor.as_str(), act.detail.as_ref().unwrap()));
    let acts: Vec<_> = acts.map(|(who, detail)| (who, &detail["site"], &detail["drained"])).collect();
    let (cnaf, yes, no) = (json!("cnaf"), json!(true), json!(false));
    assert_eq!(acts, [("user:root", &cnaf, &no), ("user:root", &cnaf, &yes)]);
}

#[actix_web::test]
async fn hostile_bodies_are_refused_with_the_reason_and_change_nothing() {
    let house = house().await;
    let (site, root) = (house.site().await, operator(&house).await);
    let wrong = |change: Value| {
        let mut window = window(&house, 60, 120, false);
        for (key, value) in change.as_object().unwrap() {
            window[key] = value.clone();
        }
        json!({ "maintenance": window })
    };
    for (body, reason) in [
        (json!({}), "Must specify what to change"),
        (json!(["drained"]), "must be a JSON object"),
        (json!({ "drained": "yes" }), "Site.drained must be a boolean"),
        (json!({ "drained": null }), "Must specify what to change"),
        (json!({ "lost": 1 }), "Site.lost must be a boolean"),
        (json!({ "closed": true }), "Invalid JSON keys: closed"),
        (json!({ "maintenance": "tomorrow" }), "must be an object or null"),
        (json!({ "maintenance": {} }), "Maintenance.begins is needed"),
        (wrong(json!({ "ends": null })), "Maintenance.ends is needed"),
        (wrong(json!({ "begins": "noon" })), "begins must be a day"),
        (wrong(json!({ "begins": "2099-01-01" })), "ends after it begins"),
        (wrong(json!({ "text": "x".repeat(501) })), "at most 500"),
        (wrong(json!({ "text": "a\u{0}" })), "NUL"),
        (wrong(json!({ "text": "a\nb" })), "one line"),
        (wrong(json!({ "stops_servers": "yes" })), "must be a boolean"),
        (wrong(json!({ "colour": "red" })), "Invalid JSON keys: colour"),
    ] {
        let answer = say(&site, &root, "cnaf", body.clone()).await;
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        assert!(answer.text.contains(reason), "{body}: {}", answer.text);
    }
    assert!(house.app().store.list_sites().await.unwrap().is_empty());
}

#[actix_web::test]
async fn a_window_is_told_before_and_closes_while_it_is_on() {
    let house = house().await;
    let (site, root) = (house.site().await, operator(&house).await);
    let bob = house.token("bob", &["self".to_owned()]).await;
    let mut alices = Browser::logged_in(&site, "alice").await;
    let mut bobs = Browser::logged_in(&site, "bob").await;
    let answer = say(&site, &root, "bari", json!({ "maintenance": window(&house, 60, 120, true) })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for path in ["/hub/home", "/hub/spawn"] {
        let page = alices.get(&site, path).await.text;
        assert!(page.contains("maintenance from") && page.contains("New &#60;disks&#62;"), "{path} {page}");
        assert!(page.contains("Servers there are stopped when it begins."));
        assert!(!bobs.get(&site, path).await.text.contains("maintenance from"), "it is no site of theirs: {path}");
    }
    assert!(!alices.get(&site, "/hub/token").await.text.contains("maintenance from"));
    // On: no starts, other words, and the other site for who has it.
    say(&site, &root, "cnaf", json!({ "maintenance": window(&house, -1, 60, false) })).await;
    let answer = start(&site, &bob, "bob", "", json!({})).await;
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("site_closed")));
    let until =
        house.app().sites.all()["cnaf"].state.window.clone().unwrap().ends.format("%Y-%m-%d %H:%M UTC").to_string();
    assert!(answer.text.contains(&format!("CNAF is under maintenance until {until}: New <disks>.")), "{answer:?}");
    let page = bobs.get(&site, "/hub/home").await.text;
    assert!(page.contains("under maintenance until") && page.contains("No servers start there until then."), "{page}");
    let seen = by_token(&site, &bob, "GET", API, None).await.json();
    assert_eq!((&seen[0]["takes_starts"], &seen[0]["maintenance"]["text"]), (&json!(false), &json!("New <disks>")));
    assert_eq!(seen[1]["takes_starts"], true);
    // Called off.
    say(&site, &root, "cnaf", json!({ "maintenance": null })).await;
    assert_eq!(start(&site, &bob, "bob", "", json!({})).await.status, 202);
    assert!(!bobs.get(&site, "/hub/home").await.text.contains("under maintenance"));
}

#[actix_web::test]
async fn a_server_of_before_there_were_sites_starts_where_it_was() {
    let house = House::changed("site = \"bari\"", |settings| format!("{settings}{SITES}")).await;
    let (site, app, owner) = (house.site().await, house.app(), house.user("alice").await);
    app.store.set_groups(owner.id, &["bari".to_owned()]).await.unwrap();
    let alice = house.token("alice", &["self".to_owned()]).await;
    for (name, was_there, expected) in [("new", false, "bari"), ("old", true, "cnaf")] {
        let id = app.store.create_server(owner.id, name, None, None, app.now()).await.unwrap().unwrap().id;
        if was_there {
            app.store.touch_server(id, app.now()).await.unwrap();
        }
        assert_eq!(start(&site, &alice, "alice", name, json!({})).await.status, 202);
        assert_eq!(place(&house, "alice", name).await.0, expected, "{name}");
    }
}

#[actix_web::test]
async fn a_window_that_another_hub_has_called_off_stops_nothing() {
    let house = house().await;
    let (site, app, root) = (house.site().await, house.app(), operator(&house).await);
    let id = wanted(&house, "bob", json!({ "site": "cnaf" })).await;
    say(&site, &root, "cnaf", json!({ "maintenance": window(&house, -1, 120, true) })).await;
    let said = app.store.list_sites().await.unwrap().remove("cnaf").unwrap();
    app.store.put_site("cnaf", said.revision, &SiteState::default(), "root", app.now()).await.unwrap();
    task::sites::once(&app).await.unwrap();
    assert_eq!(app.store.server_by_id(id).await.unwrap().unwrap().desired, Desired::Running);
}

#[actix_web::test]
async fn a_site_that_was_removed_can_still_be_given_up_and_taken_back() {
    let house = house().await;
    let (site, app, root) = (house.site().await, house.app(), operator(&house).await);
    assert_eq!(say(&site, &root, "rome", json!({ "lost": true })).await.status, 404);
    wanted(&house, "bob", json!({ "site": "rome" })).await;
    wanted(&house, "alice", json!({ "site": "bari" })).await;
    assert_eq!(specola::sites::removed(&app).await.unwrap(), [("rome".to_owned(), 1)].into());
    for change in [json!({ "drained": true }), json!({ "lost": true, "drained": true }), json!({ "maintenance": null })]
    {
        assert_eq!(say(&site, &root, "rome", change.clone()).await.status, 404, "{change}");
    }
    let told = say(&site, &root, "rome", json!({ "lost": true })).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!((&told.json()["lost"], &told.json()["servers"]), (&json!(true), &json!(1)));
    assert!(app.sites.given_up().contains("rome"));
    assert_eq!(say(&site, &root, "rome", json!({ "lost": false })).await.status, 200);
    assert!(app.sites.given_up().is_empty());
}

#[actix_web::test]
async fn servers_of_the_site_are_stopped_when_it_begins_and_their_people_told() {
    let house = house().await;
    let (site, app, root) = (house.site().await, house.app(), operator(&house).await);
    wanted(&house, "alice", json!({ "site": "bari" })).await;
    wanted(&house, "bob", json!({ "site": "cnaf" })).await;
    assert_eq!(by_token(&site, &root, "GET", API, None).await.json()[1]["servers"], 1);
    let desired = async |user: &str| app.store.server(house.user(user).await.id, "").await.unwrap().unwrap().desired;
    for (from, stops) in [(60, true), (-1, false)] {
        say(&site, &root, "cnaf", json!({ "maintenance": window(&house, from, 120, stops) })).await;
        task::sites::once(&app).await.unwrap();
        assert_eq!(desired("bob").await, Desired::Running, "{from} {stops}");
    }
    say(&site, &root, "cnaf", json!({ "maintenance": window(&house, -1, 120, true) })).await;
    for _ in 0..2 {
        task::sites::once(&app).await.unwrap();
    }
    assert_eq!((desired("bob").await, desired("alice").await), (Desired::Stopped, Desired::Running));
    let mut browser = Browser::logged_in(&site, "bob").await;
    for path in ["/hub/home", "/hub/spawn-pending/bob", "/hub/user/bob/lab"] {
        let page = browser.get(&site, path).await.text;
        assert!(page.contains("Your server was stopped: CNAF is under maintenance until"), "{path} {page}");
    }
    let query = AuditQuery { actions: Some(vec!["server.stop".to_owned()]), limit: 9, ..AuditQuery::default() };
    let acts = app.store.list_audit(&query).await.unwrap();
    let acts: Vec<_> = acts.items.iter().map(|(_, act)| (act.actor.as_str(), act.object.as_str())).collect();
    assert_eq!(acts, [("hub:sites", "server:bob/")], "once");
}

#[actix_web::test]
async fn what_one_hub_is_told_the_others_know_at_their_next_look() {
    let house = house().await;
    let (site, root) = (house.site().await, operator(&house).await);
    let other = specola::sites::Sites::default();
    other.refresh(&house.app().store).await.unwrap();
    assert!(other.given_up().is_empty());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = heard.clone();
    other.tell(move |lost, _| ear.lock().unwrap().push(lost)).await;
    assert_eq!(say(&site, &root, "bari", json!({ "lost": true })).await.status, 200);
    other.refresh(&house.app().store).await.unwrap();
    for sites in [&other, &*house.app().sites] {
        assert_eq!(sites.given_up(), ["bari".to_owned()].into());
    }
    assert_eq!(*heard.lock().unwrap(), [BTreeSet::new(), ["bari".to_owned()].into()], "the driver's ear");
    let alice = house.token("alice", &["self".to_owned()]).await;
    let answer = start(&site, &alice, "alice", "", json!({ "site": "bari" })).await;
    assert!(answer.text.contains("Bari is out of service."), "{answer:?}");
}

#[actix_web::test]
async fn operators_do_it_on_a_page_that_needs_no_scripts() {
    let house = house().await;
    let (site, app) = (house.site().await, house.app());
    assert_eq!(send(&site, request("GET", PAGE)).await.status, 302, "to the login");
    let mut bob = Browser::logged_in(&site, "bob").await;
    assert_eq!(bob.get(&site, PAGE).await.status, 403);
    assert_eq!(bob.post(&site, PAGE, &[("site", "cnaf"), ("action", "drain")]).await.status, 403);
    // Who may open the panel sees them; saying something takes more.
    may_only(&house, "bob", vec!["admin-ui".to_owned()]).await;
    let page = bob.get(&site, PAGE).await;
    assert!(page.status == 200 && page.text.contains("CNAF") && !page.text.contains("value=\"drain\""), "{page:?}");
    assert_eq!(bob.post(&site, PAGE, &[("site", "cnaf"), ("action", "drain")]).await.status, 403);
    let mut root = Browser::logged_in(&site, "root").await;
    let page = root.get(&site, PAGE).await;
    assert!(page.status == 200 && page.text.contains("Takes servers") && page.text.contains("0 servers"), "{page:?}");
    let state = |name: &str| app.sites.all().get(name).map(|said| said.state.clone()).unwrap_or_default();
    assert_eq!(root.post(&site, PAGE, &[("site", "cnaf"), ("action", "drain")]).await.status, 303);
    assert!(state("cnaf").drained && root.get(&site, PAGE).await.text.contains("Drained"));
    root.post(&site, PAGE, &[("site", "cnaf"), ("action", "undrain")]).await;
    assert!(!state("cnaf").drained);
    let maintain = [("site", "bari"), ("action", "maintain"), ("begins", "2126-01-02T10:00"), ("text", "Cables")];
    for (ends, reason) in
        [("", "needs a beginning and an end"), ("2126-01-01T10:00", "ends after it begins"), ("soon", "must be a day")]
    {
        let answer = root.post(&site, PAGE, &[&maintain[..], &[("ends", ends)]].concat()).await;
        assert!(answer.status == 400 && answer.text.contains(reason), "{ends}: {answer:?}");
        assert!(
            answer.text.contains("value=\"2126-01-02T10:00\"") && answer.text.contains("value=\"Cables\""),
            "{ends}"
        );
    }
    assert_eq!(state("bari").window, None);
    let whole = [&maintain[..], &[("ends", "2126-01-02T12:00"), ("stops_servers", "on")]].concat();
    assert_eq!(root.post(&site, PAGE, &whole).await.status, 303);
    let window = state("bari").window.unwrap();
    assert_eq!((isoformat(window.begins).as_str(), window.stops_servers), ("2126-01-02T10:00:00Z", true));
    root.post(&site, PAGE, &[("site", "bari"), ("action", "end")]).await;
    assert_eq!(state("bari").window, None);
    // It is asked before a site is given up.
    let lose = [("site", "bari"), ("action", "lose")];
    let asked = root.post(&site, PAGE, &lose).await;
    assert!(asked.status == 200 && asked.text.contains("Give up Bari?"), "{asked:?}");
    assert!(!state("bari").lost);
    assert_eq!(root.post(&site, PAGE, &[&lose[..], &[("confirmed", "1")]].concat()).await.status, 303);
    assert!(state("bari").lost);
    root.post(&site, PAGE, &[("site", "bari"), ("action", "restore")]).await;
    assert!(!state("bari").lost);
    for fields in [[("site", "rome"), ("action", "drain")], [("site", "bari"), ("action", "burn")]] {
        let answer = root.post(&site, PAGE, &fields).await;
        assert!([400, 404].contains(&answer.status), "{fields:?} {answer:?}");
    }
}

#[actix_web::test]
async fn without_options_people_choose_where_and_all_else_is_handed_on() {
    let sites = "[[sites]]\nname = \"cnaf\"\n[[sites]]\nname = \"bari\"\n";
    let house = House::changed("site = \"bari\"", |settings| format!("{settings}{sites}")).await;
    let site = house.site().await;
    let bob = house.token("bob", &["self".to_owned()]).await;
    assert_eq!(start(&site, &bob, "bob", "", json!({ "deep": { "a": [1] } })).await.status, 202);
    let row = house.app().store.server(house.user("bob").await.id, "").await.unwrap().unwrap();
    assert_eq!(row.user_options, Some(json!({ "deep": { "a": [1] }, "site": "bari" })));
    house.set_password("bob", false).await;
    let mut browser = Browser::logged_in(&site, "bob").await;
    let page = browser.get(&site, "/hub/spawn/bob/more").await.text;
    assert!(page.contains("name=\"site\" value=\"cnaf\""), "{page}");
    // A link of another site: what it brings along is seen, and asked.
    let link = request("GET", "/hub/spawn/bob/more?opt-size=big&opt-site=cnaf");
    let page = browser.send(&site, link.insert_header(("Sec-Fetch-Site", "cross-site"))).await.text;
    assert!(page.contains("name=\"size\" value=\"big\"") && page.contains("value=\"cnaf\" checked"), "{page}");
    assert_eq!(page.matches("name=\"site\"").count(), 2, "{page}");
}
