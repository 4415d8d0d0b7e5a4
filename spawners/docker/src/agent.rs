//! The lab agent for images that do not have it: laid into a container before it starts, and run before all that the
//! container would run by itself.
//!
//! It goes into the container as `docker cp` puts files there, so that the engine may be on another machine than the hub, and
//! the hub in a container of its own.

use std::io;
use std::path::Path;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use spawners::StartError;

use crate::driver::Parts;
use crate::image::Image;
use crate::refusal;

/// Its folder in containers. Not where an image would have an agent of its own.
const FOLDER: &str = "opt/specola/";
/// Where it is.
const PLACE: &str = "opt/specola/specola-lab-agent";
/// By this name an image's own agent is known.
const NAME: &str = "specola-lab-agent";
/// Larger files are no agent.
const LARGEST: u64 = 64 << 20;

/// The agent in an archive that is unpacked at the root of a container.
pub(crate) struct Agent(Vec<u8>);

impl Parts {
    /// The agent for a container, unless it has none, or has one already. A lab is worth more than its agent: what stands in
    /// the way is logged.
    pub(crate) async fn agent(&self, body: &ContainerCreateBody, image: Option<&Image>) -> Option<Agent> {
        let file = self.config.agent_file.clone()?;
        if let Err(why) = has_room(body, image) {
            why.inspect(|why| tracing::warn!("a server starts without the lab agent: {why}"));
            return None;
        }
        let shown = file.display().to_string();
        match tokio::task::spawn_blocking(move || pack(&file)).await {
            Ok(Ok(archive)) => Some(Agent(archive)),
            Ok(Err(error)) => {
                tracing::error!("a server starts without the lab agent: {shown}: {error}");
                None
            }
            Err(error) => {
                tracing::error!("a server starts without the lab agent: {error}");
                None
            }
        }
    }

    /// Lays the agent into a container that does not run.
    pub(crate) async fn lay(&self, id: &str, agent: Agent) -> Result<(), StartError> {
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let laid = match self.engine.client() {
            Ok(client) => client.upload_to_container(id, Some(options), bollard::body_full(agent.0.into())).await,
            Err(error) => Err(error),
        };
        laid.map_err(|error| refusal::of(error, "put the lab agent into the container"))
    }
}

/// Whether the agent can be put before what a container runs. The error is why not; none where it has one.
fn has_room(body: &ContainerCreateBody, image: Option<&Image>) -> Result<(), Option<&'static str>> {
    let Some(image) = image else { return Err(Some("what the image runs is not known with the pull_policy skip")) };
    if body.host_config.as_ref().and_then(|host| host.readonly_rootfs) == Some(true) {
        return Err(Some("its file system cannot be written"));
    }
    let (entrypoint, cmd) = run(body, image);
    let names = |word: &String| Path::new(word).file_name().is_some_and(|name| name == NAME);
    if entrypoint.first().is_some_and(names) || cmd.first().is_some_and(names) { Err(None) } else { Ok(()) }
}

/// What a container runs: its entrypoint and its command.
fn run(body: &ContainerCreateBody, image: &Image) -> (Vec<String>, Vec<String>) {
    // As the engine has it: another entrypoint leaves the image's command out.
    let of_image = if body.entrypoint.is_none() { image.cmd.clone() } else { Vec::new() };
    let mut entrypoint = body.entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone());
    entrypoint.retain(|word| !word.is_empty());
    (entrypoint, body.cmd.clone().unwrap_or(of_image))
}

/// The same container with the agent before what it runs.
pub(crate) fn before(body: &ContainerCreateBody, image: Option<&Image>) -> ContainerCreateBody {
    let (entrypoint, cmd) = run(body, image.unwrap_or(&Image::default()));
    let agent = [format!("/{PLACE}"), "--".to_owned()];
    let entrypoint = agent.into_iter().chain(entrypoint).collect();
    ContainerCreateBody { entrypoint: Some(entrypoint), cmd: Some(cmd), ..body.clone() }
}

fn pack(file: &Path) -> io::Result<Vec<u8>> {
    let program = std::fs::File::open(file)?;
    let size = program.metadata()?.len();
    if size > LARGEST {
        return Err(io::Error::other(format!("{size} bytes are too many for the lab agent")));
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o755);
    // The folder as well: whatever is there in its place goes.
    let mut folder = tar::Header::new_gnu();
    folder.set_entry_type(tar::EntryType::Directory);
    folder.set_size(0);
    folder.set_mode(0o755);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut folder, FOLDER, io::empty())?;
    archive.append_data(&mut header, PLACE, io::Read::take(program, size))?;
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use bollard::models::HostConfig;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn image(entrypoint: &[&str], cmd: &[&str]) -> Image {
        Image { entrypoint: words(entrypoint), cmd: words(cmd), ..Image::default() }
    }

    fn body(entrypoint: Option<&[&str]>, cmd: Option<&[&str]>) -> ContainerCreateBody {
        ContainerCreateBody { entrypoint: entrypoint.map(words), cmd: cmd.map(words), ..ContainerCreateBody::default() }
    }

    #[test]
    fn the_agent_runs_what_the_container_would_run_by_itself() {
        let tini = image(&["tini", "-g", "--"], &["start"]);
        for (asked, expected) in [
            (body(None, None), ["/opt/specola/specola-lab-agent -- tini -g --", "start"]),
            (body(None, Some(&["lab", "-x"])), ["/opt/specola/specola-lab-agent -- tini -g --", "lab -x"]),
            (body(Some(&["/mine"]), None), ["/opt/specola/specola-lab-agent -- /mine", ""]),
            (body(Some(&[""]), Some(&["lab"])), ["/opt/specola/specola-lab-agent --", "lab"]),
        ] {
            assert_eq!(has_room(&asked, Some(&tini)), Ok(()));
            let made = before(&asked, Some(&tini));
            assert_eq!([made.entrypoint, made.cmd].map(|words| words.unwrap().join(" ")), expected);
        }
    }

    #[test]
    fn who_has_an_agent_gets_no_other_and_where_it_cannot_be_laid_that_is_told() {
        let lab = image(&["specola-lab-agent", "--"], &["lab"]);
        assert_eq!(has_room(&body(None, None), Some(&lab)), Err(None));
        let own = body(None, Some(&["/usr/bin/specola-lab-agent", "lab"]));
        assert_eq!(has_room(&own, Some(&image(&[], &[]))), Err(None));
        assert!(matches!(has_room(&own, None), Err(Some(_))));
        let host_config = Some(HostConfig { readonly_rootfs: Some(true), ..HostConfig::default() });
        let closed = ContainerCreateBody { host_config, ..body(None, None) };
        assert!(matches!(has_room(&closed, Some(&image(&[], &["lab"]))), Err(Some(_))));
    }

    #[test]
    fn what_is_no_agent_is_not_laid_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent");
        assert!(pack(&file).is_err());
        std::fs::File::create(&file).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(pack(&file).unwrap_err().to_string().contains("too many"));
        std::fs::write(&file, "program").unwrap();
        let archive = pack(&file).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let entry = archive.entries().unwrap().nth(1).unwrap().unwrap();
        assert_eq!((entry.path().unwrap().to_str(), entry.header().mode().unwrap()), (Some(PLACE), 0o755));
        assert!(pack(folder.path()).is_err(), "a folder is none");
    }
}
