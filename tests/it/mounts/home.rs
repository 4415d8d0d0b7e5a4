//! Folders of the machine: which a person finds, and who may write where.

use anyhow::Result;
use tests::specola::Options;
use tests::{Specola, place};

use super::{in_lab, says};

/// Three kinds of folders, below a root of the test's own. The labs see them there too.
pub fn options(root: &std::path::Path) -> Options {
    let area = |kind: &str, target: &str, more: &str| {
        let target = root.join("seen").join(target);
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
