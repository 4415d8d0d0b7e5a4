//! Volumes in the trash are found by their names, until they are taken out of it.

use crate::harness::{Database, at, both};
use hub_core::id::UserId;
use hub_store::TrashedVolume;

fn volume(volume: &str, entry: &str, end: Option<i64>) -> TrashedVolume {
    let (volume, entry) = (volume.to_owned(), entry.to_owned());
    let (user, user_id) = ("anna".to_owned(), end.map(|_| UserId(7)));
    TrashedVolume { volume, entry, user, user_id, deleted_at: at(1), remove_at: end.map(at) }
}

async fn a_volume_is_in_the_trash_until_it_is_taken_out(Database { store, .. }: Database) {
    let (home, data) = (volume("home-anna", "first", Some(50)), volume("data-anna", "first", None));
    assert_eq!(store.trash_volumes(&[home.clone(), data.clone()]).await.unwrap(), ["home-anna", "data-anna"]);
    let second = [volume("home-anna", "second", None), volume("more-anna", "second", None)];
    assert_eq!(store.trash_volumes(&second).await.unwrap(), ["more-anna"]);
    assert!(store.forget_volume("more-anna").await.unwrap());
    assert_eq!(store.trashed_volumes().await.unwrap(), [data.clone(), home.clone()], "the first entry keeps it");
    let entry = async |volumes: &[&str]| {
        let volumes: Vec<String> = volumes.iter().map(|volume| (*volume).to_owned()).collect();
        store.trash_entry_of(&volumes).await.unwrap()
    };
    assert_eq!(entry(&["home-bob", "home-anna"]).await.as_deref(), Some("first"));
    assert_eq!((entry(&["home-bob"]).await, entry(&[]).await), (None, None));
    assert!(store.forget_volume("data-anna").await.unwrap());
    assert!(!store.forget_volume("data-anna").await.unwrap());
    assert_eq!(store.restore_volumes("second").await.unwrap(), 0);
    assert_eq!(store.restore_volumes("first").await.unwrap(), 1);
    assert_eq!(store.trashed_volumes().await.unwrap(), []);
}

async fn what_was_left_under_another_name_is_taken_up_again_or_gets_a_day(Database { store, .. }: Database) {
    let left = |name: &str, user: &str, user_id: i64| TrashedVolume {
        user: user.to_owned(),
        user_id: Some(UserId(user_id)),
        ..volume(name, name, None)
    };
    let all = [left("home-anna", "anna", 7), left("home-ann", "ann", 7), left("home-bob", "bob", 8)];
    store.trash_volumes(&all).await.unwrap();
    assert_eq!(store.restore_volumes_of(UserId(8), at(0), "anna").await.unwrap(), 0, "of another anna");
    assert_eq!(store.restore_volumes_of(UserId(7), at(2), "anna").await.unwrap(), 0, "of who had the number before");
    assert_eq!(store.restore_volumes_of(UserId(7), at(0), "anna").await.unwrap(), 1);
    store.end_trash_of(UserId(7), at(0), Some(at(20))).await.unwrap();
    store.end_trash_of(UserId(7), at(2), Some(at(90))).await.unwrap();
    // One who was to be deleted, and was not, is deleted later: the day is that of the last time.
    store.end_trash_of(UserId(7), at(0), Some(at(50))).await.unwrap();
    let days = store.trashed_volumes().await.unwrap().into_iter().map(|one| (one.volume, one.remove_at));
    let expected = [("home-ann".to_owned(), Some(at(50))), ("home-bob".to_owned(), None)];
    assert_eq!(days.collect::<Vec<_>>(), expected);
}

async fn volumes_are_noted_once_and_forgotten_with_their_person(Database { store, .. }: Database) {
    let anna = store.create_user("anna", false, "cookie", at(0)).await.unwrap().id;
    let note = async |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        store.note_volumes(anna, &names).await
    };
    note(&["home-anna", "data-anna"]).await.unwrap();
    note(&["home-anna", "home-anna", "more-anna"]).await.unwrap();
    note(&[]).await.unwrap();
    assert_eq!(store.volumes_of(anna).await.unwrap(), ["data-anna", "home-anna", "more-anna"]);
    assert!(store.volumes_of(UserId(99)).await.unwrap().is_empty());
    let bob = store.create_user("bob", false, "another cookie", at(0)).await.unwrap().id;
    assert!(store.is_volume_of_another(bob, "home-anna").await.unwrap());
    assert!(!store.is_volume_of_another(anna, "home-anna").await.unwrap());
    assert!(store.rename_user(anna, "ann").await.unwrap(), "what was noted is of the old name");
    assert!(store.volumes_of(anna).await.unwrap().is_empty());
    assert!(!store.is_volume_of_another(bob, "home-anna").await.unwrap());
    note(&["home-anna"]).await.unwrap();
    store.delete_user(anna).await.unwrap();
    assert!(store.volumes_of(anna).await.unwrap().is_empty());
    assert!(note(&["home-anna"]).await.is_err(), "of nobody");
}

both!(
    a_volume_is_in_the_trash_until_it_is_taken_out,
    what_was_left_under_another_name_is_taken_up_again_or_gets_a_day,
    volumes_are_noted_once_and_forgotten_with_their_person
);
