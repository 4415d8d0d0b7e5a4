//! Volumes of a container engine that are one person's: where homes are that are no folders of the machine.
//!
//! An engine gives no volume another name. So a volume in the trash stays where it is, and no server gets it before somebody
//! has decided what becomes of it.

use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_store::{Store, StoreError, TrashedVolume};
use serde_json::Value;
use spawner_docker::Docker;
use spawners::{Plan, Unreachable};

use crate::config::Config;
use crate::config::spawner::Driver;

/// Where they are, and which there are.
#[derive(Debug, Clone)]
pub struct Volumes {
    engine: Docker,
    /// Sources of what people may choose to have mounted.
    chosen: Vec<String>,
}

impl Volumes {
    /// Nothing where servers are no containers.
    pub fn of(config: &Config) -> Option<Self> {
        if config.spawner.driver != Driver::Docker {
            return None;
        }
        let engine = Docker::new(config.spawner.docker.driver("")).ok()?;
        let source = |words: &std::collections::BTreeMap<String, Value>| {
            let text = |keys: &[&str]| keys.iter().find_map(|key| words.get(*key)?.as_str().map(str::to_owned));
            let volume = text(&["source", "name", "volume"])?;
            Some(text(&["subpath", "sub_path"]).map_or(volume.clone(), |part| format!("{volume}/{part}")))
        };
        let chosen = config.options.volumes.iter().filter_map(|volume| source(&volume.mount)).collect();
        Some(Self { engine, chosen })
    }

    /// The names of those that servers of these names of a person have, for writing.
    pub fn names<'a>(&self, user: &str, servers: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut all: Vec<String> =
            servers.into_iter().flat_map(|server| self.engine.volumes_of(user, server, &self.chosen)).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The names of those that a server which is about to start has for writing, and that are its person's alone: of the
    /// configuration, of a profile, or chosen.
    pub fn of_plan(&self, plan: &Plan) -> Vec<String> {
        self.engine.volumes_of_plan(plan)
    }

    /// Whether people have any.
    pub fn are_had(&self) -> bool {
        !self.names("somebody", [""]).is_empty()
    }

    /// Puts a person's into the trash, under the name of an entry: those that servers of theirs were ever given, and those
    /// that the configuration gives them. Tells which there were, without those that are in the trash already.
    pub async fn put(&self, store: &Store, away: &Away<'_>) -> Result<Vec<String>, StoreError> {
        let mut there = Vec::new();
        let mut all = self.names(away.user, away.servers.iter().map(String::as_str).chain([""]));
        all.extend(store.volumes_of(away.user_id).await?);
        all.sort();
        all.dedup();
        all.retain(|volume| !away.keep.contains(volume));
        for volume in all {
            // Who had the name before may have left one that somebody new was given by hand.
            if store.is_volume_of_another(away.user_id, &volume).await? {
                continue;
            }
            // An engine that cannot be asked may have it.
            if self.engine.has_volume(&volume).await.unwrap_or(true) {
                there.push(volume);
            }
        }
        let rows: Vec<TrashedVolume> = there.iter().map(|volume| away.row(volume)).collect();
        store.trash_volumes(&rows).await
    }

    /// Removes one for good. Whatever it was in is to be told of it.
    pub async fn remove(&self, volume: &str) -> Result<(), Unreachable> {
        self.engine.remove_volume(volume).await
    }
}

/// Who goes, and for how long what they had is kept.
pub struct Away<'a> {
    /// Who.
    pub user: &'a str,
    /// The same by number.
    pub user_id: UserId,
    /// The names of their servers.
    pub servers: &'a [String],
    /// The name of the entry in the trash.
    pub entry: &'a str,
    /// When.
    pub now: Time,
    /// Until when; absent for ever.
    pub remove_at: Option<Time>,
    /// Volumes that stay with them.
    pub keep: &'a [String],
}

impl Away<'_> {
    fn row(&self, volume: &str) -> TrashedVolume {
        TrashedVolume {
            volume: volume.to_owned(),
            entry: self.entry.to_owned(),
            user: self.user.to_owned(),
            user_id: Some(self.user_id),
            deleted_at: self.now,
            remove_at: self.remove_at,
        }
    }
}
