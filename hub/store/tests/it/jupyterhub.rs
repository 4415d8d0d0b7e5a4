//! The same databases in the hands of the real JupyterHub, both ways.

use crate::harness::{Database, at, both, options, server, user, want_running};
use hub_core::life::{Desired, Phase};
use hub_core::secret::Secret;
use hub_store::{NewCode, Store, TokenOwner};
use std::process::Command;

/// Runs a part of `exchange.py` in the interpreter that has JupyterHub. `None`, with a line that says so, where
/// there is none.
pub fn python(part: &str, url: &str) -> Option<serde_json::Value> {
    let Some(python) = std::env::var_os("SPECOLA_JUPYTERHUB_PYTHON") else {
        eprintln!("skipped: SPECOLA_JUPYTERHUB_PYTHON names no Python with JupyterHub 6.1");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/exchange.py");
    let output = Command::new(python).args([script, part, url]).output().expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{part} failed: {errors}");
    Some(serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{part}: {error}: {errors}")))
}

/// A database of the same kind without any table.
pub fn empty(database: &Database) -> String {
    match database.store.dialect() {
        "sqlite" => format!("sqlite:///{}", database.directory.path().join("theirs.sqlite").display()),
        _ => crate::postgres::new_database().unwrap(),
    }
}

async fn our_tables_are_those_of_jupyterhub(database: Database) {
    let theirs = empty(&database);
    if python("create", &theirs).is_none() {
        return;
    }
    let expected = python("inspect", &theirs).unwrap();
    let ours = python("inspect", &database.url).unwrap();
    let tables = expected.as_object().unwrap();
    assert_eq!(tables.len(), 16);
    for (table, description) in tables {
        assert_eq!(&ours[table], description, "{table}");
    }
    let others = ours.as_object().unwrap().keys().filter(|name| !tables.contains_key(*name));
    assert!(others.into_iter().all(|name| name.starts_with("specola_")));
}

async fn jupyterhub_reads_and_changes_what_we_wrote(database: Database) {
    let store = &database.store;
    let ann = store.create_user("ann", true, "cookie-of-ann", at(0)).await.unwrap();
    store.set_user_info(ann.id, &serde_json::json!({"mail": "ä"})).await.unwrap();
    user(store, "bea").await;
    let lab = server(store, ann.id, "").await.id;
    server(store, ann.id, "idle").await;
    want_running(store, lab).await;
    crate::servers::bring_up(store, lab).await;
    store.set_groups(ann.id, &["staff".to_owned()]).await.unwrap();
    let code = NewCode {
        code: Secret::new("c"),
        client_id: "jupyterhub".to_owned(),
        user_id: ann.id,
        redirect_uri: "/".to_owned(),
        session_id: "s".to_owned(),
        scopes: vec!["self".to_owned()],
        code_challenge: None,
        code_challenge_method: None,
    };
    store.insert_code(&code, at(0)).await.unwrap();
    store.close().await;
    let Some(read) = python("read", &database.url) else { return };
    let expected = serde_json::json!({
        "users": [
            ["ann", true, "2027-01-15T08:00:00.250000", ["admin", "user"], ["staff"], {"mail": "ä"}, 1],
            ["bea", false, "2027-01-15T08:00:00.250000", ["user"], [], null, 0],
        ],
        "servers": [["", "http://127.0.0.1:4000", "2027-01-15T08:00:02.250000", {"pid": 42}, "jupyterhub-user-ann-"]],
        "codes": [[hub_core::token::hash_code("c"), 1_800_000_300, ["self"]]],
        "clients": ["jupyterhub", "jupyterhub-user-ann-"],
    });
    assert_eq!(read, expected);
    let store = Store::open(&database.url, options()).await.unwrap();
    let stopped = store.server_by_id(lab).await.unwrap().unwrap();
    assert_eq!((stopped.phase, stopped.desired, stopped.address), (Phase::Stopped, Desired::Stopped, None));
    let tokens = store.tokens_of(TokenOwner::User(ann.id), at(0)).await.unwrap();
    assert_eq!(tokens.iter().map(|token| token.note.as_str()).collect::<Vec<_>>(), ["made by JupyterHub"]);
    assert!(store.user("bea").await.unwrap().is_none(), "JupyterHub deleted her");
}

async fn we_read_what_jupyterhub_wrote(database: Database) {
    let url = empty(&database);
    let Some(made) = python("create", &url) else { return };
    let store = Store::open(&url, options()).await.unwrap();
    let ann = store.user("ann").await.unwrap().unwrap();
    assert_eq!((ann.admin, &ann.user_info), (true, &serde_json::json!({"x": "ü"})));
    assert_eq!(ann.created.map(hub_core::clock::isoformat).as_deref(), made["created"].as_str());
    assert_eq!(store.auth_state(ann.id).await.unwrap().as_deref(), Some(&b"\x00secret\xff"[..]));
    assert_eq!(store.groups_of(ann.id).await.unwrap(), ["staff"]);
    let roles: Vec<_> = store.roles_of_user(ann.id).await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(roles, ["user", "admin", "via-group"]);
    let lab = store.server(ann.id, "lab").await.unwrap().unwrap();
    assert_eq!(
        (lab.phase, lab.desired, lab.url.as_deref()),
        (Phase::Ready, Desired::Running, Some("http://127.0.0.1:6000"))
    );
    assert_eq!(
        (lab.state, lab.user_options),
        (Some(serde_json::json!({"pid": 9})), Some(serde_json::json!({"image": "i"})))
    );
    let tokens = store.tokens_by_prefix("toke", at(0)).await.unwrap();
    assert_eq!((tokens.len(), tokens[0].scopes.as_slice()), (1, &["inherit".to_owned()][..]));
    assert_eq!(Some(tokens[0].hashed.expose()), made["hashed"].as_str());
    let service = store.service("cull").await.unwrap().unwrap();
    assert_eq!((service.spec.timeout, service.spec.command), (30, vec!["run".to_owned()]));
    store.close().await;
    let survived = python("survived", &url).unwrap();
    assert_eq!(survived, serde_json::json!({"users": ["ann"], "spawners": ["lab"], "running": 1, "token": true}));
}

both!(our_tables_are_those_of_jupyterhub, jupyterhub_reads_and_changes_what_we_wrote, we_read_what_jupyterhub_wrote,);
