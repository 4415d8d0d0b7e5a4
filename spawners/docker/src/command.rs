//! Whether an image has the command it is to be started with, told before it is: a look into the file system of the
//! container that was made and not started. Nothing of the image is run for it.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::ContainerArchiveInfoOptionsBuilder;
use spawners::StartError;

use crate::driver::Parts;
use crate::engine::status;
use crate::image::Image;
use crate::refusal;

/// JupyterHub's own server.
const SINGLEUSER: &str = "jupyterhub-singleuser";
/// Docker's own search path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Programs that only run what they are given. Any other entrypoint may change where commands are found.
const INITS: [&str; 5] = ["tini", "dumb-init", "catatonit", "docker-init", "env"];
/// So many answers are remembered.
const REMEMBERED: usize = 1024;

/// Commands that were found, by image and path.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashSet<(String, String)>>);

impl Known {
    fn has(&self, key: &(String, String)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn add(&self, key: (String, String)) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key);
    }
}

/// What to look for: a program, and the folders it may be in.
fn wanted(body: &ContainerCreateBody, image: &Image) -> Option<(String, Vec<String>)> {
    let entrypoint = body.entrypoint.as_ref().unwrap_or(&image.entrypoint);
    let only_runs = |program: &String| INITS.contains(&program.rsplit('/').next().unwrap_or_default());
    if !entrypoint.first().is_none_or(only_runs) {
        return None;
    }
    let program = body.cmd.as_ref().unwrap_or(&image.cmd).first()?;
    if program.is_empty() || program.contains('/') {
        let absolute = program.starts_with('/');
        return absolute.then(|| (program.clone(), vec![String::new()]));
    }
    let environment = image.env.iter().chain(body.env.iter().flatten());
    let path = environment.filter_map(|line| line.strip_prefix("PATH=")).next_back().unwrap_or(PATH);
    let folders = path.split(':').filter(|folder| folder.starts_with('/')).map(|folder| format!("{folder}/"));
    Some((program.clone(), folders.collect()))
}

/// Makes the command of an image that is to be started with its own.
pub(crate) fn complete(body: &mut ContainerCreateBody, args: &[String], image: &Image) -> Result<(), StartError> {
    if body.cmd.is_none() && !args.is_empty() {
        body.cmd = Some(image.cmd.iter().chain(args).cloned().collect());
    }
    let nothing = |words: Option<&Vec<String>>, own: &[String]| words.map_or(own, Vec::as_slice).is_empty();
    if nothing(body.cmd.as_ref(), &image.cmd) && nothing(body.entrypoint.as_ref(), &image.entrypoint) {
        return Err(StartError::refused(
            "no_command",
            "The image does not say what to start, and neither does this hub.",
        ));
    }
    Ok(())
}

impl Parts {
    /// Refuses a container whose image does not have its command.
    pub(crate) async fn check_command(
        &self,
        id: &str,
        body: &ContainerCreateBody,
        image: &Image,
    ) -> Result<(), StartError> {
        let Some((program, folders)) = wanted(body, image) else { return Ok(()) };
        let key = (image.id.clone(), format!("{program} {}", folders.concat()));
        if self.known.has(&key) {
            return Ok(());
        }
        for folder in &folders {
            match self.is_in(id, &format!("{folder}{program}")).await? {
                Some(true) => {
                    self.known.add(key);
                    return Ok(());
                }
                Some(false) => {}
                // What is wrong with the container, its start tells in words.
                None => return Ok(()),
            }
        }
        Err(if program == SINGLEUSER {
            StartError::refused(
                "no_singleuser",
                "The image cannot be used here: it does not contain jupyterhub-singleuser. Install the Python package \
                 jupyterhub in it.",
            )
        } else {
            let program = callout::excerpt(program.as_bytes(), 80);
            StartError::refused("command_not_found", format!("The image does not contain the command {program}."))
        })
    }

    /// `None` when the engine cannot look, as where a part of a volume is not there that the container is to have.
    async fn is_in(&self, id: &str, path: &str) -> Result<Option<bool>, StartError> {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        let asked = match self.engine.client() {
            Ok(client) => client.get_container_archive_info(id, Some(options)).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(_) => Ok(Some(true)),
            Err(error) if status(&error) == Some(404) => Ok(Some(false)),
            // A folder of the path may be no folder.
            Err(error) if status(&error) == Some(400) => Ok(Some(false)),
            Err(error) if status(&error).is_some() => {
                tracing::debug!("the image is not looked into: {error}");
                Ok(None)
            }
            Err(error) => Err(refusal::of(error, "look into the image")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn body(cmd: &[&str]) -> ContainerCreateBody {
        ContainerCreateBody { cmd: (!cmd.is_empty()).then(|| words(cmd)), ..ContainerCreateBody::default() }
    }

    fn image(entrypoint: &[&str], cmd: &[&str], env: &[&str]) -> Image {
        Image { id: "i".into(), entrypoint: words(entrypoint), cmd: words(cmd), env: words(env) }
    }

    #[test]
    fn a_command_is_looked_for_where_the_image_would_find_it() {
        let bare = image(&[], &["bash"], &["PATH=/opt/conda/bin:/bin"]);
        let (program, folders) = wanted(&body(&["jupyterhub-singleuser", "--x"]), &bare).unwrap();
        assert_eq!((program.as_str(), folders), ("jupyterhub-singleuser", words(&["/opt/conda/bin/", "/bin/"])));
        assert_eq!(wanted(&body(&[]), &bare).unwrap().0, "bash");
        let tini = image(&["tini", "-g", "--"], &[], &[]);
        assert_eq!(wanted(&body(&["/opt/start"]), &tini).unwrap(), ("/opt/start".into(), words(&[""])));
        assert_eq!(wanted(&body(&["./start"]), &tini), None);
        let script = image(&["/entrypoint.sh"], &[], &[]);
        assert_eq!(wanted(&body(&["jupyterhub-singleuser"]), &script), None, "the script may know where it is");
        let mut other = body(&["a"]);
        other.env = Some(words(&["PATH=/mine"]));
        assert_eq!(wanted(&other, &bare).unwrap().1, words(&["/mine/"]));
    }

    #[test]
    fn arguments_follow_the_images_own_command() {
        let mut own = body(&[]);
        complete(&mut own, &words(&["--debug"]), &image(&[], &["start"], &[])).unwrap();
        assert_eq!(own.cmd, Some(words(&["start", "--debug"])));
        assert!(complete(&mut body(&[]), &[], &image(&[], &[], &[])).is_err());
        let mut script = body(&[]);
        complete(&mut script, &[], &image(&["/run"], &[], &[])).unwrap();
        assert_eq!(script.cmd, None);
    }
}
