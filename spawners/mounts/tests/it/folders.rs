//! What servers see, and how folders come back.

use std::process::Command;
use std::sync::atomic::Ordering;

use hub_core::id::SpawnerId;
use nix::sys::signal::Signal;
use spawner_mounts::State;
use spawners::contract::eventually;
use spawners::{Spawner, StartError};

use crate::ground::{Ground, digest, is, possible};

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_folders_of_an_unprivileged_server() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    ground.store.write("bucket-scratch/bob/data", "of bob");
    let driver = ground.open();
    let mut scratch = ground.mount("scratch");
    scratch.read_only = true;
    let lab = ground.start(&driver, &ground.plan(1, vec![ground.mount("anna"), scratch])).await;
    assert_ne!(ground.says(&lab, "id -u"), "0");
    assert_eq!(ground.says(&lab, &format!("ls {}", ground.config.target.display())), "anna\nscratch");
    assert_eq!(ground.says(&lab, &format!("cat {}", ground.path("scratch/bob/data").display())), "of bob");
    ground.says(&lab, &format!("echo mine > {}", ground.path("anna/notes").display()));
    eventually("it is in the bucket", || async { ground.store.read("bucket-anna/notes") == Some(b"mine\n".to_vec()) })
        .await;
    for denied in ["scratch/mine", "beside"] {
        let output = ground.shell(&lab, &format!("echo x > {}", ground.path(denied).display()));
        assert!(!output.status.success(), "{denied}: what is written there would go nowhere");
    }
    // Other people of this machine get nowhere near it, and do not even see where it is.
    let seen = ground.mounted();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let nobody = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "ls"];
    assert!(!Command::new("setpriv").args(nobody).arg(&seen[0]).output().unwrap().status.success());
    assert_eq!(std::fs::read_dir(&ground.config.target).unwrap().count(), 0, "it is in the server's view alone");
    ground.ends(&driver, &lab).await;
    ground.is_clean().await;
    assert_eq!(driver.mounted.health(SpawnerId(1)), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_dies_is_replaced_and_the_server_sees_the_folder_again() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    ground.store.write("bucket-anna/data", "of anna");
    let driver = ground.open();
    let lab = ground.start(&driver, &ground.plan(1, vec![ground.mount("anna")])).await;
    let before = ground.helpers();
    ground.kill_helpers();
    let read = format!("cat {}", ground.path("anna/data").display());
    eventually("the folder is back", || async { ground.shell(&lab, &read).stdout == b"of anna" }).await;
    assert_ne!(ground.helpers(), before);
    assert_eq!(ground.mounted().len(), 1, "the dead one is gone");
    ground.eventually_health(&driver, "it is well", is(&State::Ready)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn helpers_outlive_the_hub_and_the_next_one_adopts_them() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let plan = ground.plan(1, vec![ground.mount("anna")]);
    let first = ground.open();
    let lab = ground.start(&first, &plan).await;
    let before = ground.helpers();
    drop(first);
    let second = ground.open();
    ground.eventually_health(&second, "the next hub sees it", is(&State::Ready)).await;
    assert_eq!(ground.helpers(), before, "the same process");
    ground.says(&lab, &format!("echo mine > {}", ground.path("anna/notes").display()));
    // Also where a start is repeated, as after a crash in the middle of it.
    ground.start(&second, &plan).await;
    assert_eq!(ground.helpers(), before);
    ground.ends(&second, &lab).await;
    ground.is_clean().await;
    assert_eq!(ground.store.read("bucket-anna/notes"), Some(b"mine\n".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_mounted_keeps_no_server_from_starting_unless_it_has_to_be_there() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    ground.store.write("bucket-anna/data", "of anna");
    *ground.purse.refusal.lock().unwrap() = Some("Sign in again.".into());
    let driver = ground.open();
    let required = ground.mount("anna");
    let outcome = ground.try_start(&driver, &ground.plan(1, vec![required.clone()])).await;
    let Err(StartError::Failed { code: "no_folder", sentence, .. }) = &outcome else { panic!("{outcome:?}") };
    assert!(sentence.ends_with("Sign in again."), "{sentence}");
    let mut wished = required;
    wished.required = false;
    let lab = ground.start(&driver, &ground.plan(2, vec![wished])).await;
    ground.eventually_health(&driver, "why", is(&State::Broken { reason: "Sign in again.".into() })).await;
    // The person signs in: it comes without a new start.
    *ground.purse.refusal.lock().unwrap() = None;
    ground.clock.move_on(60);
    let read = format!("cat {}", ground.path("anna/data").display());
    eventually("the folder is there", || async { ground.shell(&lab, &read).stdout == b"of anna" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_replaced_at_half_of_their_life_for_the_helper_that_runs() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let driver = ground.open();
    ground.start(&driver, &ground.plan(1, vec![ground.mount("anna")])).await;
    let helper = ground.helpers();
    let asked = || ground.purse.asked.load(Ordering::SeqCst);
    let before = asked();
    ground.clock.move_on(20 * 60);
    ground.eventually_health(&driver, "it is well", is(&State::Ready)).await;
    assert_eq!(asked(), before, "a third of their life is over: they are good");
    ground.clock.move_on(11 * 60);
    eventually("others were asked for", || async { asked() == before + 1 }).await;
    assert_eq!(ground.helpers(), helper);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_no_more_is_gone_at_the_next_start() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let driver = ground.open();
    ground.start(&driver, &ground.plan(1, vec![ground.mount("anna"), ground.mount("group")])).await;
    let lab = ground.start(&driver, &ground.plan(2, vec![ground.mount("anna")])).await;
    assert_eq!(ground.says(&lab, &format!("ls {}", ground.config.target.display())), "anna");
    assert_eq!(ground.mounted().len(), 1);
    ground.ends(&driver, &lab).await;
    ground.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_name_of_a_folder_is_refused_before_anything_is_made() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let driver = ground.open();
    for name in ["..", "../../etc", "", "a/b"] {
        let outcome = ground.try_start(&driver, &ground.plan(1, vec![ground.mount(name)])).await;
        assert!(matches!(outcome, Err(StartError::Refused { code: "bad_folder", .. })), "{name}");
    }
    ground.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_with_folders_keeps_the_word_of_every_driver() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let mount = ground.mount("anna");
    let plan = |row, generation| {
        let mut plan = ground.plan(generation, vec![mount.clone()]);
        plan.identity.spawner = SpawnerId(row);
        plan
    };
    let open = || Box::new(ground.open().mounted.clone()) as Box<dyn Spawner>;
    spawners::contract::all(&open, &plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_ones_own_is_written_in_a_folder_that_can_only_be_read() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    ground.store.write("bucket-scratch/bob/data", "of bob");
    let hub = ground.open();
    let mut scratch = ground.mount("scratch");
    scratch.read_only = true;
    let own = ground.within(&scratch, "anna");
    // A folder of the same name beside it has nothing to do with it.
    let plan = |generation| ground.plan(generation, vec![own.clone(), scratch.clone(), ground.mount("anna")]);
    let lab = ground.start(&hub, &plan(1)).await;
    assert_eq!(
        ground.says(&lab, &format!("cd {}; ls . scratch", ground.config.target.display())),
        ".:\nanna\nscratch\n\nscratch:\nanna\nbob"
    );
    let write = |name: &str| ground.shell(&lab, &format!("echo mine > {}", ground.path(name).display()));
    let notes = || ground.store.read("bucket-scratch/anna/notes") == Some(b"mine\n".to_vec());
    assert!(write("scratch/anna/notes").status.success());
    eventually("it is in the bucket, under the person's name", || async { notes() }).await;
    let denied = |name: &str| {
        let output = write(name);
        assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{name}: {output:?}");
    };
    for name in ["scratch/beside", "scratch/bob/data", "scratch/bob/beside"] {
        denied(name);
    }
    let made = ground.shell(&lab, &format!("mkdir {}", ground.path("scratch/carl").display()));
    assert!(!made.status.success(), "it would be nowhere but here");
    assert_eq!(ground.store.list("bucket-scratch"), ["anna/", "anna/notes", "bob/", "bob/data"]);
    let paths: Vec<String> = hub.mounted.health(SpawnerId(1)).into_iter().map(|folder| folder.path).collect();
    assert_eq!(paths, ["anna", "scratch", "scratch/anna"].map(|name| ground.path(name).display().to_string()));

    // All helpers die, and the hub with them.
    drop(hub);
    ground.kill_helpers();
    let hub = ground.open();
    let back = |name: &str| ground.shell(&lab, &format!("cat {}", ground.path(name).display())).status.success();
    eventually("both are back", || async { back("scratch/anna/notes") && back("scratch/bob/data") }).await;
    // It can be read in the other folder as well, until it is bound into that again.
    eventually("one's own can be written in", || async { write("scratch/anna/more").status.success() }).await;
    denied("scratch/beside");
    eventually("that is there too", || async { ground.store.read("bucket-scratch/anna/more").is_some() }).await;

    // What is written while the store is away outlives the server, and both folders.
    ground.says(&lab, &format!("ls {}", ground.path("scratch/anna").display()));
    ground.store.signal(Signal::SIGSTOP);
    let written = ground.writes(&lab, "scratch/anna/late", 1);
    ground.ends(&hub, &lab).await;
    ground.clock.move_on(601);
    let kept = State::Kept { files: 1, bytes: 1 << 20 };
    ground.eventually_health(&hub, "it is told", |health| health.iter().any(|folder| folder.state == kept)).await;
    eventually("nothing is mounted", || async { ground.helpers().is_empty() && ground.mounted().is_empty() }).await;
    ground.store.signal(Signal::SIGCONT);
    let lab = ground.start(&hub, &plan(2)).await;
    let seen = ground.says(&lab, &format!("sha256sum {}", ground.path("scratch/anna/late").display()));
    assert_eq!(seen.split(' ').next(), Some(written.as_str()));
    ground.ends(&hub, &lab).await;
    ground.is_clean().await;
    assert_eq!(ground.store.read("bucket-scratch/anna/late").map(|bytes| digest(&bytes)), Some(written));
}
