//! The culler of users, and what the home page tells of the end of a server.

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::SpawnerId;
use hub_core::life::Phase;
use hub_core::secret::Secret;
use hub_store::{Address, Arrived, AuditQuery, NewToken, OAuthClient, Prepared, StartLimits, Step, TokenOwner};
use serde_json::{Value, json};
use specola::app::App;
use specola::task::{cull, removal};

use super::house::{Browser, House, by_token};

const CULLER: &str = "[culler]\nenabled = true\ntimeout = 3600\ncull_users = true\ncull_admin_users = false\n";

#[actix_web::test]
async fn users_who_are_away_are_deleted_and_administrators_kept() {
    let house = House::with(CULLER).await;
    let app = house.app();
    let long_ago = app.now() - TimeDelta::hours(2);
    for (name, admin) in [("away", false), ("boss", true), ("has-lab", false), ("stopped", false), ("back", false)] {
        app.store.create_user(name, admin, &format!("cookie-of-{name}"), long_ago).await.unwrap();
    }
    app.store.touch_user(house.user("back").await.id, app.now()).await.unwrap();
    running(&app, "has-lab", "", app.now()).await;
    app.store.create_server(house.user("stopped").await.id, "one", None, None, long_ago).await.unwrap();
    cull::once(&app, &app.config.culler.rules().unwrap()).await.unwrap();
    for (name, there) in
        [("away", false), ("stopped", false), ("boss", true), ("has-lab", true), ("back", true), ("alice", true)]
    {
        assert_eq!(app.store.user(name).await.unwrap().is_some(), there, "{name}");
    }
}

/// The hub that was asked may be gone before the server has stopped: any other one deletes it then.
#[actix_web::test]
async fn a_server_that_is_to_be_deleted_goes_once_it_has_stopped_whoever_was_asked() {
    let house = House::new().await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("alice", &["inherit".to_owned()]).await;
    for name in ["gone", "back"] {
        let id = running(&app, "alice", name, app.now()).await;
        let path = format!("/hub/api/users/alice/servers/{name}");
        let answer = by_token(&site, &token, "DELETE", &path, Some(&json!({ "remove": true }))).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        removal::once(&app).await.unwrap();
        let server = app.store.server_by_id(id).await.unwrap().expect("it has not stopped");
        let (generation, now) = (server.generation, app.now());
        assert!(app.store.begin_stop(id, "test", generation, now, now).await.unwrap());
        assert!(app.store.finish(id, "test", generation, None, now).await.unwrap());
        assert!(app.store.release(id, "test", None).await.unwrap());
        if name == "back" {
            app.store.want_running(id, None, &Value::Null, StartLimits::default(), now).await.unwrap();
        }
        removal::once(&app).await.unwrap();
        assert_eq!(app.store.server_by_id(id).await.unwrap().is_some(), name == "back", "{name}");
    }
    let query = AuditQuery { actions: Some(vec!["server.delete".to_owned()]), limit: 9, ..AuditQuery::default() };
    let acts = app.store.list_audit(&query).await.unwrap();
    let acts: Vec<_> = acts.items.iter().map(|(_, act)| (act.actor.as_str(), act.object.as_str())).collect();
    assert_eq!(acts, [("user:alice", "server:alice/gone")], "by who wanted it");
}

