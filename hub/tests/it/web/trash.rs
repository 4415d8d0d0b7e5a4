//! The trash, where a hub died while it deleted somebody: nothing of anybody who is still there is removed.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_store::{AuditQuery, TrashedVolume};
use specola::folders::{people, trash};

use super::house::House;

/// Folders of a machine, and volumes of an engine that cannot be asked.
async fn house() -> (House, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().display().to_string();
    let house = House::changed("", |settings| {
        let areas = "areas = [{ kind = \"private\", target = \"/home/jovyan\" }]";
        let docker = "docker = { image = \"lab:1\", host = \"unix:///no/such.sock\" }";
        let more = format!("[folders]\nroot = {place:?}\n{areas}\n[spawner]\ndriver = \"docker\"\n{docker}\n");
        settings.replace("[spawner]\n", &more)
    })
    .await;
    (house, root)
}

async fn since(house: &House, name: &str, created: Time) -> UserId {
    house.app().store.create_user(name, false, &format!("cookie of {name}"), created).await.unwrap().id
}

/// Puts the folder of somebody into the trash; its day was a day later.
fn put(root: &Path, name: &str, id: UserId, at: Time) -> String {
    let path = PathBuf::from("users").join(name);
    fs::create_dir_all(root.join(&path)).unwrap();
    fs::write(root.join(&path).join("diary"), name).unwrap();
    trash::put(root, &[path], (name, id), at, 1).unwrap().unwrap().name
}

async fn put_volume(house: &House, name: &str, user_id: UserId, entry: &str, at: Time) {
    let (volume, user) = (format!("home-{name}"), name.to_owned());
    let remove_at = Some(at + TimeDelta::days(1));
    let row =
        TrashedVolume { volume, entry: entry.to_owned(), user, user_id: Some(user_id), deleted_at: at, remove_at };
    house.app().store.trash_volumes(&[row]).await.unwrap();
}

#[actix_web::test]
async fn what_is_in_the_trash_of_who_was_not_deleted_is_given_back_and_never_removed() {
    let (house, folder) = house().await;
    let (app, root) = (house.app(), folder.path());
    let now = app.now();
    let (before, then, lately) = (now - TimeDelta::days(9), now - TimeDelta::days(2), now - TimeDelta::minutes(1));
    // Cut off between the trash and the account, with folders and volumes or with one of both.
    let carl = since(&house, "carl", before).await;
    let entry = put(root, "carl", carl, then);
    put_volume(&house, "carl", carl, &entry, then).await;
    let gina = since(&house, "gina", before).await;
    put_volume(&house, "gina", gina, "only-volumes", then).await;
    // Being deleted at this moment, perhaps by another hub.
    let dora = since(&house, "dora", before).await;
    let on_the_way = put(root, "dora", dora, lately);
    // Put away before it was noted whose it is.
    let emil = since(&house, "emil", before).await;
    let old = put(root, "emil", emil, then);
    let description = root.join("trash").join(&old).join("entry.json");
    let text = fs::read_to_string(&description).unwrap();
    fs::write(&description, text.replace(&format!("\"user_id\": {emil},"), "")).unwrap();
    // Given another name since.
    let renamed = put(root, "iwan", since(&house, "ivan", before).await, then);
    // Deleted, and somebody new has the name; or somebody who was there already was given it.
    put(root, "finn", UserId(900), then);
    put_volume(&house, "finn", UserId(900), "finn", then).await;
    since(&house, "finn", now).await;
    put(root, "hans", UserId(901), then);
    since(&house, "hans", before).await;

    for _ in 0..2 {
        people::empty_trash(&app).await;
        assert_eq!(fs::read_to_string(root.join("users/carl/diary")).unwrap(), "carl");
        let mut left: Vec<String> = trash::list(root).unwrap().into_iter().map(|entry| entry.name).collect();
        left.sort();
        let mut expected = vec![on_the_way.clone(), old.clone(), renamed.clone()];
        expected.sort();
        assert_eq!(left, expected, "and nothing else: those of finn and hans were due");
        let volumes = app.store.trashed_volumes().await.unwrap();
        let volumes: Vec<&str> = volumes.iter().map(|one| one.volume.as_str()).collect();
        assert_eq!(volumes, ["home-finn"], "which the engine still has");
        assert!(!root.join("users/emil").exists() && !root.join("users/dora").exists());
    }
    let acts = app.store.list_audit(&AuditQuery { limit: 100, ..AuditQuery::default() }).await.unwrap();
    let told = |action: &str, object: &str| {
        acts.items.iter().filter(|(_, act)| act.action == action && act.object == object).count()
    };
    assert_eq!((told("folders.restore", "user:carl"), told("folders.restore", "user:gina")), (2, 1));
    assert_eq!((told("folders.remove", "user:finn"), told("folders.remove", "user:emil")), (1, 0));
}

/// Who has begun anew with an empty home loses nothing either way.
#[actix_web::test]
async fn what_cannot_be_given_back_stays_in_the_trash() {
    let (house, folder) = house().await;
    let (app, root) = (house.app(), folder.path());
    let now = app.now();
    let carl = since(&house, "carl", now - TimeDelta::days(9)).await;
    let entry = put(root, "carl", carl, now - TimeDelta::days(2));
    fs::create_dir_all(root.join("users/carl")).unwrap();
    fs::write(root.join("users/carl/new"), "new").unwrap();
    people::empty_trash(&app).await;
    assert!(trash::has(root, &entry).unwrap());
    assert_eq!(fs::read_to_string(root.join("users/carl/new")).unwrap(), "new");
}
