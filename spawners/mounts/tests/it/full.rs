//! There is no room left for what is on its way to the store.

use std::fs;
use std::io::Write;
use std::path::Path;

use spawner_mounts::State;
use spawners::StartError;
use spawners::contract::eventually;

use crate::ground::{Ground, digest, is, possible};

/// Writes a file until the disk is full.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    let piece = vec![0; 64 << 10];
    let full = loop {
        if let Err(error) = file.write_all(&piece) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_to_who_writes_and_on_the_home_page_and_goes_on_when_there_is_room() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    ground.small_disk(24);
    let hub = ground.open();
    let lab = ground.start(&hub, &ground.plan(1, vec![ground.mount("anna")])).await;
    let small = ground.writes(&lab, "anna/small", 2);
    ground.eventually_health(&hub, "it is uploaded", is(&State::Ready)).await;
    let line = format!("head -c 64M /dev/urandom > {}", ground.path("anna/large").display());
    let output = ground.shell(&lab, &line);
    assert!(!output.status.success(), "who writes is told: {output:?}");
    let full = |health: &[spawner_mounts::Health]| matches!(health[0].state, State::Full { .. });
    ground.eventually_health(&hub, "it is told", full).await;
    assert_eq!(ground.store.read("bucket-anna/small").map(|bytes| digest(&bytes)).as_ref(), Some(&small));

    ground.says(&lab, &format!("rm {}", ground.path("anna/large").display()));
    ground.eventually_health(&hub, "there is room", is(&State::Ready)).await;
    let next = ground.writes(&lab, "anna/next", 2);
    eventually("what is written then gets there", || async {
        ground.store.read("bucket-anna/next").map(|bytes| digest(&bytes)).as_ref() == Some(&next)
    })
    .await;
    ground.ends(&hub, &lab).await;
    ground.is_clean().await;
    // What was taken away while it was on its way may have arrived.
    let kept: Vec<String> = ground.store.list("bucket-anna").into_iter().filter(|name| name != "large").collect();
    assert_eq!(kept, ["next", "small"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_on_a_full_disk_and_nothing_of_it_is_left() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    ground.small_disk(8);
    let hub = ground.open();
    let filled = ground.config.cache_dir.join("filled");
    fill(&filled);
    let plan = |generation| ground.plan(generation, vec![ground.mount("anna")]);
    let outcome = ground.try_start(&hub, &plan(1)).await;
    let Err(StartError::Failed { code: "disk_full", sentence, .. }) = &outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains("The disk for what is on its way to the store is full"), "{sentence}");
    fs::remove_file(&filled).unwrap();
    ground.is_clean().await;

    // The same where the last server of it had left something.
    let lab = ground.start(&hub, &plan(2)).await;
    ground.ends(&hub, &lab).await;
    ground.is_clean().await;
}