/// What a driver keeps of a server is found by its row.
#[actix_web::test]
async fn nothing_is_deleted_while_the_driver_cannot_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (away, program) = (folder.path().join("away"), folder.path().join("driver"));
    let text = format!("#!/bin/sh\ncat >/dev/null\ntest ! -e {} && echo '{{}}'\n", away.display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let driver = format!("[spawner]\ndriver = \"external\"\n[spawner.external]\ncommand = [{program:?}]\n");
    let house =
        House::changed("", |settings| settings.replace("[spawner]\n", &driver).replace("cmd = [\"true\"]\n", "")).await;
    let (site, app) = (house.site().await, house.app());
    let token = house.token("root", &["inherit".to_owned()]).await;
    let alice = house.user("alice").await.id;
    let delete = async |path: &str, body: Option<&Value>| by_token(&site, &token, "DELETE", path, body).await.status;
    let named = app.store.create_server(alice, "named", None, None, app.now()).await.unwrap().unwrap().id;
    app.store.create_server(alice, "", None, None, app.now()).await.unwrap().unwrap();
    std::fs::write(&away, "").unwrap();
    let marked = delete("/hub/api/users/alice/servers/named", Some(&json!({ "remove": true }))).await;
    assert_eq!(marked, 202, "the wish is kept");
    assert_eq!(delete("/hub/api/users/alice", None).await, 503);
    removal::once(&app).await.unwrap();
    assert_eq!(app.store.servers_of(&[alice]).await.unwrap().len(), 2);
    assert!(app.store.user("alice").await.unwrap().is_some());
    std::fs::remove_file(&away).unwrap();
    removal::once(&app).await.unwrap();
    assert!(app.store.server_by_id(named).await.unwrap().is_none(), "it was to be deleted");
    assert_eq!(delete("/hub/api/users/alice", None).await, 204);
    assert!(app.store.user("alice").await.unwrap().is_none());
}

#[actix_web::test]
async fn home_tells_when_an_idle_server_stops_and_offers_to_keep_it() {
    let house = House::with(&format!("{CULLER}max_age = 36000\n")).await;
    house.set_password("alice", false).await;
    let (site, app) = (house.site().await, house.app());
    let minutes = |minutes| app.now() - TimeDelta::minutes(minutes);
    running(&app, "alice", "", minutes(10)).await;
    running(&app, "alice", "late", minutes(35)).await;
    let old = running(&app, "alice", "old", minutes(599)).await;
    app.store.touch_server(old, app.now()).await.unwrap();
    let mut browser = Browser::logged_in(&site, "alice").await;
    let page = browser.get(&site, "/hub/home").await.text;
    let ends: Vec<&str> =
        page.split("class=\"ends\"").skip(1).map(|rest| rest.split("</span>").next().unwrap()).collect();
    let tells = |index: usize, words: &[&str]| words.iter().all(|word| ends[index].contains(word));
    assert!(tells(0, &["Stops", "in 49 minutes", "unless it is used"]), "{ends:?}");
    assert!(tells(1, &["Stops", "in 24 minutes", "unless it is used"]), "{ends:?}");
    assert!(ends[2].contains("in 59 seconds") && !ends[2].contains("unless"), "its age ends it: {ends:?}");
    assert!(page.contains("id=\"keep-late\"") && !page.contains("id=\"keep\"") && !page.contains("keep-old"));
    let answer = browser.post(&site, "/hub/home", &[("action", "keep"), ("server_name", "late")]).await;
    assert_eq!(answer.status, 303);
    let page = browser.get(&site, "/hub/home").await.text;
    assert!(page.contains("in 59 minutes") && !page.contains("keep-late"), "{page}");
    let answer = browser.post(&site, "/hub/home", &[("action", "keep"), ("server_name", "none")]).await;
    assert_eq!(answer.status, 404);
}

