//! The life of a server in its rows: up, down, and who may write.

use crate::harness::{Database, at, both, new_token, server, user, want_running};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::{Desired, Phase};
use hub_core::secret::Secret;
use hub_store::{
    Address, Arrived, MemoryFull, NewToken, OAuthClient, Prepared, Server, StartPlace, Step, Store, TokenOwner,
    WantStopped,
};
use serde_json::json;

const HOLDER: &str = "hub-1";

pub fn prepared(server: &Server, attempt: &str) -> Prepared {
    let identifier = format!("jupyterhub-user-{}-{}", server.user_name, server.name);
    let token = new_token(TokenOwner::User(server.user_id), &format!("{}{attempt}", server.id));
    Prepared {
        token: NewToken { client_id: identifier.clone(), ..token },
        client: OAuthClient {
            identifier,
            description: "Server at /user/ann/".into(),
            secret: Secret::new("hash"),
            redirect_uri: "/user/ann/oauth_callback".into(),
            allowed_scopes: vec![],
        },
        driver: "local".into(),
        deadline_at: at(60),
        keep_state: false,
        place: None,
        told: Vec::new(),
        now: at(2),
    }
}

pub fn arrived(port: u16) -> Arrived {
    let address = Address {
        proto: "http".into(),
        ip: "127.0.0.1".into(),
        port,
        base_url: "/user/ann/".into(),
        cookie_name: "cookie".into(),
    };
    Arrived { address, state: Some(json!({"pid": 42})), deadline_at: at(90) }
}

/// A step that is not told of.
pub fn step(holder: &str, generation: Generation, now: Time) -> Step<'_> {
    Step { holder, generation, lease: TimeDelta::seconds(30), told: Vec::new(), now }
}

/// Takes a wanted server the whole way to ready; its lease is released.
pub async fn bring_up(store: &Store, id: SpawnerId) -> Server {
    let server = store.claim(id, HOLDER, at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    let server = store.prepare(id, HOLDER, &prepared(&server, "")).await.unwrap().unwrap();
    let generation = server.generation;
    let by = |seconds| step(HOLDER, generation, at(seconds));
    assert!(store.arrive(id, &arrived(4000), &by(3)).await.unwrap().is_some());
    assert!(store.advance(id, Phase::Routing, Some(at(99)), &by(4)).await.unwrap().is_some());
    assert!(store.advance(id, Phase::Ready, None, &by(5)).await.unwrap().is_some());
    assert!(store.release(id, HOLDER, None).await.unwrap());
    store.server_by_id(id).await.unwrap().unwrap()
}

/// Takes a wanted server to its end by a failure.
pub async fn fail(store: &Store, id: SpawnerId) {
    let server = store.claim(id, HOLDER, at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    let generation = store.prepare(id, HOLDER, &prepared(&server, "")).await.unwrap().unwrap().generation;
    let failure = json!({"message": "It ended before it was ready."});
    assert!(store.fail(id, HOLDER, generation, &failure, at(3)).await.unwrap());
    assert!(store.begin_stop(id, HOLDER, generation, at(90), at(4)).await.unwrap());
    assert!(store.finish(id, HOLDER, generation, None, at(5)).await.unwrap());
}

async fn a_server_is_made_once_and_found(Database { store, .. }: Database) {
    let (ann, bea) = (user(&store, "ann").await.id, user(&store, "bea").await.id);
    let lab = server(&store, ann, "").await;
    let options = json!({"image": "x"});
    let gpu = store.create_server(ann, "gpu", Some("My GPU"), Some(&options), at(0)).await.unwrap().unwrap();
    let again = store.create_server(ann, "gpu", None, None, at(9)).await.unwrap().unwrap();
    assert_eq!(again, gpu, "the first one stays as it is");
    assert_eq!((gpu.display_name.as_deref(), gpu.user_options.as_ref()), (Some("My GPU"), Some(&options)));
    assert_eq!((lab.phase, lab.desired, lab.generation), (Phase::Stopped, Desired::Stopped, Generation(0)));
    assert_eq!((lab.user_name.as_str(), lab.name.as_str(), &lab.address), ("ann", "", &None));
    assert_eq!(store.server(ann, "").await.unwrap().as_ref(), Some(&lab));
    assert_eq!(store.server(bea, "").await.unwrap(), None);
    assert_eq!(store.server_by_id(gpu.id).await.unwrap().as_ref(), Some(&gpu));
    assert_eq!(store.servers_of(&[bea, ann]).await.unwrap(), [lab, gpu]);
    assert_eq!(store.create_server(hub_core::id::UserId(999), "", None, None, at(0)).await.unwrap(), None);
}

async fn of_many_who_make_a_server_at_once_all_get_the_same(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.create_server(ann, "x", None, None, at(0)).await.unwrap().unwrap().id })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.servers_of(&[ann]).await.unwrap().len(), 1);
}

