//! Which buckets a server sees as folders: by the person and their groups, as a pure function.

use std::path::Path;

use hub_core::name;
use hub_core::policy::group::GroupRule;
use spawners::{Mount, ObjectStore};

use crate::config::folders::MountsConfig;
use crate::config::storage::{BucketConfig, Dialect};
use crate::storage::Offer;

/// Decides for a person in these groups. Nothing where mounts are not enabled, or where the person gets no keys.
pub fn of_person(config: &MountsConfig, offers: &[Offer], user: &str, groups: &[String]) -> Vec<Mount> {
    let mut all: Vec<Mount> = Vec::new();
    if !config.enabled {
        return all;
    }
    for offer in offers.iter().filter(|offer| offer.role_of(groups).is_some()) {
        for bucket in &offer.config.buckets {
            for group in meant(bucket, groups) {
                // The first of two with one name: what a person finds must not depend on more than the configuration.
                if let Some(mount) = mount(config, offer, bucket, user, group)
                    && !all.iter().any(|other| other.path() == mount.path())
                {
                    all.push(mount);
                }
            }
        }
    }
    // What is in a folder that the person does not have is not there either.
    let around: Vec<String> =
        all.iter().filter(|mount| mount.within.is_none() && mount.read_only).map(Mount::path).collect();
    all.retain(|mount| mount.within.as_ref().is_none_or(|within| around.contains(within)));
    all
}

/// The groups a bucket is mounted for, one folder each; one nameless where it stands for no group.
fn meant<'a>(bucket: &BucketConfig, groups: &'a [String]) -> Vec<&'a str> {
    let rules: Vec<GroupRule> = bucket.groups.iter().map(GroupRule::new).collect();
    let mut admitted =
        groups.iter().map(String::as_str).filter(|group| rules.iter().any(|rule| rule.admits(group))).peekable();
    if [&bucket.bucket, &bucket.prefix, &bucket.folder].iter().any(|text| text.contains("{group}")) {
        return admitted.collect();
    }
    if rules.is_empty() || admitted.peek().is_some() { vec![""] } else { Vec::new() }
}

fn mount(config: &MountsConfig, offer: &Offer, bucket: &BucketConfig, user: &str, group: &str) -> Option<Mount> {
    let group = group.trim_matches('/');
    let fill = |text: &str| text.replace("{username}", user).replace("{group}", group);
    let name = bucket.folder.replace("{username}", &name::safe_part(user)).replace("{group}", &name::safe_part(group));
    let (within, name) = folder_name(config, &name)?;
    let (filled, prefix) = (fill(&bucket.bucket), fill(&bucket.prefix));
    let whole = prefix.split('/').all(|part| !matches!(part, "." | ".."));
    if !is_bucket(&filled) || !whole || prefix.contains(|char: char| char.is_control()) {
        tracing::warn!(user, bucket = filled, "cannot be the name of a bucket: the folder is left out");
        return None;
    }
    let store = &offer.config;
    Some(Mount {
        name,
        within,
        bucket: filled,
        prefix: prefix.trim_matches('/').to_owned(),
        // One's own may be missing before the first visit; that of others is for others to make.
        create: bucket.bucket.contains("{username}"),
        read_only: bucket.read_only,
        required: config.required.contains(&bucket.folder),
        store: ObjectStore {
            name: store.name.clone(),
            endpoint: store.endpoint(),
            region: store.region.clone(),
            provider: match store.dialect {
                Dialect::Minio => "Minio",
                Dialect::Ceph => "Ceph",
                Dialect::Aws => "AWS",
            }
            .to_owned(),
            ca_file: store.ca_file.as_ref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone())),
        },
    })
}

/// The last part of a folder's path below the folder of all buckets, and the one before it where there is one; nothing when
/// it is elsewhere.
pub fn folder_name(config: &MountsConfig, folder: &str) -> Option<(Option<String>, String)> {
    let below = Path::new(folder).strip_prefix(&config.target).ok()?;
    let mut parts = below.components().map(|part| part.as_os_str().to_str().map(str::to_owned));
    let (first, second) = (parts.next()??, parts.next());
    match (second, parts.next()) {
        (None, _) => Some((None, first)),
        (Some(second), None) => Some((Some(first), second?)),
        (Some(_), Some(_)) => None,
    }
}

