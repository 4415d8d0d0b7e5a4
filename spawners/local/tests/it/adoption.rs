//! Servers that outlive the hub that started them, and those that JupyterHub left.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};
use serde_json::{Value, json};
use spawners::contract::{self, Paper};
use spawners::{Sight, Spawner, Stop};

use crate::ground::{Ground, SERVER, answers, end, free_port, look, marked, pid, runs};

/// The name of the variable by which a test tells its second self to be a hub.
const HUB: &str = "SPECOLA_TEST_HUB";

/// Not a check by itself: the hub that the next one kills.
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_to_be_killed() {
    let Ok(wanted) = std::env::var(HUB) else { return };
    let wanted: Value = serde_json::from_str(&wanted).unwrap();
    let text = |key: &str| wanted[key].as_str().unwrap().to_owned();
    let ground = Ground::borrowed(&text("hub"), &text("data"), &text("user"));
    let (_, started) = ground.start(&ground.open(), SERVER).await;
    println!("started {}", started.url);
    std::future::pending::<()>().await;
}

/// Starts a hub that starts a server.
fn hub(ground: &Ground) -> std::process::Child {
    let wanted = json!({ "hub": ground.config.hub, "data": ground.config.data_dir, "user": ground.user });
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adoption::a_hub_to_be_killed", "--nocapture"])
        .env(HUB, wanted.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_killed_in_the_middle_of_a_start_leaves_one_server_at_most() {
    // Just before the child is made; while it becomes the server; when it is one.
    for moment in ["json", "mark", "pid"] {
        let ground = Ground::new();
        let mark = format!("SPECOLA_SERVER={}:", ground.config.hub);
        let mut hub = hub(&ground);
        let notes = || std::fs::read_dir(ground.config.data_dir.join("run")).into_iter().flatten().flatten();
        let reached = || match moment {
            "mark" => !marked(&mark).is_empty(),
            "pid" => notes().any(|note| std::fs::read_to_string(note.path()).is_ok_and(|text| text.contains("pid"))),
            _ => notes().any(|note| note.path().extension().is_some_and(|found| found == "json")),
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !reached() {
            assert!(std::time::Instant::now() < deadline, "{moment}");
        }
        hub.kill().unwrap();
        hub.wait().unwrap();

        let (local, plan) = (ground.open(), ground.python(1, 1, SERVER));
        let started = local.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
        contract::eventually("it answers", || answers(&started.url)).await;
        assert_eq!(marked(&mark), [i32::try_from(pid(&started.state)).unwrap()], "{moment}: one process");
        assert_eq!(local.list_owned().await.unwrap().len(), 1, "{moment}");
        end(&local, &plan.identity, &started.state, false).await;
        assert_eq!(marked(&mark), Vec::<i32>::new(), "{moment}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_outlives_its_hub_and_is_adopted() {
    let ground = Ground::new();
    let mut hub = hub(&ground);
    let lines = std::io::BufRead::lines(std::io::BufReader::new(hub.stdout.take().unwrap()));
    let said = lines.map_while(Result::ok).find(|line| line.contains("started ")).unwrap();
    let url = said.rsplit(' ').next().unwrap().to_owned();
    hub.kill().unwrap();
    hub.wait().unwrap();

    let (local, server) = (ground.open(), ground.identity(1, 1));
    contract::eventually("it answers still", || answers(&url)).await;
    assert_eq!(look(&local, &server, &Value::Null).await, Sight::Up { url: url.clone() });
    let adopted = local.start(&ground.python(1, 1, SERVER), &Value::Null, &Paper::default()).await.unwrap();
    assert_eq!(adopted.url, url);
    end(&local, &server, &adopted.state, false).await;
    assert!(!answers(&url).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_found_when_all_notes_are_lost() {
    let ground = Ground::new();
    let local = ground.open();
    let (server, started) = ground.start(&local, SERVER).await;
    for note in crate::ground::files(&ground.config.data_dir.join("run")) {
        std::fs::remove_file(note).unwrap();
    }
    let owned = local.list_owned().await.unwrap();
    assert_eq!(owned.iter().map(|owned| &owned.identity).collect::<Vec<_>>(), [&server]);
    assert_eq!(owned.first().map(|owned| &owned.state), Some(&started.state));
    for note in crate::ground::files(&ground.config.data_dir.join("run")) {
        std::fs::remove_file(note).unwrap();
    }
    assert_eq!(look(&local, &server, &started.state).await, Sight::Up { url: started.url });
    end(&local, &server, &started.state, true).await;
    assert!(!runs(pid(&started.state)));
}

/// Starts a server as JupyterHub's LocalProcessSpawner does.
fn left_by_jupyterhub(user: &str, name: &str, port: u16) -> std::process::Child {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SERVER]).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
    command.env("JUPYTERHUB_USER", user).env("JUPYTERHUB_SERVER_NAME", name);
    command.env("JUPYTERHUB_SERVICE_URL", format!("http://127.0.0.1:{port}/user/x/"));
    if Uid::effective().is_root() {
        let entry = User::from_name(user).unwrap().unwrap();
        command.uid(entry.uid.as_raw()).gid(entry.gid.as_raw());
    }
    // SAFETY: one system call that is allowed between fork and exec.
    unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into)) };
    command.spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_pid_that_jupyterhub_left_is_adopted_if_the_process_is_the_users() {
    let ground = Ground::new();
    let (local, server) = (ground.open(), ground.identity(1, 7));
    let port = free_port();
    let mut child = left_by_jupyterhub(&ground.user, "", port);
    let (state, url) = (json!({ "pid": child.id() }), format!("http://127.0.0.1:{port}/user/x/"));
    contract::eventually("it answers", || answers(&url)).await;

    let mut other = server.clone();
    other.server = "gpu".into();
    assert_eq!(look(&local, &other, &state).await, Sight::Absent, "another server of the user is not meant");
    assert_eq!(look(&local, &server, &Value::Null).await, Sight::Absent, "without the pid nothing leads to it");
    assert_eq!(look(&local, &server, &state).await, Sight::Up { url });
    let waiter = std::thread::spawn(move || child.wait().unwrap());
    end(&local, &server, &state, false).await;
    waiter.join().unwrap();
    assert_eq!(local.list_owned().await.unwrap(), vec![]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_the_servers_old_pid_is_neither_seen_nor_harmed() {
    let ground = Ground::new();
    let local = ground.open();
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let states = [
        json!({ "pid": stranger.id() }),
        json!({ "pid": stranger.id(), "start_time": 1, "boot_id": boot_id.trim(), "generation": 1 }),
        json!({ "pid": 1 }),
        json!({ "pid": 0 }),
        json!({ "pid": -1 }),
        json!({ "pid": 99_999_999_999_i64 }),
        json!({ "pid": "12" }),
        json!([1, 2]),
        json!("garbage"),
    ];
    for state in states {
        let server = ground.identity(1, 1);
        assert_eq!(look(&local, &server, &state).await, Sight::Absent, "{state}");
        for force in [false, true] {
            local.stop(&server, &state, Stop { force }).await.unwrap();
        }
    }
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// A database of before gives the numbers of servers and starts out again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_account_is_not_adopted_whatever_its_numbers() {
    for generation in [1, 3] {
        let ground = Ground::new();
        let (local, mut others, mut own) =
            (ground.open(), ground.python(1, generation, SERVER), ground.python(1, 1, SERVER));
        (others.identity.account, own.identity.account) = (Some("4-1".into()), Some("9-2".into()));
        let theirs = local.start(&others, &Value::Null, &Paper::default()).await.unwrap();
        contract::eventually("it answers", || answers(&theirs.url)).await;
        assert_eq!(local.look(&own.identity, &Value::Null).await.unwrap(), Sight::Absent);
        let started = local.start(&own, &Value::Null, &Paper::default()).await.unwrap();
        assert_ne!(pid(&started.state), pid(&theirs.state));
        let mark = format!("SPECOLA_SERVER={}:", ground.config.hub);
        assert_eq!(marked(&mark), [i32::try_from(pid(&started.state)).unwrap()], "the other one is nobody's any more");
        end(&local, &own.identity, &started.state, false).await;
    }
}
