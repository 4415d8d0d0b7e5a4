//! Nothing that a server wrote is lost.

use hub_core::id::SpawnerId;
use nix::sys::signal::Signal;
use spawner_mounts::State;
use spawners::Spawner;
use spawners::contract::eventually;

use crate::ground::{Ground, digest, is, possible};

/// Hazard H11: a server is removed while the write-back cache holds files.
#[tokio::test(flavor = "multi_thread")]
async fn h11_what_was_written_right_before_a_stop_is_in_the_store_though_helper_and_hub_were_killed() {
    if !possible() {
        return;
    }
    let mut ground = Ground::new();
    ground.config.args.push("--bwlimit=24M".into());
    let hub = ground.open();
    let lab = ground.start(&hub, &ground.plan(1, vec![ground.mount("anna")])).await;
    let written = ground.writes(&lab, "anna/big", 64);
    let under_way = |health: &[spawner_mounts::Health]| matches!(health[0].state, State::Uploading { files: 1 });
    ground.eventually_health(&hub, "the upload is under way", under_way).await;
    ground.kill_helpers();
    ground.ends(&hub, &lab).await;
    drop(hub);
    assert_eq!(ground.store.read("bucket-anna/big"), None, "otherwise this test shows nothing");
    let _next = ground.open();
    ground.is_clean().await;
    let stored = ground.store.read("bucket-anna/big").map(|bytes| digest(&bytes));
    assert_eq!(stored, Some(written));
}

/// rclone writes what it notes of a file in place, and throws the file away when it finds half a note.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_not_lost_whose_note_was_half_written_when_its_helper_was_killed() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let hub = ground.open();
    let lab = ground.start(&hub, &ground.plan(1, vec![ground.mount("anna")])).await;
    let mut written = Vec::new();
    for name in ["same", "other.txt"] {
        written.push((name, ground.writes(&lab, &format!("anna/{name}"), 1)));
    }
    let stored = |name: &str| ground.store.read(&format!("bucket-anna/{name}")).map(|bytes| digest(&bytes));
    eventually("both are in the store", || async {
        written.iter().all(|(name, digest)| stored(name).as_ref() == Some(digest))
    })
    .await;
    ground.eventually_health(&hub, "both are uploaded", is(&State::Ready)).await;
    written.push(("new", ground.writes(&lab, "anna/new", 2)));
    drop(hub);
    ground.kill_helpers();
    for (name, _) in &written {
        assert_eq!(ground.cut_notes(name), 1);
    }
    assert_eq!(stored("new"), None, "otherwise this test shows nothing");
    ground.store.write("bucket-anna/other.txt", "of somebody else");
    let hub = ground.open();
    ground.ends(&hub, &lab).await;
    // That of a server which ended unnoticed is looked for at the start, and only now and then after it.
    drop(hub);
    let _next = ground.open();
    ground.is_clean().await;
    assert_eq!(stored("new").as_ref(), Some(&written[2].1));
    assert_eq!(stored("same").as_ref(), Some(&written[0].1));
    // What somebody else has written since is not lost either.
    assert_eq!(ground.store.read("bucket-anna/other.txt").as_deref(), Some(b"of somebody else".as_slice()));
    let all = ground.store.list("bucket-anna");
    let [aside] = all.iter().filter(|name| name.contains(".recovered-")).collect::<Vec<_>>()[..] else {
        panic!("{all:?}")
    };
    assert!(aside.starts_with("other.recovered-") && aside.ends_with(".txt"), "{aside}");
    assert_eq!(stored(aside).as_ref(), Some(&written[1].1));
    assert_eq!(all.len(), 4, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_do_not_end_in_time_are_kept_for_the_next_start_and_told() {
    if !possible() {
        return;
    }
    let mut ground = Ground::new();
    ground.config.drain_timeout = std::time::Duration::from_secs(600);
    let hub = ground.open();
    let lab = ground.start(&hub, &ground.plan(1, vec![ground.mount("anna")])).await;
    ground.says(&lab, &format!("ls {}", ground.path("anna").display()));
    ground.store.signal(Signal::SIGSTOP);
    let written = ground.writes(&lab, "anna/late", 1);
    ground.ends(&hub, &lab).await;
    ground.eventually_health(&hub, "uploads go on", is(&State::Draining { files: 1 })).await;
    ground.clock.move_on(601);
    ground.eventually_health(&hub, "it is told", is(&State::Kept { files: 1, bytes: 1 << 20 })).await;
    eventually("helper and folder are gone", || async { ground.helpers().is_empty() && ground.mounted().is_empty() })
        .await;
    // So it is after a restart of the hub, too.
    drop(hub);
    let hub = ground.open();
    ground.eventually_health(&hub, "it is told", is(&State::Kept { files: 1, bytes: 1 << 20 })).await;
    ground.store.signal(Signal::SIGCONT);
    let lab = ground.start(&hub, &ground.plan(2, vec![ground.mount("anna")])).await;
    let seen = ground.says(&lab, &format!("sha256sum {}", ground.path("anna/late").display()));
    assert_eq!(seen.split(' ').next(), Some(written.as_str()), "the person finds it at once");
    eventually("it is in the bucket", || async {
        ground.store.read("bucket-anna/late").map(|bytes| digest(&bytes)).as_ref() == Some(&written)
    })
    .await;
    ground.ends(&hub, &lab).await;
    ground.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_started_while_uploads_go_on_goes_on_with_them() {
    if !possible() {
        return;
    }
    let mut ground = Ground::new();
    ground.config.args.push("--bwlimit=8M".into());
    let hub = ground.open();
    let lab = ground.start(&hub, &ground.plan(1, vec![ground.mount("anna")])).await;
    let written = ground.writes(&lab, "anna/big", 24);
    ground.ends(&hub, &lab).await;
    let helpers = ground.helpers();
    let lab = ground.start(&hub, &ground.plan(2, vec![ground.mount("anna")])).await;
    assert_eq!(ground.helpers(), helpers, "the same helper");
    eventually("it is in the bucket", || async {
        ground.store.read("bucket-anna/big").map(|bytes| digest(&bytes)).as_ref() == Some(&written)
    })
    .await;
    ground.eventually_health(&hub, "all is uploaded", is(&State::Ready)).await;
    ground.ends(&hub, &lab).await;
    ground.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_server_wrote_is_uploaded_and_nothing_of_it_is_left() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let hub = ground.open();
    let lab = ground.start(&hub, &ground.plan(1, vec![ground.mount("anna")])).await;
    let written = ground.writes(&lab, "anna/last", 8);
    ground.ends(&hub, &lab).await;
    hub.mounted.forget(&lab.identity, &lab.started.state).await.unwrap();
    ground.is_clean().await;
    assert_eq!(ground.store.read("bucket-anna/last").map(|bytes| digest(&bytes)), Some(written));
    assert_eq!(hub.mounted.health(SpawnerId(1)), []);
}
