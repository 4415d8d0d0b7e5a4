//! Volumes that are one person's: which the configuration gives them, whether they are there, and their end.

use bollard::query_parameters::RemoveVolumeOptions;
use hub_core::id::{Generation, SpawnerId};
use serde_json::Value;
use spawners::{Identity, Unreachable};

use crate::config::Config;
use crate::driver::Docker;
use crate::engine::status;
use crate::name::Names;

impl Docker {
    /// The names of the volumes that a server of a person's writes into and nobody else's does. `more` are sources that may
    /// be mounted besides. Parts of volumes and folders of the machine are no volumes.
    pub fn volumes_of(&self, user: &str, server: &str, more: &[String]) -> Vec<String> {
        let config = &self.parts.config;
        let mut all: Vec<String> = sources(config)
            .chain(more.iter().cloned())
            .filter_map(|source| own(config, &source, user, server))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// Whether there is such a volume.
    pub async fn has_volume(&self, name: &str) -> Result<bool, Unreachable> {
        let client = self.parts.engine.client().map_err(Unreachable::new)?;
        match client.inspect_volume(name).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(Unreachable::new(error)),
        }
    }

    /// Removes a volume with all that is in it, if it is there. One that a container has is an error.
    pub async fn remove_volume(&self, name: &str) -> Result<(), Unreachable> {
        let client = self.parts.engine.client().map_err(Unreachable::new)?;
        match client.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Err(error) if status(&error) == Some(404) => Ok(()),
            other => other.map_err(Unreachable::new),
        }
    }
}

/// What is mounted to be written into, as the configuration has it.
fn sources(config: &Config) -> impl Iterator<Item = String> + '_ {
    let text = |mount: &serde_json::Map<String, Value>, names: [&str; 2]| {
        names.iter().find_map(|name| mount.get(*name).and_then(Value::as_str)).map(str::to_owned)
    };
    let mounts = config.shape.mounts.iter().filter_map(move |mount| {
        let kind = text(mount, ["Type", "type"]);
        kind.is_none_or(|kind| kind == "volume").then(|| text(mount, ["Source", "source"])).flatten()
    });
    config.shape.volumes.keys().cloned().chain(mounts)
}

/// The volume's name, where it would be another for somebody else.
fn own(config: &Config, source: &str, user: &str, server: &str) -> Option<String> {
    let filled = |user: &str| {
        let server = Identity {
            hub: config.hub.clone(),
            spawner: SpawnerId(0),
            generation: Generation(0),
            user: user.to_owned(),
            server: server.to_owned(),
        };
        Names::new(&server, config.image.as_deref().unwrap_or_default(), &config.prefix, config.escape)
            .fill(source)
            .ok()
    };
    let name = filled(user)?;
    // What an engine takes for a name: folders have none, and nothing else leads to another address of its API.
    let is_name = name.chars().all(|char| char.is_ascii_alphanumeric() || "_.-".contains(char));
    let is_own = is_name && !name.is_empty() && filled(&format!("{user}x"))? != name;
    is_own.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_one_persons_alone_is_theirs() {
        let mut config = Config::new("h");
        for source in ["home-{username}", "work-{username}-{servername}", "common", "/srv/{username}", "{nonsense}"] {
            config.shape.volumes.insert(source.to_owned(), json!("/x"));
        }
        config.shape.read_only_volumes.insert("course-{username}".to_owned(), json!("/c"));
        for mount in [
            json!({"Type": "volume", "Source": "more-{raw_username}", "Target": "/m"}),
            json!({"type": "bind", "source": "bound-{username}", "target": "/b"}),
            json!({"source": "all", "target": "/a"}),
        ] {
            config.shape.mounts.push(mount.as_object().unwrap().clone());
        }
        let docker =
            |config| Docker::new(config).map(|docker| docker.volumes_of("Anna", "gpu", &["extra-{username}".into()]));
        assert!(docker(config.clone()).is_err(), "what is not understood is no configuration");
        config.shape.volumes.remove("{nonsense}");
        let names = docker(config).unwrap();
        let odd =
            Docker::new(Config::new("h")).unwrap().volumes_of("../../containers/x", "", &["{raw_username}".into()]);
        assert_eq!(odd, Vec::<String>::new());
        assert_eq!(names, ["extra--41nna", "home--41nna", "more-Anna", "work--41nna-gpu"]);
    }
}
