//! Parts of volumes: a folder that one person's servers see instead of the whole of it (`subpath`). An engine tells nothing of
//! what is in a volume, so a container that is made for it looks, and removes.

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use spawners::Unreachable;

use crate::driver::Parts;
use crate::engine::status;
use crate::extra::NO_NEW_PRIVILEGES;

/// Where the whole volume is in the container that looks into it.
const PLACE: &str = "/volume";
/// Whatever people put in the way of a folder, nothing else is removed in its place.
const REMOVE: &str =
    r#"above=$(dirname "$1"); if [ -e "$above" ]; then [ "$(realpath "$above")" = "$above" ] && rm -rf -- "$1"; fi"#;
/// A removal may take so long.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3600);

/// A part as one name: `volume/folder`. Nothing for what would lead out of the volume.
pub(crate) fn name(volume: &str, folder: &str) -> Option<String> {
    let folder = folder.trim_matches('/');
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    folder.split('/').all(plain).then(|| format!("{volume}/{folder}"))
}

/// The volume that a name is of, and the folder in it where it is a part.
pub(crate) fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('/').map_or((name, None), |(volume, folder)| (volume, Some(folder)))
}

impl Parts {
    /// Whether a volume has a folder.
    pub(crate) async fn has_part(&self, volume: &str, folder: &str) -> Result<bool, Unreachable> {
        let id = self.make_for(volume, folder).await.map_err(Unreachable::new)?;
        let path = format!("{PLACE}/{folder}");
        let options = ContainerArchiveInfoOptionsBuilder::default().path(&path).build();
        let found = match self.engine.client() {
            Ok(client) => client.get_container_archive_info(&id, Some(options)).await.map(drop),
            Err(error) => Err(error),
        };
        self.engine.remove(&id, true).await.map_err(Unreachable::new)?;
        match found {
            Ok(()) => Ok(true),
            Err(error) if matches!(status(&error), Some(400 | 404)) => Ok(false),
            Err(error) => Err(Unreachable::new(error)),
        }
    }

    /// Removes a folder of a volume with all that is in it, if it is there.
    pub(crate) async fn remove_part(&self, volume: &str, folder: &str) -> Result<(), Unreachable> {
        let id = self.make_for(volume, folder).await.map_err(Unreachable::new)?;
        let removed = self.run_to_end(&id).await;
        let said = self.engine.tail(&id, 5).await.unwrap_or_default();
        self.engine.remove(&id, true).await.map_err(Unreachable::new)?;
        match removed {
            Ok(()) => Ok(()),
            Err(Error::DockerContainerWaitError { code, .. }) => Err(Unreachable(anyhow::anyhow!(
                "the folder {folder} of the volume {volume} is not removed (exit code {code}): {}",
                callout::excerpt(said.as_bytes(), 300)
            ))),
            Err(error) => Err(Unreachable::new(error)),
        }
    }

    /// Makes a container with the whole volume, which removes a folder of it once it is started. It has the image of
    /// servers, which is there, and no more rights than this takes.
    async fn make_for(&self, volume: &str, folder: &str) -> Result<String, Error> {
        let digest = hex::encode(Sha256::digest(format!("{volume}/{folder}")));
        let name = format!("specola-part-{}", digest.get(..16).unwrap_or_default());
        // One that was left by a hub that died.
        self.engine.remove(&name, true).await?;
        let words = ["-c", REMOVE, "sh", &format!("{PLACE}/{folder}")];
        let mount = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.to_owned()),
            target: Some(PLACE.to_owned()),
            ..Mount::default()
        };
        let body = ContainerCreateBody {
            image: self.config.image.clone(),
            user: Some("0:0".to_owned()),
            entrypoint: Some(vec!["sh".to_owned()]),
            cmd: Some(words.map(str::to_owned).to_vec()),
            host_config: Some(HostConfig {
                mounts: Some(vec![mount]),
                network_mode: Some("none".to_owned()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(vec!["DAC_OVERRIDE".to_owned(), "FOWNER".to_owned()]),
                security_opt: Some(vec![NO_NEW_PRIVILEGES.to_owned()]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        Ok(self.engine.client()?.create_container(Some(options), body).await?.id)
    }

    async fn run_to_end(&self, id: &str) -> Result<(), Error> {
        let client = self.engine.patient(PATIENCE)?;
        client.start_container(id, None::<StartContainerOptions>).await?;
        client.wait_container(id, None::<WaitContainerOptions>).try_collect::<Vec<_>>().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_folder_within_its_volume() {
        assert_eq!(name("all", "anna").as_deref(), Some("all/anna"));
        assert_eq!(name("all", "/homes/anna/").as_deref(), Some("all/homes/anna"));
        for odd in ["", "/", ".", "..", "a/../../b", "a//b", "a/./b", "a\nb"] {
            assert_eq!(name("all", odd), None, "{odd:?}");
        }
        assert_eq!(split("all/homes/anna"), ("all", Some("homes/anna")));
        assert_eq!(split("home-anna"), ("home-anna", None));
    }
}
