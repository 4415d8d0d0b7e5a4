//! Volumes that are one person's, and parts of volumes (`volume/folder`): which the configuration gives them, whether they
//! are there, and their end.

use std::collections::BTreeSet;

use bollard::models::{ContainerCreateBody, MountType};
use bollard::query_parameters::RemoveVolumeOptions;
use hub_core::id::{Generation, SpawnerId};
use serde_json::Value;
use spawners::{Identity, Plan, Unreachable};

use crate::config::Config;
use crate::docker_py;
use crate::driver::Docker;
use crate::engine::status;
use crate::make::Recipe;
use crate::name::Names;
use crate::part;

impl Docker {
    /// The names of the volumes that a server of a person's writes into and nobody else's does. `more` are sources that may
    /// be mounted besides, `volume/folder` for a part of one. Folders of the machine are no volumes.
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

    /// The names of the volumes that the server of a plan writes into and that of nobody else would, whoever chose them.
    /// None where no container can be made of the plan.
    pub fn volumes_of_plan(&self, plan: &Plan) -> Vec<String> {
        let config = &self.parts.config;
        let written = |plan: &Plan| Recipe::new(config, plan).map(|recipe| written(&recipe.body)).unwrap_or_default();
        // Which devices it is given may not be known yet, and says nothing of volumes.
        let mut own = plan.clone();
        own.gpus.clear();
        own.devices.clear();
        let mut another = own.clone();
        another.identity.user.push('x');
        let others = written(&another);
        let all: BTreeSet<String> = written(&own).into_iter().filter_map(|own| alone(own, &others)).collect();
        all.into_iter().collect()
    }

    /// Whether there is such a volume, or such a part of one.
    pub async fn has_volume(&self, name: &str) -> Result<bool, Unreachable> {
        let (volume, folder) = part::split(name);
        let client = self.parts.engine.client().map_err(Unreachable::new)?;
        match client.inspect_volume(volume).await {
            Ok(_) => {}
            Err(error) if status(&error) == Some(404) => return Ok(false),
            Err(error) => return Err(Unreachable::new(error)),
        }
        match folder {
            Some(folder) => self.parts.has_part(volume, folder).await,
            None => Ok(true),
        }
    }

    /// Removes a volume, or a part of one, with all that is in it, if it is there. A volume that a container has is an error.
    pub async fn remove_volume(&self, name: &str) -> Result<(), Unreachable> {
        if let (volume, Some(folder)) = part::split(name) {
            return match self.has_volume(volume).await? {
                true => self.parts.remove_part(volume, folder).await,
                false => Ok(()),
            };
        }
        let client = self.parts.engine.client().map_err(Unreachable::new)?;
        match client.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Err(error) if status(&error) == Some(404) => Ok(()),
            other => other.map_err(Unreachable::new),
        }
    }
}

/// What is written into: a volume, or a folder of the machine, and the part of it.
type Source = (String, Option<String>);

/// What a container writes into, as the engine is asked for it.
fn written(body: &ContainerCreateBody) -> Vec<Source> {
    let Some(host) = &body.host_config else { return Vec::new() };
    let binds = host.binds.iter().flatten().filter_map(|bind| {
        let mut parts = bind.split(':');
        let (source, _target) = (parts.next()?, parts.next()?);
        let is_read = parts.next().is_some_and(|mode| mode.split(',').any(|word| word == "ro"));
        (!is_read).then(|| (source.to_owned(), None))
    });
    let mounts = host.mounts.iter().flatten().filter_map(|mount| {
        let is_one = mount.typ == Some(MountType::VOLUME) && mount.read_only != Some(true);
        let part = || mount.volume_options.as_ref()?.subpath.clone().filter(|part| !part.is_empty());
        mount.source.clone().filter(|_| is_one).map(|source| (source, part()))
    });
    binds.chain(mounts).collect()
}

/// What of it is one person's alone, where somebody else has the others: the volume, or the part.
fn alone((volume, part): Source, others: &[Source]) -> Option<String> {
    if !is_name(&volume) {
        return None;
    }
    if others.iter().all(|(other, _)| *other != volume) {
        return Some(volume);
    }
    let folder = part.as_ref().filter(|_| others.iter().all(|(other, theirs)| *other != volume || *theirs != part))?;
    part::name(&volume, folder)
}