async fn names_and_options_can_be_changed_and_a_stopped_server_deleted(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "x").await.id;
    assert!(store.set_server_display_name(lab, Some("X")).await.unwrap());
    assert!(store.set_server_options(lab, Some(&json!({"a": 1}))).await.unwrap());
    let changed = store.server_by_id(lab).await.unwrap().unwrap();
    assert_eq!((changed.display_name.as_deref(), changed.user_options), (Some("X"), Some(json!({"a": 1}))));
    want_running(&store, lab).await;
    assert!(!store.delete_server(lab).await.unwrap(), "it is wanted");
    store.want_stopped(lab, at(2)).await.unwrap();
    assert!(store.delete_server(lab).await.unwrap());
    assert!(!store.delete_server(lab).await.unwrap());
    assert_eq!(store.server_by_id(lab).await.unwrap(), None);
}

async fn a_server_at_rest_can_be_renamed_to_a_free_name(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let (a, b) = (server(&store, ann, "a").await.id, server(&store, ann, "b").await.id);
    assert!(!store.rename_server(a, "b").await.unwrap());
    assert!(store.rename_server(a, "c").await.unwrap());
    assert_eq!(store.server(ann, "c").await.unwrap().unwrap().id, a);
    want_running(&store, b).await;
    assert!(!store.rename_server(b, "d").await.unwrap(), "it is wanted");
    assert!(!store.rename_server(SpawnerId(999), "d").await.unwrap());
}

