//! `[folders]`: folders of the machine that servers see. `[spawner.mounts]`: how buckets become folders.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StorageConfig;
use super::unit::{ByteSize, Seconds};
use crate::keeper::buckets::folder_name;

/// Folders of the machine that people find in their servers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FoldersConfig {
    /// The folder of this machine that all are below: people's own in `users`, shared ones in `shared`, those of groups
    /// in `groups`, and what was deleted in `trash`. Without it there are none.
    #[schemars(extend("format" = "path"))]
    pub root: Option<PathBuf>,
    /// The user that servers run as, by number: folders are made for it. With the driver `local`, the person's own.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How many days the folders and volumes of a person who was deleted stay in the trash. 0 keeps them for ever.
    pub retention_days: u32,
    /// Which folders there are.
    pub areas: Vec<AreaConfig>,
}

/// One kind of folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AreaConfig {
    /// `private`: for the person alone. `shared`: all who have it read everything, and write in a folder of their own
    /// inside. `group`: one for each group that the person is in, where all members write.
    pub kind: AreaKind,
    /// Where servers see it. `{username}` is filled in, and `{group}` with kind `group`.
    pub target: String,
    /// Who gets it: members of these groups. Without any: everybody; with kind `group`, each of a person's groups has one.
    pub groups: BTreeSet<String>,
    /// Its folder below `root`, for a second one of the kind. Without it: `users`, `shared` or `groups`.
    pub name: Option<String>,
}

/// For whom a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AreaKind {
    /// One person.
    #[default]
    Private,
    /// All read, each writes in an own part.
    Shared,
    /// All members of a group write.
    Group,
}

impl AreaConfig {
    /// Its folder below the root.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(match self.kind {
            AreaKind::Private => "users",
            AreaKind::Shared => "shared",
            AreaKind::Group => "groups",
        })
    }
}

impl Default for FoldersConfig {
    fn default() -> Self {
        Self { root: None, uid: 1000, gid: 100, retention_days: 30, areas: Vec::new() }
    }
}

/// How buckets become folders. Which do is said in `[[storage.buckets]]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MountsConfig {
    /// Whether the buckets of `[[storage.buckets]]` are mounted. The hub has to run as root for that, beside the servers.
    pub enabled: bool,
    /// Where they are mounted on this machine.
    #[schemars(extend("format" = "path"))]
    pub dir: PathBuf,
    /// Where is kept what was not uploaded yet. Without it: `mounts` in `data_dir`. It has to outlive a restart.
    #[schemars(extend("format" = "path"))]
    pub cache_dir: Option<PathBuf>,
    /// How large the cache of one folder may grow. What waits to be uploaded may exceed it.
    pub cache_size: ByteSize,
    /// The folder of servers that all buckets are in; the `folder` of each begins with it.
    pub target: String,
    /// How many seconds uploads may go on after the end of a server. What is left then is kept for its next start.
    pub drain_timeout: Seconds,
    /// How many seconds a start waits for a folder. It goes on without one that comes later, unless that is `required`.
    pub mount_timeout: Seconds,
    /// The names of folders without which a server does not start, as in their `folder`.
    pub required: BTreeSet<String>,
    /// The program `rclone`, 1.60 or later.
    #[schemars(extend("format" = "path"))]
    pub rclone: PathBuf,
    /// Further arguments of `rclone mount`, such as `["--bwlimit=50M"]`.
    pub args: Vec<String>,
}

impl Default for MountsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            dir: "/run/specola/mounts".into(),
            cache_dir: None,
            cache_size: ByteSize(10 << 30),
            target: "/s3".into(),
            drain_timeout: Seconds(600.0),
            mount_timeout: Seconds(15.0),
            required: BTreeSet::new(),
            rclone: "rclone".into(),
            args: Vec::new(),
        }
    }
}