/// What is mounted to be written into, as the configuration has it: `volume/folder` for a part.
fn sources(config: &Config) -> impl Iterator<Item = String> + '_ {
    let mounts = config.shape.mounts.iter().filter_map(|written| {
        let mount = docker_py::mount(written).ok()?;
        let text = |name: &str| mount.get(name).and_then(Value::as_str);
        let source = text("Source").filter(|_| text("Type").is_none_or(|kind| kind == "volume"))?;
        let part = mount.get("VolumeOptions").and_then(|options| options["Subpath"].as_str());
        Some(part.map_or(source.to_owned(), |part| format!("{source}/{part}")))
    });
    config.shape.volumes.keys().cloned().chain(mounts)
}

/// The name of the volume or part, where it would be another for somebody else.
fn own(config: &Config, source: &str, user: &str, server: &str) -> Option<String> {
    let filled = |user: &str| -> Option<Source> {
        let server = Identity {
            hub: config.hub.clone(),
            spawner: SpawnerId(0),
            generation: Generation(0),
            user: user.to_owned(),
            server: server.to_owned(),
            account: None,
        };
        let image = config.image.as_deref().unwrap_or_default();
        let names = Names::new(&server, image, &config.prefix, config.escape);
        let fill = |text: &str| names.fill(text).ok();
        match source.split_once('/').filter(|(volume, _)| !volume.is_empty()) {
            Some((volume, part)) => Some((fill(volume)?, Some(fill(part)?))),
            None => Some((fill(source)?, None)),
        }
    };
    alone(filled(user)?, &[filled(&format!("{user}x"))?])
}

/// What an engine takes for a name: folders have none, and nothing else leads to another address of its API.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "_.-".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a profile chose, and what the settings of the engine's own say, are in no list of the configuration's.
    #[test]
    fn what_a_plan_writes_into_is_theirs_whoever_chose_it() {
        let mut config = Config { image: Some("lab:1".to_owned()), ..Config::new("h") };
        config.shape.volumes.insert("home-{username}".to_owned(), json!("/home/jovyan"));
        config.shape.volumes.insert("common".to_owned(), json!("/common"));
        config.shape.read_only_volumes.insert("course-{username}".to_owned(), json!("/c"));
        let docker = Docker::new(config).unwrap();
        let identity = Identity {
            hub: "h".to_owned(),
            spawner: SpawnerId(1),
            generation: Generation(1),
            user: "anna".to_owned(),
            server: "gpu".to_owned(),
            account: None,
        };
        let mut plan = Plan::new(identity, "/user/anna/gpu/", vec!["lab".to_owned()]);
        assert_eq!(docker.volumes_of_plan(&plan), ["home-anna"]);
        plan.gpus.insert("nvidia.com/gpu".to_owned(), 1);
        assert_eq!(docker.volumes_of_plan(&plan), ["home-anna"], "whichever GPU it will be");
        let chosen = json!({
            "volumes": { "scratch-{username}-{servername}": "/scratch", "/srv/{username}": "/srv" },
            "mounts": [
                { "source": "data-{username}", "target": "/data" },
                { "source": "seen-{username}", "target": "/seen", "read_only": true },
                { "source": "all", "target": "/mine", "subpath": "homes/{username}" },
                { "source": "all", "target": "/ours", "subpath": "common" },
                { "source": "all", "target": "/odd", "subpath": "../{username}" },
                { "source": "whole-{username}", "target": "/whole", "subpath": "work" },
                { "type": "bind", "source": "/work/{username}", "target": "/work" },
            ],
            "extra_host_config": { "binds": { "more-{username}": { "bind": "/more", "mode": "rw" } } },
        });
        plan.extra = chosen.as_object().unwrap().clone();
        let words = json!({ "source": "picked-{username}", "path": "/picked" });
        plan.volumes.insert("picked".to_owned(), words.as_object().unwrap().clone());
        let expected =
            ["all/homes/anna", "data-anna", "home-anna", "more-anna", "picked-anna", "scratch-anna-gpu", "whole-anna"];
        assert_eq!(docker.volumes_of_plan(&plan), expected);
        // In a table they lie in the order of the names that they get.
        let binds = json!({ "binds": { "home-{username}": "/h", "home-shared": "/s" } });
        let mut other = plan.clone();
        other.identity.user = "sh".to_owned();
        other.extra = json!({ "extra_host_config": binds }).as_object().unwrap().clone();
        assert!(!docker.volumes_of_plan(&other).contains(&"home-shared".to_owned()), "it is everybody's");
        plan.extra.insert("mounts".to_owned(), json!("nonsense"));
        assert!(docker.volumes_of_plan(&plan).is_empty(), "nothing can be made of it");
    }

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
            json!({"Source": "parts", "Target": "/p", "VolumeOptions": {"Subpath": "{username}"}}),
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
        assert_eq!(names, ["extra--41nna", "home--41nna", "more-Anna", "parts/-41nna", "work--41nna-gpu"]);
    }
}
