//! Under whom servers run, and with what.

use std::os::unix::process::CommandExt;

use nix::unistd::Uid;
use serde_json::Value;
use spawner_local::Mode;
use spawners::contract::Paper;
use spawners::{Sight, Spawner, StartError};

use crate::ground::{Account, Ground, SERVER, answers, end, free_port, look, without_root};

/// Prints what a server finds itself to be, then stays.
const MIRROR: &str = r#"
import os, json, time
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
print("me " + json.dumps({
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()), "cwd": os.getcwd(),
    "session": os.getsid(0) == os.getpid(), "stdin": os.readlink("/proc/self/fd/0"),
    "fds": sorted(int(f) for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f)),
    "no_new_privs": status["NoNewPrivs"].strip(), "umask": status["Umask"].strip(),
    "ignored": int(status["SigIgn"], 16) & 0b100000000000111, "blocked": int(status["SigBlk"], 16), "env": dict(os.environ),
}))
time.sleep(600)
"#;

async fn mirrored(ground: &Ground) -> Value {
    let local = ground.open();
    let mut plan = ground.python(1, 1, MIRROR);
    plan.environment = vec![("JUPYTERHUB_API_TOKEN".into(), "t".into()), ("HOME".into(), "/root".into())];
    // A descriptor that is not closed by exec, as a library might leave one.
    let leak = std::fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(&leak, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    local.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    serde_json::from_str(&ground.says(&local, &plan.identity, "me ").await).unwrap()
}

fn check_common(me: &Value) {
    assert_eq!(me["session"], true);
    assert_eq!(me["stdin"], "/dev/null");
    assert_eq!(me["fds"], serde_json::json!([0, 1, 2]), "nothing of the hub's is open");
    assert_eq!(me["no_new_privs"], "1");
    assert_eq!(me["umask"], "0022");
    assert_eq!(me["ignored"], 0, "no signal by which a server is stopped is ignored");
    assert_eq!(me["blocked"], 0);
    assert_eq!(me["env"]["JUPYTERHUB_API_TOKEN"], "t");
    assert!(me["env"]["SPECOLA_SERVER"].as_str().unwrap().ends_with(":1:1"));
    assert!(me["env"]["JUPYTERHUB_SERVICE_URL"].as_str().unwrap().ends_with("/user/x/"));
    assert!(me["env"].get("CARGO_MANIFEST_DIR").is_none(), "the hub's environment stays with the hub");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_root_a_server_is_its_users_in_every_respect() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: not root");
    }
    let ground = Ground::new();
    let me = mirrored(&ground).await;
    check_common(&me);
    let entry = nix::unistd::User::from_name(&ground.user).unwrap().unwrap();
    let (uid, gid) = (entry.uid.as_raw(), entry.gid.as_raw());
    let users = nix::unistd::Group::from_name("users").unwrap().unwrap().gid.as_raw();
    let mut groups = vec![gid, users];
    groups.sort_unstable();
    assert_eq!(me["uid"], serde_json::json!([uid, uid, uid]));
    assert_eq!(me["gid"], serde_json::json!([gid, gid, gid]));
    assert_eq!(me["groups"], serde_json::json!(groups), "its groups, and none of root's");
    assert_eq!(me["cwd"], entry.dir.to_str().unwrap());
    assert_eq!(me["env"]["HOME"], entry.dir.to_str().unwrap());
    assert_eq!(me["env"]["USER"], ground.user.as_str());
    assert_eq!(me["env"]["SHELL"], "/bin/bash");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_root_each_user_has_a_home_of_its_own() {
    if !without_root("identity::without_root_each_user_has_a_home_of_its_own") {
        return;
    }
    let ground = Ground::new();
    let me = mirrored(&ground).await;
    check_common(&me);
    let home = std::path::PathBuf::from(me["env"]["HOME"].as_str().unwrap());
    assert_eq!(home.parent(), Some(ground.config.data_dir.join("homes").as_path()), "{home:?}");
    assert_eq!(me["cwd"], home.to_str().unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(home).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_system_user_or_as_root_a_start_is_refused() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: not root");
    }
    let ground = Ground::new();
    let local = ground.open();
    for (user, expected) in
        [("nobody-knows-her", "no_system_user"), ("", "no_system_user"), ("root", "root_not_allowed")]
    {
        let mut plan = ground.python(1, 1, SERVER);
        plan.identity.user = user.into();
        let outcome = local.start(&plan, &Value::Null, &Paper::default()).await;
        assert!(matches!(outcome, Err(StartError::Refused { code, .. }) if code == expected), "{user}: {outcome:?}");
    }
    assert_eq!(local.list_owned().await.unwrap(), vec![]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why_and_leaves_nothing() {
    let ground = Ground::new();
    let local = ground.open();
    let cases = [
        (vec!["no-such-command"], None, "command_not_found"),
        (vec!["/etc/passwd"], None, "command_denied"),
        (vec!["true"], Some("/no/such/folder"), "no_home"),
    ];
    for (cmd, folder, expected) in cases {
        let mut plan = ground.python(1, 1, SERVER);
        plan.cmd = cmd.into_iter().map(str::to_owned).collect();
        plan.working_dir = folder.map(Into::into);
        let outcome = local.start(&plan, &Value::Null, &Paper::default()).await;
        assert!(matches!(outcome, Err(StartError::Failed { code, .. }) if code == expected), "{expected}: {outcome:?}");
        assert_eq!(look(&local, &plan.identity, &Value::Null).await, Sight::Absent, "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_may_run_servers_in_folders_only_when_that_is_allowed() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: not root");
    }
    let mut ground = Ground::new();
    (ground.config.mode, ground.user) = (Some(Mode::Folders), "Anyone at all".into());
    let refused = ground.open().start(&ground.python(1, 1, SERVER), &Value::Null, &Paper::default()).await;
    assert!(matches!(refused, Err(StartError::Refused { code: "root_not_allowed", .. })), "{refused:?}");
    ground.config.allow_root = true;
    let me = mirrored(&ground).await;
    check_common(&me);
    assert_eq!(me["uid"], serde_json::json!([0, 0, 0]));
    assert!(me["cwd"].as_str().unwrap().contains("/homes/anyone-at-all---"), "{}", me["cwd"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_user_has_taken_is_no_servers_address() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: not root");
    }
    let (ground, thief) = (Ground::new(), Account::make());
    let (local, port) = (ground.open(), free_port());
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(["-c", SERVER]).env("JUPYTERHUB_SERVICE_URL", format!("http://127.0.0.1:{port}/"));
    let mut squatter = command.uid(thief.entry().uid.as_raw()).gid(thief.entry().gid.as_raw()).spawn().unwrap();
    let url = format!("http://127.0.0.1:{port}/user/x/");
    spawners::contract::eventually("the thief listens", || answers(&url)).await;
    let mut plan = ground.python(1, 1, "import time; time.sleep(600)");
    plan.port = port;
    let started = local.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
    let sight = look(&local, &plan.identity, &started.state).await;
    assert!(matches!(&sight, Sight::Exited { code: None, reason } if reason.contains("port")), "{sight:?}");
    end(&local, &plan.identity, &started.state, true).await;
    squatter.kill().unwrap();
    squatter.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_process_with_a_stolen_mark_is_not_taken_for_a_server() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: not root");
    }
    let (ground, thief) = (Ground::new(), Account::make());
    let (local, server) = (ground.open(), ground.identity(1, 1));
    let mut impostor = std::process::Command::new("setsid")
        .args(["setpriv", &format!("--reuid={}", thief.entry().uid), "--clear-groups", "sleep", "600"])
        .env("SPECOLA_SERVER", server.marker().to_string())
        .env("JUPYTERHUB_USER", &ground.user)
        .env("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:9/user/x/")
        .spawn()
        .unwrap();
    let is_thief = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains(&format!("Uid:\t{}\t", thief.entry().uid))
    };
    spawners::contract::eventually("the impostor runs", || async { is_thief(impostor.id()) }).await;
    let bare = serde_json::json!({ "pid": impostor.id() });
    assert_eq!(look(&local, &server, &Value::Null).await, Sight::Absent);
    assert_eq!(look(&local, &server, &bare).await, Sight::Absent);
    assert_eq!(local.list_owned().await.unwrap(), vec![]);
    impostor.kill().unwrap();
    impostor.wait().unwrap();
}
