//! Folders of the machine: which a person finds, and who may write where.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use tests::docker::{Engine, docker, image};
use tests::specola::Options;
use tests::{Specola, need, place};

use super::{in_lab, says};

/// Three kinds of folders, below a root of the test's own. The labs see them there too.
pub fn options(root: &Path) -> Options {
    options_at(root, &root.join("seen"))
}

/// The same, where labs see them elsewhere.
fn options_at(root: &Path, seen: &Path) -> Options {
    let area = |kind: &str, target: &str, more: &str| {
        let target = seen.join(target);
        format!("{{ kind = {kind:?}, target = {:?}, {more} }}", target.display().to_string())
    };
    let areas = [
        area("private", "private", ""),
        area("shared", "shared", "groups = [\"cygno\"]"),
        area("group", "groups/{group}", ""),
    ];
    Options::default()
        .set("hub", "load_groups", "{ cygno = { users = [\"anna\", \"bob\"] }, cms = { users = [\"eve\"] } }")
        .set("folders", "root", &format!("{:?}", root.join("srv").display().to_string()))
        .set("folders", "areas", &format!("[{}]", areas.join(", ")))
}

#[tokio::test]
async fn people_find_the_folders_of_their_groups_and_write_in_their_own() -> Result<()> {
    if !place::is_root() {
        eprintln!("skipped: only root can put folders into servers");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let specola = Specola::start(options(folder.path()).small_lab("quick.py")?).await?;
    for name in ["anna", "bob", "eve"] {
        specola.logged_in(name).await?.start_server(name).await?;
    }
    let seen = folder.path().join("seen");
    let at = |path: &str| seen.join(path).display().to_string();
    let list = |name: &str, path: &str| says(&specola, name, &format!("ls {}", at(path)));
    assert_eq!(list("anna", "")?, "groups\nprivate\nshared");
    // The shared area: all who are in the group read it, each writes in an own part.
    says(&specola, "anna", &format!("echo hers > {}", at("shared/anna/notes")))?;
    assert_eq!(says(&specola, "bob", &format!("cat {}", at("shared/anna/notes")))?, "hers");
    for denied in ["shared/anna/notes", "shared/beside"] {
        let output = in_lab(&specola, "bob", &format!("echo his > {}", at(denied)))?;
        assert!(!output.status.success(), "{denied}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only"), "{denied}: {output:?}");
    }
    says(&specola, "bob", &format!("echo his > {}", at("shared/bob/notes")))?;
    // The group's: all write.
    says(&specola, "anna", &format!("echo one > {}", at("groups/cygno/data")))?;
    says(&specola, "bob", &format!("echo two >> {}", at("groups/cygno/data")))?;
    assert_eq!(says(&specola, "anna", &format!("cat {}", at("groups/cygno/data")))?, "one\ntwo");
    // Of other groups there is an empty place at most, where this machine has one for others.
    says(&specola, "eve", &format!("echo theirs > {}", at("groups/cms/data")))?;
    assert!(!in_lab(&specola, "anna", &format!("cat {}", at("groups/cms/data")))?.status.success());
    // Nobody else is there, and one's own is one's own.
    assert!(!in_lab(&specola, "eve", &format!("ls {}", at("shared/anna")))?.status.success());
    says(&specola, "anna", &format!("echo secret > {}", at("private/diary")))?;
    assert_eq!(list("bob", "private")?, "");
    // It is there after a stop, too.
    let mut anna = specola.logged_in("anna").await?;
    anna.stop_server("anna").await?;
    anna.server_stopped("anna").await?;
    anna.start_server("anna").await?;
    assert_eq!(says(&specola, "anna", &format!("cat {}", at("private/diary")))?, "secret");
    Ok(())
}

/// The same from inside of containers without rights, whose engine binds what the hub has made.
#[tokio::test]
async fn people_find_the_folders_of_their_groups_in_containers_too() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    ensure!(
        place::is_root() || std::env::var_os("SPECOLA_REQUIRE_DOCKER").is_none(),
        "only root can give folders away"
    );
    if !place::is_root() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let options = engine.options()?.and(options_at(folder.path(), Path::new("/work"))).set("folders", "uid", "1000");
    let specola = Specola::start(options).await?;
    for name in ["anna", "bob", "eve"] {
        specola.logged_in(name).await?.start_server(name).await?;
    }
    let says = |name: &str, line: &str| docker(&["exec", &engine.container(name), "sh", "-c", line]);
    let denied = |name: &str, line: &str, why: &str| -> Result<()> {
        let output = Command::new("docker").args(["exec", &engine.container(name), "sh", "-c", line]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains(why), "{name}: {line}: {output:?}");
        Ok(())
    };
    assert_eq!(says("anna", "id -u; ls /work")?, "1000\ngroups\nprivate\nshared");
    // What all of a group read, with a part of one's own to write in.
    says("anna", "echo hers > /work/shared/anna/notes")?;
    assert_eq!(says("bob", "cat /work/shared/anna/notes; ls /work/shared")?, "hers\nanna\nbob");
    for path in ["shared/anna/notes", "shared/anna/beside", "shared/beside"] {
        denied("bob", &format!("echo his > /work/{path}"), "Read-only file system")?;
    }
    denied("bob", "mkdir /work/shared/eve", "Read-only file system")?;
    says("bob", "echo his > /work/shared/bob/notes")?;
    assert_eq!(says("anna", "cat /work/shared/bob/notes")?, "his");
    // What all of a group write.
    says("anna", "echo one > /work/groups/cygno/data")?;
    says("bob", "echo two >> /work/groups/cygno/data")?;
    assert_eq!(says("anna", "cat /work/groups/cygno/data")?, "one\ntwo");
    // Who is in another group has that one's, and not even the names of these.
    assert_eq!(says("eve", "ls /work /work/groups")?, "/work:\ngroups\nprivate\n\n/work/groups:\ncms");
    assert_eq!(says("bob", "ls /work/groups")?, "cygno");
    // One's own is one's own, and the next container has it.
    says("anna", "echo secret > /work/private/diary")?;
    assert_eq!(says("bob", "ls /work/private")?, "");
    let mut anna = specola.logged_in("anna").await?;
    anna.stop_server("anna").await?;
    anna.start_server("anna").await?;
    assert_eq!(says("anna", "cat /work/private/diary /work/shared/anna/notes")?, "secret\nhers");
    for name in ["anna", "bob", "eve"] {
        specola.logged_in(name).await?.stop_server(name).await?;
    }
    Ok(())
}
