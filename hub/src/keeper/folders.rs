//! Which folders a server gets: by the person and their groups, as a pure function.

use std::path::{Path, PathBuf};

use hub_core::name;
use hub_core::policy::group::GroupRule;
use spawners::Bind;

use crate::config::folders::{AreaKind, FoldersConfig, MountsConfig};
use crate::folders::volumes::Volumes;
use crate::storage::Offer;

/// What there is to decide from.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// Folders of the machine.
    pub folders: FoldersConfig,
    /// How buckets become folders.
    pub mounts: MountsConfig,
    /// The object stores they are in.
    pub offers: Vec<Offer>,
    /// Whose the files are.
    pub owner: Owner,
    /// Volumes of people, where servers are containers.
    pub volumes: Option<Volumes>,
}

/// Whose the files in a server's folders are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owner {
    /// The same user in all servers, `folders.uid`.
    #[default]
    Image,
    /// The system user of the person's name.
    Account,
    /// The hub's own user.
    Hub,
}

/// A folder below the root, as it has to be before a server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Below the root.
    pub path: PathBuf,
    /// Who may write in it.
    pub use_of: Use,
}

/// Who may write in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Nobody: only what is in it.
    Nobody,
    /// The person.
    Own,
    /// All members of a group.
    Members,
}

/// What a server gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// What has to be there first.
    pub wanted: Vec<Wanted>,
    /// What the server sees, those that others are in first.
    pub binds: Vec<Bind>,
}

/// Decides for a person in these groups. Nothing without a root.
pub fn of_person(config: &FoldersConfig, user: &str, groups: &[String]) -> Folders {
    let mut folders = Folders::default();
    let Some(root) = &config.root else { return folders };
    let own = name::safe_part(user);
    for area in &config.areas {
        let rules: Vec<GroupRule> = area.groups.iter().map(GroupRule::new).collect();
        let among = |group: &&String| rules.is_empty() || rules.iter().any(|rule| rule.admits(group));
        if area.kind != AreaKind::Group && !area.groups.is_empty() && !groups.iter().any(|group| among(&group)) {
            continue;
        }
        let below = Path::new(area.name());
        let target = |group: &str| PathBuf::from(area.target.replace("{username}", &own).replace("{group}", group));
        match area.kind {
            AreaKind::Private => folders.add(root, below.join(&own), target(""), Use::Own),
            AreaKind::Shared => {
                folders.add(root, below.to_owned(), target(""), Use::Nobody);
                folders.add(root, below.join(&own), target("").join(&own), Use::Own);
            }
            AreaKind::Group => {
                for group in groups.iter().filter(among) {
                    let part = name::safe_part(group.trim_matches('/'));
                    folders.add(root, below.join(&part), target(&part), Use::Members);
                }
            }
        }
    }
    folders.binds.sort_by_key(|bind| bind.target.components().count());
    folders
}

/// The folders that are a person's alone, below the root: what goes to the trash with them.
pub fn own(config: &FoldersConfig, user: &str) -> Vec<PathBuf> {
    let own = name::safe_part(user);
    let personal = config.areas.iter().filter(|area| area.kind != AreaKind::Group);
    let mut all: Vec<PathBuf> = personal.map(|area| Path::new(area.name()).join(&own)).collect();
    all.sort();
    all.dedup();
    all
}

impl Folders {
    fn add(&mut self, root: &Path, path: PathBuf, target: PathBuf, use_of: Use) {
        if self.binds.iter().any(|bind| bind.target == target) {
            return;
        }
        let read_only = use_of == Use::Nobody;
        self.binds.push(Bind { source: root.join(&path), target, read_only, propagate: false });
        self.wanted.push(Wanted { path, use_of });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::folders::AreaConfig;

    fn area(kind: AreaKind, target: &str, groups: &[&str]) -> AreaConfig {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        AreaConfig { kind, target: target.to_owned(), groups, name: None }
    }

    fn config(areas: Vec<AreaConfig>) -> FoldersConfig {
        FoldersConfig { root: Some("/srv".into()), areas, ..FoldersConfig::default() }
    }

    fn seen(config: &FoldersConfig, user: &str, groups: &[&str]) -> Vec<String> {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let binds = of_person(config, user, &groups).binds;
        let line = |bind: &Bind| {
            let how = if bind.read_only { "ro" } else { "rw" };
            format!("{} {} {how}", bind.source.display(), bind.target.display())
        };
        binds.iter().map(line).collect()
    }

    #[test]
    fn folders_follow_from_groups() {
        let config = config(vec![
            area(AreaKind::Private, "/home/{username}", &[]),
            area(AreaKind::Shared, "/shared", &["cygno"]),
            area(AreaKind::Group, "/groups/{group}", &[]),
        ]);
        let member = [
            "/srv/shared /shared ro",
            "/srv/users/anna /home/anna rw",
            "/srv/shared/anna /shared/anna rw",
            "/srv/groups/cygno /groups/cygno rw",
        ];
        assert_eq!(seen(&config, "anna", &["cygno"]), member);
        assert_eq!(seen(&config, "bob", &[]), ["/srv/users/bob /home/bob rw"]);
        let other = ["/srv/users/bob /home/bob rw", "/srv/groups/cms /groups/cms rw"];
        assert_eq!(seen(&config, "bob", &["cms"]), other, "who is not in the group sees neither of its folders");
    }

    #[test]
    fn only_the_groups_named_have_a_folder() {
        let config = config(vec![area(AreaKind::Group, "/groups/{group}", &["cms"])]);
        assert_eq!(seen(&config, "bob", &["cms", "students"]), ["/srv/groups/cms /groups/cms rw"]);
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        let areas = vec![
            area(AreaKind::Private, "/home/{username}", &[]),
            area(AreaKind::Shared, "/shared", &[]),
            area(AreaKind::Group, "/groups/{group}", &[]),
        ];
        let config = config(areas);
        for hostile in ["..", ".", "a/../../b", "/etc", "x\0y", ""] {
            let folders = of_person(&config, hostile, &[hostile.to_owned()]);
            for bind in &folders.binds {
                let odd = |path: &Path| path.components().any(|part| part.as_os_str() == "..");
                assert!(!odd(&bind.source) && !odd(&bind.target), "{bind:?}");
                assert!(bind.source.starts_with("/srv") && bind.source.components().count() <= 4, "{bind:?}");
            }
            assert!(own(&config, hostile).iter().all(|path| path.components().count() == 2), "{hostile:?}");
        }
    }

    #[test]
    fn what_goes_to_the_trash_is_the_persons_alone() {
        let areas = vec![
            area(AreaKind::Private, "/home", &[]),
            area(AreaKind::Shared, "/shared", &[]),
            area(AreaKind::Group, "/groups/{group}", &[]),
        ];
        assert_eq!(own(&config(areas), "anna"), [PathBuf::from("shared/anna"), PathBuf::from("users/anna")]);
    }

    #[test]
    fn without_a_root_there_are_none() {
        let config = FoldersConfig { root: None, ..config(vec![area(AreaKind::Private, "/home", &[])]) };
        assert_eq!(of_person(&config, "anna", &[]), Folders::default());
    }
}
