//! The real libpam, with service files and a system user of the test's own. They need root; without, they say so.

use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A PAM service that is removed again.
struct Service {
    name: String,
    path: PathBuf,
}

impl Service {
    fn new(purpose: &str, lines: &str) -> Self {
        let name = format!("specola-test-{purpose}-{}", std::process::id());
        let path = PathBuf::from("/etc/pam.d").join(&name);
        std::fs::write(&path, lines).unwrap();
        Self { name, path }
    }

    fn pam(&self) -> Pam {
        self.with(|_| {})
    }

    fn with(&self, change: impl FnOnce(&mut PamConfig)) -> Pam {
        let mut config = PamConfig { service: self.name.clone(), executor_threads: 2, ..PamConfig::default() };
        change(&mut config);
        Pam::new(&config).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A system user that is removed again.
struct Person {
    name: String,
}

impl Person {
    fn new(purpose: &str, password: &str) -> Self {
        let person = Self { name: format!("sp-{purpose}-{}", std::process::id()) };
        run(Command::new("useradd").args(["--no-create-home", "--shell", "/usr/sbin/nologin", &person.name]));
        let hash = Command::new("openssl").args(["passwd", "-6", password]).output().unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        run(Command::new("usermod").args(["--password", hash.trim(), &person.name]));
        person
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        println!("skipped: service files in /etc/pam.d need root");
    }
    root
}

const UNIX: &str = "auth required pam_unix.so\naccount required pam_unix.so\n";
const PROVEN: Proof = Proof::Proven { admin: None, must_change: false };
const WRONG: Proof = Proof::Disproven(Refusal::Wrong);

async fn ask(pam: &Pam, name: &str, password: &str) -> Proof {
    pam.prove(name, &Secret::new(password)).await
}

#[tokio::test]
async fn a_system_user_logs_in_with_the_system_password_only() {
    if !root() {
        return;
    }
    let (service, person) = (Service::new("unix", UNIX), Person::new("unix", "right horse"));
    let pam = service.pam();
    assert_eq!(ask(&pam, &person.name, "right horse").await, PROVEN);
    let before = std::time::Instant::now();
    assert_eq!(ask(&pam, &person.name, "wrong horse").await, WRONG);
    assert_eq!(ask(&pam, "no-such-user-here", "right horse").await, WRONG);
    assert_eq!(ask(&pam, &person.name, "").await, WRONG);
    assert_eq!(ask(&pam, &person.name, "right\0horse").await, WRONG);
    // The machine's own delay of two seconds a failure would hold up others.
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
}

#[tokio::test]
async fn an_expired_account_is_refused_unless_accounts_are_not_checked() {
    if !root() {
        return;
    }
    let (service, person) = (Service::new("expired", UNIX), Person::new("exp", "right horse"));
    run(Command::new("usermod").args(["--expiredate", "2020-01-01", &person.name]));
    assert_eq!(ask(&service.pam(), &person.name, "right horse").await, Proof::Disproven(Refusal::Account));
    let lenient = service.with(|config| config.check_account = false);
    assert_eq!(ask(&lenient, &person.name, "right horse").await, PROVEN);
    run(Command::new("usermod").args(["--expiredate", "", &person.name]));
    run(Command::new("chage").args(["--lastday", "0", &person.name]));
    assert_eq!(ask(&service.pam(), &person.name, "right horse").await, Proof::Disproven(Refusal::Expired));
}

#[tokio::test]
async fn the_members_of_a_group_administer() {
    if !root() {
        return;
    }
    let permit = Service::new("groups", "auth required pam_permit.so\naccount required pam_permit.so\n");
    let person = Person::new("adm", "right horse");
    let of = |groups: &[&str]| {
        let groups = groups.iter().map(|name| (*name).to_owned()).collect();
        permit.with(|config| config.admin_groups = groups)
    };
    let proven = |admin| Proof::Proven { admin: Some(admin), must_change: false };
    assert_eq!(ask(&of(&["daemon"]), &person.name, "x").await, proven(false));
    assert_eq!(ask(&of(&["daemon", &person.name]), &person.name, "x").await, proven(true));
    assert!(matches!(ask(&of(&["no-such-group"]), &person.name, "x").await, Proof::Unknown(_)));
}

#[tokio::test]
async fn a_broken_service_is_no_refusal() {
    if !root() {
        return;
    }
    let deny = Service::new("deny", "auth required pam_deny.so\naccount required pam_deny.so\n");
    assert_eq!(ask(&deny.pam(), "nobody", "x").await, WRONG);
    let broken = Service::new("broken", "auth required pam_no_such_module.so\n");
    assert!(matches!(ask(&broken.pam(), "nobody", "x").await, Proof::Unknown(_)));
}

#[tokio::test]
async fn sessions_are_opened_and_closed_around_a_login() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("note");
    std::fs::write(&script, format!("#!/bin/sh\necho $PAM_TYPE $PAM_USER >> {}/log\n", folder.path().display()))
        .unwrap();
    run(Command::new("chmod").arg("755").arg(&script));
    let permit = "auth required pam_permit.so\naccount required pam_permit.so\n";
    let service = Service::new("session", &format!("{permit}session required pam_exec.so {}\n", script.display()));
    let pam = service.with(|config| config.open_sessions = true);
    assert_eq!(ask(&pam, "nobody", "x").await, PROVEN);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log, "open_session nobody\nclose_session nobody\n");
}

#[tokio::test]
async fn many_logins_at_once_are_all_answered() {
    if !root() {
        return;
    }
    let (service, person) = (Service::new("many", UNIX), Person::new("many", "right horse"));
    let pam = Arc::new(service.pam());
    let tasks: Vec<_> = (0..20)
        .map(|index| {
            let (pam, name) = (pam.clone(), person.name.clone());
            let password = if index % 2 == 0 { "right horse" } else { "wrong horse" };
            tokio::spawn(async move { (index, ask(&pam, &name, password).await) })
        })
        .collect();
    for task in tasks {
        let (index, proof) = task.await.unwrap();
        assert_eq!(proof, if index % 2 == 0 { PROVEN } else { WRONG });
    }
}
