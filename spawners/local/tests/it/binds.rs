//! Folders of the machine in the view of one server. Needs root.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nix::unistd::Uid;
use serde_json::Value;
use spawners::contract::Paper;
use spawners::{Bind, Spawner, StartError};

use crate::ground::{Ground, SERVER, pid};

/// What a command says with the view of the machine that a process has.
fn in_view_of(pid: i64, line: &str) -> Output {
    Command::new("nsenter").args(["-t", &pid.to_string(), "-m", "--", "sh", "-c", line]).output().unwrap()
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Bind {
    Bind { source: source.to_owned(), target: target.to_owned(), read_only, propagate: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_sees_its_folders_and_what_is_mounted_in_them_later_and_nobody_else_does() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: only root can give a process a view of its own");
    }
    let ground = Ground::new();
    let local = ground.open();
    assert!(local.abilities().binds);
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("srv/shared/anna")).unwrap();
    fs::create_dir_all(at("srv/mounts/later")).unwrap();
    let mut plan = ground.python(1, 1, SERVER);
    plan.binds = vec![
        bind(&at("srv/shared"), &at("seen/shared"), true),
        bind(&at("srv/shared/anna"), &at("seen/shared/anna"), false),
        bind(&at("srv/mounts"), &at("seen/s3"), false),
    ];
    // What is mounted later is seen only below what propagates, as the place of all mounts does.
    let shared = Disk(at("srv/mounts"));
    let place = shared.0.display().to_string();
    for arguments in [&["--bind", &place, &place][..], &["--make-shared", &place]] {
        assert!(Command::new("mount").args(arguments).status().unwrap().success());
    }
    let started = local.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    let pid = pid(&started.state);
    let says = |line: &str| String::from_utf8(in_view_of(pid, line).stdout).unwrap();
    let seen = folder.path().join("seen").display().to_string();
    assert_eq!(says(&format!("ls {seen}")), "s3\nshared\n");
    assert!(in_view_of(pid, &format!("touch {seen}/shared/anna/mine")).status.success());
    let refused = in_view_of(pid, &format!("touch {seen}/shared/beside"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only"), "{refused:?}");
    assert!(at("srv/shared/anna/mine").exists());
    assert_eq!(fs::read_dir(at("seen/shared")).unwrap().count(), 0, "it is in the server's view alone");

    let later = Disk(at("srv/mounts/later"));
    let tmpfs = ["-t", "tmpfs", "-o", "size=64k", "none"];
    assert!(Command::new("mount").args(tmpfs).arg(&later.0).status().unwrap().success());
    fs::write(later.0.join("file"), "here").unwrap();
    assert_eq!(says(&format!("cat {seen}/s3/later/file")), "here");
    drop(later);
    assert_eq!(says(&format!("ls {seen}/s3/later")), "", "and it goes for the server too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_told_and_nothing_runs() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: only root can give a process a view of its own");
    }
    let ground = Ground::new();
    let local = ground.open();
    let folder = tempfile::tempdir().unwrap();
    let mut plan = ground.python(1, 1, SERVER);
    plan.binds = vec![bind(&folder.path().join("nowhere"), &folder.path().join("seen"), false)];
    let outcome = local.start(&plan, &Value::Null, &Paper::default()).await;
    assert!(matches!(&outcome, Err(StartError::Failed { code: "no_folder", .. })), "{outcome:?}");
    assert_eq!(local.list_owned().await.unwrap(), []);
}

/// Something that is mounted, for as long as the value lives.
struct Disk(std::path::PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).output().ok();
    }
}