/// Checks the rules no schema can tell. `blame` takes key, what is wrong, and the remedy.
pub fn validate(
    folders: &FoldersConfig,
    mounts: &MountsConfig,
    storage: &[StorageConfig],
    blame: &mut impl FnMut(&str, &str, &str),
) {
    if folders.root.is_none() && !folders.areas.is_empty() {
        blame("folders.root", "is not written, and there are folders", "Such as \"/srv/specola\"");
    }
    if folders.root.as_ref().is_some_and(|root| !is_whole(root)) {
        blame("folders.root", "has to be a path from the root of the machine", "Such as \"/srv/specola\"");
    }
    if folders.uid == 0 {
        blame("folders.uid", "is the administrator of the machine", "Write the number of the user in the image");
    }
    let mut targets = BTreeSet::new();
    for (index, area) in folders.areas.iter().enumerate() {
        let key = format!("folders.areas[{index}]");
        if !is_whole(Path::new(&area.target)) {
            blame(&format!("{key}.target"), "has to be a path from the root of the server", "Such as \"/shared\"");
        }
        if !targets.insert(&area.target) {
            blame(&format!("{key}.target"), "is that of another folder as well", "");
        }
        let plain = |name: &str| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            !name.is_empty() && name.chars().all(known) && name != "trash"
        };
        if !plain(area.name()) {
            blame(&format!("{key}.name"), "has to be small letters, digits, - and _, and not \"trash\"", "");
        }
        let second = |other: &AreaConfig| other.kind != area.kind && other.name() == area.name();
        if folders.areas.iter().any(second) {
            blame(&format!("{key}.name"), "is the folder of another kind as well", "Give it a name of its own");
        }
        if (area.kind == AreaKind::Group) != area.target.contains("{group}") {
            let what = match area.kind {
                AreaKind::Group => "has no {group}: the folders of two groups would be the same",
                _ => "has {group}, and stands for no group",
            };
            blame(&format!("{key}.target"), what, "Such as \"/groups/{group}\", with kind = \"group\"");
        }
    }
    if !is_whole(Path::new(&mounts.target)) {
        blame("spawner.mounts.target", "has to be a path from the root of the server", "Without it, it is \"/s3\"");
    }
    if !is_whole(&mounts.dir) || mounts.cache_dir.as_ref().is_some_and(|dir| !is_whole(dir)) {
        blame("spawner.mounts.dir", "and cache_dir have to be paths from the root of the machine", "");
    }
    for (index, one) in storage.iter().enumerate().filter(|_| mounts.enabled) {
        for (number, bucket) in one.buckets.iter().enumerate() {
            let key = format!("storage[{index}].buckets[{number}].folder");
            match folder_name(mounts, &bucket.folder) {
                None => {
                    let what = format!("is not right below {:?}, the folder of all buckets", mounts.target);
                    blame(&key, &what, "Such as \"/s3/{username}\"");
                }
                Some((Some(within), _)) => {
                    let around = format!("{}/{within}", mounts.target.trim_end_matches('/'));
                    let mut all = storage.iter().flat_map(|one| &one.buckets);
                    if !all.any(|other| other.folder == around && other.read_only) {
                        let what = format!("is in {around:?}, which is no folder that can only be read");
                        blame(&key, &what, "Give that one read_only = true");
                    }
                }
                Some((None, _)) => {}
            }
        }
    }
    if mounts.mount_timeout.is_zero() {
        blame("spawner.mounts.mount_timeout", "has to be more than 0 seconds", "Without it, it is 15");
    }
}

/// Whether a path begins at the root, is not the root, and never turns back.
fn is_whole(path: &Path) -> bool {
    let mut parts = path.components();
    let plain = |part: Component| matches!(part, Component::Normal(_));
    parts.next() == Some(Component::RootDir) && parts.clone().next().is_some() && parts.all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::storage::BucketConfig;

    fn problems(folders: &FoldersConfig, mounts: &MountsConfig) -> Vec<String> {
        let mut found = Vec::new();
        validate(folders, mounts, &[], &mut |key, _, _| found.push(key.to_owned()));
        found
    }

    #[test]
    fn a_bucket_in_the_folder_of_another_needs_one_that_can_only_be_read() {
        let bucket =
            |folder: &str, read_only| BucketConfig { folder: folder.to_owned(), read_only, ..BucketConfig::default() };
        let blamed = |buckets: Vec<BucketConfig>| {
            let storage = [StorageConfig { name: "main".to_owned(), buckets, ..StorageConfig::default() }];
            let (mounts, mut found) = (MountsConfig { enabled: true, ..MountsConfig::default() }, Vec::new());
            validate(&FoldersConfig::default(), &mounts, &storage, &mut |key, what, _| {
                found.push(format!("{key} {what}"))
            });
            found
        };
        let own = || bucket("/s3/scratch/{username}", false);
        assert_eq!(blamed(vec![own(), bucket("/s3/scratch", true)]), Vec::<String>::new());
        let expected = ["storage[0].buckets[0].folder is in \"/s3/scratch\", which is no folder that can only be read"];
        assert_eq!(blamed(vec![own(), bucket("/s3/scratch", false)]), expected);
        assert_eq!(blamed(vec![own()]), expected);
        assert_eq!(blamed(vec![bucket("/s3/a/b/c", false)]).len(), 1);
    }

    fn area(kind: AreaKind, target: &str) -> AreaConfig {
        AreaConfig { kind, target: target.to_owned(), ..AreaConfig::default() }
    }

    #[test]
    fn folders_as_in_the_guide_are_right_and_mistakes_are_named() {
        let areas = vec![
            area(AreaKind::Private, "/private"),
            area(AreaKind::Shared, "/shared"),
            area(AreaKind::Group, "/groups/{group}"),
        ];
        let root = Some("/srv/specola".into());
        let good = FoldersConfig { root, areas, ..FoldersConfig::default() };
        assert_eq!(problems(&good, &MountsConfig::default()), Vec::<String>::new());
        let mut bad = good.clone();
        (bad.root, bad.uid) = (Some("srv/../x".into()), 0);
        bad.areas[0].target = "/a/../../etc".into();
        bad.areas[1].name = Some("trash".into());
        bad.areas[2].target = "/groups".into();
        let mounts = MountsConfig { target: "/".into(), ..MountsConfig::default() };
        let expected = [
            "folders.root",
            "folders.uid",
            "folders.areas[0].target",
            "folders.areas[1].name",
            "folders.areas[2].target",
            "spawner.mounts.target",
        ];
        assert_eq!(problems(&bad, &mounts), expected);
    }
}