/// Whether a bucket of S3 can have this name.
fn is_bucket(name: &str) -> bool {
    let known = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-.".contains(char);
    (3..=63).contains(&name.len()) && name.chars().all(known) && name.starts_with(|char: char| char.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorageConfig;
    use crate::config::storage::StorageRole;

    fn bucket(bucket: &str, folder: &str, groups: &[&str]) -> BucketConfig {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        BucketConfig { bucket: bucket.into(), folder: folder.into(), groups, ..BucketConfig::default() }
    }

    fn offer(buckets: Vec<BucketConfig>, role_for: &[&str]) -> Offer {
        let groups = role_for.iter().map(|group| (*group).to_owned()).collect();
        let roles = vec![StorageRole { role_arn: "arn".into(), groups }];
        Offer::new(StorageConfig { name: "main".into(), buckets, roles, ..StorageConfig::default() })
    }

    fn seen(offers: &[Offer], user: &str, groups: &[&str]) -> Vec<String> {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let config = MountsConfig { enabled: true, ..MountsConfig::default() };
        let mounts = of_person(&config, offers, user, &groups);
        mounts.iter().map(|mount| format!("{}={}", mount.name, mount.bucket)).collect()
    }

    #[test]
    fn buckets_follow_from_groups() {
        let offers = [offer(
            vec![
                bucket("{username}", "/s3/{username}", &[]),
                bucket("scratch", "/s3/scratch", &[]),
                bucket("{group}-data", "/s3/{group}", &["cms", "cygno/*"]),
                bucket("secret", "/s3/secret", &["chiefs"]),
            ],
            &["users"],
        )];
        assert_eq!(seen(&offers, "anna", &["users"]), ["anna=anna", "scratch=scratch"]);
        assert_eq!(seen(&offers, "anna", &["/users", "/cms"]), ["anna=anna", "scratch=scratch", "cms=cms-data"]);
        assert_eq!(seen(&offers, "anna", &["users", "chiefs"]).last().map(String::as_str), Some("secret=secret"));
        assert_eq!(seen(&offers, "anna", &["cms"]), Vec::<String>::new(), "without a role there are no keys");
    }

    #[test]
    fn what_cannot_be_a_bucket_or_lies_elsewhere_is_left_out() {
        let own = || vec![bucket("{username}", "/s3/{username}", &[])];
        for odd in ["..", "a/../b", "A:B", "x", &"x".repeat(80)] {
            assert_eq!(seen(&[offer(own(), &[])], odd, &[]), Vec::<String>::new(), "{odd}");
        }
        let elsewhere = vec![bucket("data", "/data", &[]), bucket("data", "/s3/a/b", &[]), bucket("data", "/s3", &[])];
        assert_eq!(seen(&[offer(elsewhere, &[])], "anna", &[]), Vec::<String>::new());
        let twice = vec![bucket("one", "/s3/data", &[]), bucket("two", "/s3/data", &[])];
        assert_eq!(seen(&[offer(twice, &[])], "anna", &[]), ["data=one"]);
    }

    #[test]
    fn a_part_of_ones_own_is_in_a_folder_that_can_only_be_read() {
        let whole = |read_only, groups: &[&str]| BucketConfig { read_only, ..bucket("scratch", "/s3/scratch", groups) };
        let own = || BucketConfig { prefix: "{username}/".into(), ..bucket("scratch", "/s3/scratch/{username}", &[]) };
        let of = |buckets| {
            let config = MountsConfig { enabled: true, ..MountsConfig::default() };
            let mounts = of_person(&config, &[offer(buckets, &[])], "anna", &[]);
            let line = |mount: &Mount| (mount.path(), mount.prefix.clone(), mount.read_only);
            mounts.iter().map(line).collect::<Vec<_>>()
        };
        let both = [("scratch/anna".to_owned(), "anna".to_owned(), false), ("scratch".to_owned(), String::new(), true)];
        assert_eq!(of(vec![own(), whole(true, &[])]), both, "whichever is written first");
        assert_eq!(of(vec![own()]), []);
        assert_eq!(of(vec![own(), whole(true, &["chiefs"])]), [], "who does not have the one does not have the other");
        let writable = of(vec![own(), whole(false, &[])]);
        assert_eq!(writable, [("scratch".to_owned(), String::new(), false)]);
        let beside = of(vec![own(), whole(true, &[]), bucket("anna", "/s3/{username}", &[])]);
        assert_eq!(beside.len(), 3, "the same name elsewhere is another folder: {beside:?}");
    }

    #[test]
    fn only_ones_own_bucket_is_made() {
        let offers = [offer(vec![bucket("{username}", "/s3/me", &[]), bucket("scratch", "/s3/scratch", &[])], &[])];
        let config =
            MountsConfig { enabled: true, required: ["/s3/scratch".to_owned()].into(), ..MountsConfig::default() };
        let mounts = of_person(&config, &offers, "anna", &[]);
        let made: Vec<_> = mounts.iter().map(|mount| (mount.create, mount.required)).collect();
        assert_eq!(made, [(true, false), (false, true)]);
    }
}