#[actix_web::test]
async fn home_tells_when_an_account_that_nobody_uses_is_deleted_and_what_becomes_of_its_files() {
    let root = tempfile::tempdir().unwrap();
    let areas = "areas = [{ kind = \"private\", target = \"/home/jovyan\" }]\n";
    let folders = |days: u32| format!("[folders]\nroot = {:?}\nretention_days = {days}\n{areas}", root.path());
    let kept = "Files on disks are kept.";
    let day = |app: &App| (app.now() + TimeDelta::hours(1) + TimeDelta::days(30)).format("%Y-%m-%d").to_string();
    let (until, ever) = ("removed for good on", "kept until the people who run this site remove them");
    for (folders, files) in [(String::new(), kept), (folders(30), until), (folders(0), ever)] {
        let house = House::with(&format!("{CULLER}{folders}")).await;
        house.set_password("alice", false).await;
        house.set_password("root", false).await;
        let (site, app) = (house.site().await, house.app());
        // Her last visit was long ago; this one counts.
        app.store.touch_user(house.user("alice").await.id, app.now()).await.unwrap();
        let before = day(&app);
        let page = Browser::logged_in(&site, "alice").await.get(&site, "/hub/home").await.text;
        let told = page.split("class=\"notice leaving\"").nth(1).and_then(|rest| rest.split("</p>").next());
        let told = told.unwrap_or_else(|| panic!("{page}"));
        for words in ["Your account and your servers are deleted", "unless you come back before", files] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(told.contains("in 1 hour") || told.contains("in 59 minutes"), "{told}");
        let dated = told.contains(&before) || told.contains(&day(&app));
        assert_eq!(dated, files == until, "{told}");
        let page = Browser::logged_in(&site, "root").await.get(&site, "/hub/home").await.text;
        assert!(!page.contains("notice leaving"), "administrators stay here");
    }
    // Where people stay whatever they do, nothing is told.
    let house = House::with(&CULLER.replace("cull_users = true", "cull_users = false")).await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let page = Browser::logged_in(&site, "alice").await.get(&site, "/hub/home").await.text;
    assert!(!page.contains("notice leaving"), "{page}");
    // By its age an account ends whatever is done.
    let house = House::with(&format!("{CULLER}max_age = 1200\n")).await;
    house.set_password("alice", false).await;
    let site = house.site().await;
    let page = Browser::logged_in(&site, "alice").await.get(&site, "/hub/home").await.text;
    let told = page.split("class=\"notice leaving\"").nth(1).and_then(|rest| rest.split("</p>").next()).unwrap();
    assert!(told.contains("in 20 minutes") || told.contains("in 19 minutes"), "{told}");
    assert!(!told.contains("unless"), "{told}");
}

/// A row of a server as the keeper leaves it, ready and not used since it was started.
pub async fn running(app: &App, user: &str, name: &str, since: Time) -> SpawnerId {
    let user = app.store.user(user).await.unwrap().unwrap();
    let id = app.store.create_server(user.id, name, None, None, since).await.unwrap().unwrap().id;
    app.store.want_running(id, None, &Value::Null, StartLimits::default(), since).await.unwrap();
    app.store.claim(id, "test", since, TimeDelta::seconds(30)).await.unwrap().unwrap();
    let identifier = format!("jupyterhub-user-{}-{name}", user.name);
    let client = OAuthClient {
        identifier: identifier.clone(),
        description: format!("Server at /user/{}/{name}", user.name),
        secret: Secret::new("hash"),
        redirect_uri: "/user/x/oauth_callback".to_owned(),
        allowed_scopes: Vec::new(),
    };
    let token = NewToken {
        owner: TokenOwner::User(user.id),
        hashed: Secret::new(format!("sha512:1:5a17:{id}")),
        prefix: "abcd".to_owned(),
        client_id: identifier,
        session_id: None,
        note: "a note".to_owned(),
        scopes: Vec::new(),
        expires_at: None,
        now: since,
    };
    let driver = "local".to_owned();
    let (told, now) = (Vec::new(), since);
    let prepared = Prepared { token, client, driver, deadline_at: since, keep_state: false, place: None, told, now };
    let generation = app.store.prepare(id, "test", &prepared).await.unwrap().unwrap().generation;
    let (proto, ip) = ("http".to_owned(), "127.0.0.1".to_owned());
    let address = Address { proto, ip, port: 1, base_url: String::new(), cookie_name: String::new() };
    let arrived = Arrived { address, state: None, deadline_at: since };
    let step = Step { holder: "test", generation, lease: TimeDelta::seconds(15), told: Vec::new(), now: since };
    assert!(app.store.arrive(id, &arrived, &step).await.unwrap().is_some());
    for phase in [Phase::Routing, Phase::Ready] {
        assert!(app.store.advance(id, phase, None, &step).await.unwrap().is_some());
    }
    id
}
