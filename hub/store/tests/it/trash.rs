//! Volumes in the trash are found by their names, until they are taken out of it.

use crate::harness::{Database, at, both};
use hub_store::TrashedVolume;

fn volume(volume: &str, entry: &str, end: Option<i64>) -> TrashedVolume {
    let (volume, entry) = (volume.to_owned(), entry.to_owned());
    TrashedVolume { volume, entry, user: "anna".to_owned(), deleted_at: at(1), remove_at: end.map(at) }
}

async fn a_volume_is_in_the_trash_until_it_is_taken_out(Database { store, .. }: Database) {
    let (home, data) = (volume("home-anna", "first", Some(50)), volume("data-anna", "first", None));
    store.trash_volumes(&[home.clone(), data.clone()]).await.unwrap();
    store.trash_volumes(&[volume("home-anna", "second", None)]).await.unwrap();
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

both!(a_volume_is_in_the_trash_until_it_is_taken_out);
