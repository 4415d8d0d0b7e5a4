//! What is mounted into a container: from the configuration, from what was chosen, and folders of the machine.

use std::collections::BTreeMap;

use bollard::models::{Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, MountVolumeOptions};
use serde::Deserialize;
use serde_json::{Map, Value};
use spawners::Bind;

use crate::docker_py;
use crate::extra;
use crate::name::Names;

/// A volume in the words of DockerSpawner.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Target(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    bind: String,
    mode: Option<String>,
    propagation: Option<String>,
    /// docker-py's older word.
    ro: Option<bool>,
}

/// A volume that was chosen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// The volume's name, or a folder of the machine; the name it was chosen by without it.
    #[serde(alias = "name", alias = "volume")]
    source: Option<String>,
    #[serde(alias = "bind", alias = "path", alias = "mount_path")]
    target: String,
    #[serde(default)]
    read_only: bool,
    #[serde(alias = "sub_path")]
    subpath: Option<String>,
}

/// DockerSpawner's volumes as `source:target:mode`. The error says what is not understood.
pub(crate) fn binds(volumes: &BTreeMap<String, Value>, usual: &str, names: &Names) -> Result<Vec<String>, String> {
    volumes.iter().map(|(source, written)| bind(source, written, usual, names)).collect()
}

fn bind(source: &str, written: &Value, usual: &str, names: &Names) -> Result<String, String> {
    let table = read(source, written)?;
    let fill = |text: &str| names.fill(text).map_err(|name| format!("{text:?} contains {name}, which is no field"));
    spell(&fill(source)?, &fill(&table.bind)?, &table, usual)
}

/// One of docker-py's `binds`, whose templates are filled in already.
pub(crate) fn spelled(source: &str, written: &Value) -> Result<String, String> {
    let table = read(source, written)?;
    spell(source, &table.bind, &table, "rw")
}

fn read(source: &str, written: &Value) -> Result<Table, String> {
    let written: Written = serde_json::from_value(written.clone())
        .map_err(|_| format!("{source:?} has to be a path, or a table with bind, mode and propagation"))?;
    Ok(match written {
        Written::Target(bind) => Table { bind, mode: None, propagation: None, ro: None },
        Written::Table(table) => table,
    })
}

fn spell(from: &str, to: &str, table: &Table, usual: &str) -> Result<String, String> {
    if from.is_empty() || from.contains(':') || to.contains(':') || !to.starts_with('/') {
        return Err(format!("{from:?} has to be mounted at an absolute path, without a colon in either"));
    }
    let of_flag = table.ro.map(|ro| if ro { "ro" } else { "rw" });
    let mode = table.mode.as_deref().or(of_flag).unwrap_or(usual);
    let known = mode.split(',').all(|word| matches!(word, "rw" | "ro" | "z" | "Z" | "nocopy"));
    if !known {
        return Err(format!("{from:?} has the mode {mode:?}; known are rw, ro, z and Z"));
    }
    Ok(match &table.propagation {
        Some(propagation) => format!("{from}:{to}:{mode},{propagation}"),
        None => format!("{from}:{to}:{mode}"),
    })
}

/// Mounts in the words of Docker's API, or of docker-py (`read_only`).
pub(crate) fn mounts(written: &[Map<String, Value>], names: &Names) -> Result<Vec<Mount>, String> {
    written.iter().map(|mount| explicit(mount, names)).collect()
}

fn explicit(written: &Map<String, Value>, names: &Names) -> Result<Mount, String> {
    let mut mount: Mount = extra::lay(&Mount::default(), &docker_py::mount(written)?)?;
    for (what, text) in [("source", &mut mount.source), ("target", &mut mount.target)] {
        if let Some(template) = text {
            *template =
                names.fill(template).map_err(|name| format!("the {what} contains {name}, which is no field"))?;
        }
    }
    if let Some(subpath) = mount.volume_options.as_mut().and_then(|options| options.subpath.as_mut()) {
        *subpath = names.fill(subpath).map_err(|name| format!("the subpath contains {name}, which is no field"))?;
    }
    if mount.target.as_deref().is_none_or(|target| !target.starts_with('/')) {
        return Err("a mount has to name its Target, an absolute path".to_owned());
    }
    // docker-py's own default.
    mount.typ = mount.typ.or(Some(MountType::VOLUME));
    Ok(mount)
}