async fn a_full_memory_is_noted_for_the_run_it_was_in(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    let full = |seconds| MemoryFull { at: at(seconds), limit: Some(4 << 30) };
    let noted = async || store.server_by_id(lab).await.unwrap().unwrap().memory_full;
    assert!(!store.note_memory_full(lab, Generation(0), &full(1)).await.unwrap(), "it does not run");
    want_running(&store, lab).await;
    bring_up(&store, lab).await;
    assert!(!store.note_memory_full(lab, Generation(0), &full(6)).await.unwrap(), "that run is over");
    assert_eq!(noted().await, None);
    assert!(store.note_memory_full(lab, Generation(1), &full(7)).await.unwrap());
    assert!(!store.note_memory_full(lab, Generation(1), &full(7)).await.unwrap(), "it is known");
    assert!(!store.note_memory_full(lab, Generation(1), &full(6)).await.unwrap(), "a later one is known");
    assert_eq!(noted().await, Some(full(7)));
    let unlimited = MemoryFull { at: at(8), limit: None };
    assert!(store.note_memory_full(lab, Generation(1), &unlimited).await.unwrap());
    assert_eq!(noted().await, Some(unlimited));
    // The next run knows nothing of it.
    store.want_stopped(lab, at(9)).await.unwrap();
    store.claim(lab, HOLDER, at(9), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert!(store.begin_stop(lab, HOLDER, Generation(1), at(90), at(9)).await.unwrap());
    assert!(store.finish(lab, HOLDER, Generation(1), None, at(9)).await.unwrap());
    assert!(store.release(lab, HOLDER, None).await.unwrap());
    want_running(&store, lab).await;
    bring_up(&store, lab).await;
    assert_eq!(noted().await, None);
}

async fn a_server_goes_up_with_token_client_and_address(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    want_running(&store, lab).await;
    assert_eq!(store.active_servers().await.unwrap().len(), 1, "active from the wish on");
    let up = bring_up(&store, lab).await;
    assert_eq!((up.phase, up.desired, up.generation), (Phase::Ready, Desired::Running, Generation(1)));
    assert_eq!((up.started, up.last_activity, up.deadline_at), (Some(at(2)), Some(at(2)), None));
    assert_eq!((up.driver.as_deref(), up.plan, up.state), (Some("local"), Some(json!({})), Some(json!({"pid": 42}))));
    assert_eq!((up.url.as_deref(), up.address), (Some("http://127.0.0.1:4000"), Some(arrived(4000).address)));
    assert_eq!(up.oauth_client_id.as_deref(), Some("jupyterhub-user-ann-"));
    assert_eq!(store.server_by_client("jupyterhub-user-ann-").await.unwrap().unwrap().id, lab);
    let token = store.server_token(lab).await.unwrap().unwrap();
    assert_eq!(store.token(token).await.unwrap().unwrap().owner, TokenOwner::User(ann));
    assert!(!store.delete_server(lab).await.unwrap());
}

async fn nothing_is_left_of_a_server_that_went_down(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    want_running(&store, lab).await;
    bring_up(&store, lab).await;
    let token = store.server_token(lab).await.unwrap().unwrap();
    assert_eq!(store.want_stopped(lab, at(10)).await.unwrap(), WantStopped::Accepted);
    let one = Generation(1);
    assert!(!store.begin_stop(lab, HOLDER, one, at(40), at(11)).await.unwrap(), "nobody holds it");
    store.claim(lab, HOLDER, at(11), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert!(!store.finish(lab, HOLDER, one, None, at(12)).await.unwrap(), "it has not begun to stop");
    assert!(store.begin_stop(lab, HOLDER, one, at(40), at(12)).await.unwrap());
    assert_eq!(store.want_stopped(lab, at(12)).await.unwrap(), WantStopped::AlreadyStopping);
    assert!(store.finish(lab, HOLDER, one, None, at(13)).await.unwrap());
    let down = store.server_by_id(lab).await.unwrap().unwrap();
    assert_eq!((down.phase, down.desired, down.generation), (Phase::Stopped, Desired::Stopped, one));
    assert_eq!((down.address, down.url, down.started, down.oauth_client_id), (None, None, None, None));
    assert_eq!((down.state, down.last_activity), (Some(json!({})), Some(at(13))));
    assert!(store.token(token).await.unwrap().is_none());
    assert!(store.oauth_client("jupyterhub-user-ann-").await.unwrap().is_none());
    assert_eq!(store.active_servers().await.unwrap(), []);
}

async fn a_start_that_was_lost_begins_again_with_another_token(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    want_running(&store, lab).await;
    let server = store.claim(lab, HOLDER, at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    store.prepare(lab, HOLDER, &prepared(&server, "first")).await.unwrap().unwrap();
    assert!(store.save_state(lab, Generation(1), &json!({"kept": 1})).await.unwrap());
    let again = Prepared { keep_state: true, ..prepared(&server, "second") };
    let second = store.prepare(lab, HOLDER, &again).await.unwrap().unwrap();
    assert_eq!((second.generation, second.state), (Generation(2), Some(json!({"kept": 1}))));
    // Not by the id of the first token: SQLite gives it to the second.
    let tokens = store.tokens_of(TokenOwner::User(ann), at(3)).await.unwrap();
    assert_eq!(tokens.len(), 1, "the first token is revoked");
    assert!(tokens[0].hashed.expose().ends_with("second"));
    assert!(!store.save_state(lab, Generation(1), &json!({})).await.unwrap(), "the first attempt is too late");
}

async fn the_name_of_its_claim_is_left_to_a_server(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    want_running(&store, lab).await;
    bring_up(&store, lab).await;
    let state = json!({"pod_name": "jupyter-ann", "namespace": "labs", "pvc_name": "home-of-ann"});
    let left = Some(json!({"pvc_name": "home-of-ann"}));
    assert!(store.save_state(lab, Generation(1), &state).await.unwrap());
    store.want_stopped(lab, at(10)).await.unwrap();
    store.claim(lab, HOLDER, at(11), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert!(store.begin_stop(lab, HOLDER, Generation(1), at(40), at(12)).await.unwrap());
    assert!(store.finish(lab, HOLDER, Generation(1), None, at(13)).await.unwrap());
    let down = store.server_by_id(lab).await.unwrap().unwrap();
    assert_eq!(down.state, left);
    // Also where JupyterHub has left all of it.
    assert!(store.save_state(lab, Generation(1), &state).await.unwrap());
    store.release(lab, HOLDER, None).await.unwrap();
    want_running(&store, lab).await;
    store.claim(lab, HOLDER, at(14), TimeDelta::seconds(30)).await.unwrap().unwrap();
    let up = store.prepare(lab, HOLDER, &prepared(&down, "again")).await.unwrap().unwrap();
    assert_eq!(up.state, left);
    assert_eq!(up.user_created, Some(at(0)));
}

async fn a_start_tells_its_site_at_once_and_takes_no_claim_of_another_along(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    for (generation, before, (site, is_first), after) in [
        (1, json!({}), ("bari", false), json!({"site": "bari"})),
        (2, json!({"pvc_name": "a", "pod_name": "p"}), ("cnaf", true), json!({"pvc_name": "a", "site": "cnaf"})),
        (3, json!({"pvc_name": "a"}), ("bari", false), json!({"site": "bari"})),
        (4, json!({"pvc_name": "a", "site": "bari"}), ("bari", false), json!({"pvc_name": "a", "site": "bari"})),
        (5, json!({"pvc_name": "a", "site": "bari"}), ("cnaf", true), json!({"site": "cnaf"})),
    ] {
        let generation = Generation(generation);
        assert!(store.save_state(lab, Generation(generation.0 - 1), &before).await.unwrap() || generation.0 == 1);
        want_running(&store, lab).await;
        let down = store.claim(lab, HOLDER, at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
        let place = Some(StartPlace { site: site.to_owned(), is_first });
        let attempt = generation.to_string();
        let up = Prepared { place, ..prepared(&down, &attempt) };
        let up = store.prepare(lab, HOLDER, &up).await.unwrap().unwrap();
        assert_eq!((up.generation, up.state), (generation, Some(after.clone())), "{before}");
        // The claim and its site stay together.
        store.want_stopped(lab, at(10)).await.unwrap();
        assert!(store.begin_stop(lab, HOLDER, generation, at(40), at(12)).await.unwrap());
        assert!(store.finish(lab, HOLDER, generation, None, at(13)).await.unwrap());
        let left = if after.get("pvc_name").is_some() { after } else { json!({}) };
        assert_eq!(store.server_by_id(lab).await.unwrap().unwrap().state, Some(left));
        store.release(lab, HOLDER, None).await.unwrap();
    }
}

async fn only_a_start_under_way_is_given_more_time(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    want_running(&store, lab).await;
    let server = store.claim(lab, HOLDER, at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    store.prepare(lab, HOLDER, &prepared(&server, "")).await.unwrap().unwrap();
    assert!(!store.put_off(lab, Generation(0), at(900), at(5)).await.unwrap(), "an older start is over");
    assert!(store.put_off(lab, Generation(1), at(900), at(5)).await.unwrap());
    assert_eq!(store.server_by_id(lab).await.unwrap().unwrap().deadline_at, Some(at(900)));
    assert!(store.arrive(lab, &arrived(1), &step(HOLDER, Generation(1), at(3))).await.unwrap().is_some());
    assert!(!store.put_off(lab, Generation(1), at(990), at(5)).await.unwrap(), "it has started");
    // A deadline that nobody could attend begins anew for whatever is on its way up, and for nothing else.
    assert!(store.begin_deadline_anew(lab, Generation(1), at(990), at(6)).await.unwrap());
    assert!(!store.begin_deadline_anew(lab, Generation(0), at(991), at(6)).await.unwrap());
    assert_eq!(store.server_by_id(lab).await.unwrap().unwrap().deadline_at, Some(at(990)));
    assert!(store.begin_stop(lab, HOLDER, Generation(1), at(20), at(9)).await.unwrap());
    assert!(!store.begin_deadline_anew(lab, Generation(1), at(999), at(9)).await.unwrap(), "it stops");
}

async fn who_comes_late_or_holds_no_lease_changes_nothing(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    want_running(&store, lab).await;
    let server = store.claim(lab, HOLDER, at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert_eq!(store.prepare(lab, "hub-2", &prepared(&server, "")).await.unwrap(), None);
    store.prepare(lab, HOLDER, &prepared(&server, "")).await.unwrap().unwrap();
    let before = store.server_by_id(lab).await.unwrap().unwrap();
    for (holder, generation) in [("hub-2", Generation(1)), (HOLDER, Generation(0)), (HOLDER, Generation(2))] {
        let late = step(holder, generation, at(9));
        assert_eq!(store.arrive(lab, &arrived(1), &late).await.unwrap(), None);
        assert_eq!(store.advance(lab, Phase::Ready, None, &late).await.unwrap(), None);
        assert!(!store.fail(lab, holder, generation, &json!("x"), at(9)).await.unwrap());
        assert!(!store.begin_stop(lab, holder, generation, at(9), at(9)).await.unwrap());
        assert!(!store.finish(lab, holder, generation, None, at(9)).await.unwrap());
        assert_eq!(store.renew(lab, holder, generation, at(69), TimeDelta::seconds(30)).await.unwrap(), None);
    }
    assert_eq!(store.server_by_id(lab).await.unwrap().unwrap(), before);
    let skipped = store.advance(lab, Phase::Ready, None, &step(HOLDER, Generation(1), at(9))).await.unwrap();
    assert_eq!(skipped, None, "a server without an address cannot be ready");
}

async fn a_failure_is_recorded_unless_a_stop_was_asked_for(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let lab = server(&store, ann, "").await.id;
    want_running(&store, lab).await;
    let server = store.claim(lab, HOLDER, at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    store.prepare(lab, HOLDER, &prepared(&server, "")).await.unwrap().unwrap();
    let failure = json!({"cause": "died", "status": 1});
    assert!(store.fail(lab, HOLDER, Generation(1), &failure, at(9)).await.unwrap());
    assert!(!store.fail(lab, HOLDER, Generation(1), &json!("another"), at(9)).await.unwrap());
    let failed = store.server_by_id(lab).await.unwrap().unwrap();
    assert_eq!((failed.desired, failed.failure.as_ref()), (Desired::Stopped, Some(&failure)));
    assert!(store.begin_stop(lab, HOLDER, Generation(1), at(20), at(9)).await.unwrap());
    assert!(store.finish(lab, HOLDER, Generation(1), None, at(10)).await.unwrap());
    let stopped = store.server_by_id(lab).await.unwrap().unwrap();
    assert_eq!(stopped.failure, Some(failure), "people can still read why");
    want_running(&store, lab).await;
    assert_eq!(store.server_by_id(lab).await.unwrap().unwrap().failure, None);
}

async fn activity_of_servers_is_activity_of_their_users_and_moves_forward(Database { store, .. }: Database) {
    let ann = user(&store, "ann").await.id;
    let (a, b) = (server(&store, ann, "").await.id, server(&store, ann, "b").await.id);
    store.touch_servers(&[(b, at(70)), (a, at(50)), (SpawnerId(999), at(90)), (a, at(40))]).await.unwrap();
    store.touch_server(b, at(60)).await.unwrap();
    let seen = async |id| store.server_by_id(id).await.unwrap().unwrap().last_activity;
    assert_eq!((seen(a).await, seen(b).await), (Some(at(50)), Some(at(70))));
    assert_eq!(store.user_by_id(ann).await.unwrap().unwrap().last_activity, Some(at(70)));
}

both!(
    a_server_is_made_once_and_found,
    of_many_who_make_a_server_at_once_all_get_the_same,
    names_and_options_can_be_changed_and_a_stopped_server_deleted,
    a_server_at_rest_can_be_renamed_to_a_free_name,
    a_full_memory_is_noted_for_the_run_it_was_in,
    a_server_goes_up_with_token_client_and_address,
    nothing_is_left_of_a_server_that_went_down,
    a_start_that_was_lost_begins_again_with_another_token,
    the_name_of_its_claim_is_left_to_a_server,
    a_start_tells_its_site_at_once_and_takes_no_claim_of_another_along,
    only_a_start_under_way_is_given_more_time,
    who_comes_late_or_holds_no_lease_changes_nothing,
    a_failure_is_recorded_unless_a_stop_was_asked_for,
    activity_of_servers_is_activity_of_their_users_and_moves_forward,
);
