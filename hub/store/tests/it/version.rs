//! The version that tells whether a database changed.

use crate::harness::at;
use hub_store::{OpenOptions, Store};

#[tokio::test]
async fn the_version_stands_still_until_anybody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hub.sqlite");
    let store = Store::open(&format!("sqlite:///{}", file.display()), OpenOptions::new(at(0))).await.unwrap();
    store.set_meta("word", "one").await.unwrap();
    let before = store.version().unwrap();
    assert_eq!(store.meta("word").await.unwrap().as_deref(), Some("one"));
    assert_eq!(store.version(), Some(before), "reading changes nothing");

    store.set_meta("word", "two").await.unwrap();
    let own = store.version().unwrap();
    assert_ne!(own, before, "an own write is seen");

    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                  db.execute(\"UPDATE specola_meta SET value = 'three' WHERE name = 'word'\"); db.commit()";
    let other = std::process::Command::new("python3").args(["-c", script]).arg(&file).status().unwrap();
    assert!(other.success());
    assert_ne!(store.version(), Some(own), "another process's write is seen");
    assert_eq!(store.meta("word").await.unwrap().as_deref(), Some("three"));
    store.close().await;
}