/// A volume that was chosen by its name.
pub(crate) fn chosen(name: &str, words: &Map<String, Value>, names: &Names) -> Result<Mount, String> {
    let chosen: Chosen = serde_json::from_value(Value::Object(words.clone()))
        .map_err(|error| format!("the volume {name:?}: {error}"))?;
    let fill = |text: &str| {
        names.fill(text).map_err(|field| format!("the volume {name:?}: {text:?} contains {field}, which is no field"))
    };
    let (source, target) = (fill(chosen.source.as_deref().unwrap_or(name))?, fill(&chosen.target)?);
    if !target.starts_with('/') {
        return Err(format!("the volume {name:?} has to be mounted at an absolute path"));
    }
    let folder = source.starts_with('/');
    let subpath = chosen.subpath.as_deref().map(fill).transpose()?;
    if folder && subpath.is_some() {
        return Err(format!("the volume {name:?}: a folder of the machine has no subpath; name the folder itself"));
    }
    let volume_options = subpath.map(|subpath| MountVolumeOptions { subpath: Some(subpath), ..Default::default() });
    Ok(Mount {
        source: Some(source),
        target: Some(target),
        typ: Some(if folder { MountType::BIND } else { MountType::VOLUME }),
        read_only: Some(chosen.read_only),
        volume_options,
        ..Mount::default()
    })
}

/// A folder of the machine.
pub(crate) fn folder(bind: &Bind) -> Mount {
    let options = MountBindOptions { propagation: Some(MountBindOptionsPropagationEnum::RSLAVE), ..Default::default() };
    Mount {
        source: Some(bind.source.display().to_string()),
        target: Some(bind.target.display().to_string()),
        typ: Some(MountType::BIND),
        read_only: Some(bind.read_only),
        bind_options: bind.propagate.then_some(options),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};
    use serde_json::json;
    use spawners::Identity;

    fn names() -> Names {
        let server = Identity {
            hub: "h".into(),
            spawner: SpawnerId(1),
            generation: Generation(1),
            user: "Anna".into(),
            server: "gpu".into(),
            account: None,
        };
        Names::new(&server, "image", "jupyter", crate::name::Escape::Default)
    }

    fn table(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn volumes_are_read_as_dockerspawner_reads_them() {
        let volumes = BTreeMap::from([
            ("home-{username}".to_owned(), json!("/home/jovyan")),
            ("/data".to_owned(), json!({"bind": "/data/{raw_username}", "mode": "ro", "propagation": "rslave"})),
        ]);
        let binds = binds(&volumes, "rw", &names()).unwrap();
        assert_eq!(binds, ["/data:/data/Anna:ro,rslave", "home--41nna:/home/jovyan:rw"]);
    }

    #[test]
    fn what_cannot_be_mounted_is_said() {
        for (source, written) in [
            ("{home}", json!("/a")),
            ("a", json!("relative")),
            ("a:b", json!("/a")),
            ("a", json!({"bind": "/a", "mode": "rx"})),
            ("a", json!({"target": "/a"})),
            ("a", json!(1)),
        ] {
            assert!(bind(source, &written, "rw", &names()).is_err(), "{source} {written}");
        }
        assert!(mounts(&[table(json!({"source": "a"}))], &names()).is_err());
        assert!(mounts(&[table(json!({"target": "/a", "nonsense": 1}))], &names()).is_err());
        assert!(chosen("data", &table(json!({"target": "data"})), &names()).is_err());
        assert!(chosen("data", &table(json!({"target": "/data", "mode": "ro"})), &names()).is_err());
        assert!(chosen("data", &table(json!({"source": "/d", "target": "/d", "subpath": "a"})), &names()).is_err());
    }

    #[test]
    fn mounts_are_the_apis_with_templates() {
        let written = table(json!({
            "Type": "volume", "source": "all", "target": "/home/{username}", "read_only": true,
            "VolumeOptions": {"Subpath": "{username}"},
        }));
        let mount = mounts(&[written], &names()).unwrap().remove(0);
        assert_eq!((mount.target.as_deref(), mount.read_only), (Some("/home/-41nna"), Some(true)));
        assert_eq!(mount.volume_options.as_ref().unwrap().subpath.as_deref(), Some("-41nna"));
    }

    #[test]
    fn a_chosen_volume_is_named_by_its_choice() {
        let mount = chosen("data", &table(json!({"target": "/data", "read_only": true})), &names()).unwrap();
        assert_eq!(
            (mount.source.as_deref(), mount.typ, mount.read_only),
            (Some("data"), Some(MountType::VOLUME), Some(true))
        );
        let mount = chosen("x", &table(json!({"source": "/srv/{servername}", "path": "/x"})), &names()).unwrap();
        assert_eq!((mount.source.as_deref(), mount.typ), (Some("/srv/gpu"), Some(MountType::BIND)));
    }

    #[test]
    fn folders_propagate_when_they_are_to() {
        let bind = Bind { source: "/s".into(), target: "/t".into(), read_only: false, propagate: true };
        let propagation = |bind: &Bind| folder(bind).bind_options.and_then(|options| options.propagation);
        assert_eq!(propagation(&bind), Some(MountBindOptionsPropagationEnum::RSLAVE));
        assert_eq!(propagation(&Bind { propagate: false, ..bind }), None);
    }
}
