//! Which variables there are, and their texts: from the environment, or from the files that `NAME_FILE` names.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::environment::Environment;
use crate::config::problem::{Origin, Problem};
use crate::config::secret_file;

/// The variables that are known.
pub(super) const KNOWN: [&str; 38] = [
    "OAUTH_ENDPOINT",
    "OAUTH_CALLBACK_URL",
    "IAM_CLIENT_ID",
    "IAM_CLIENT_SECRET",
    "IAM_TOKEN",
    "iam_token",
    "OAUTH_GROUPS",
    "ADMIN_OAUTH_GROUPS",
    "OAUTH_SUB",
    "WLCG_GROUPS_COMPAT",
    "JUPYTER_IMAGE_LIST",
    "JUPYTER_RAM_LIST",
    "JUPYTER_CPU_LIST",
    "JUPYTER_DEFAULT_MEM",
    "JUPYTER_DEFAULT_CPU",
    "WITH_GPU",
    "ALL_GPU_UUIDS",
    "ALL_GPU_UUIDs",
    "DEFAULT_SPAWNER",
    "DOCKER_NOTEBOOK_DIR",
    "IDLE_CULLER_TIMEOUT",
    "JUPYTERHUB_ACTIVITY_INTERVAL",
    "JUPYTERHUB_CRYPT_KEY",
    "JUPYTER_PROXY_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "DOCKER_SPAWN_CMD",
    "POST_START_CMD",
    "JUPYTER_POST_START_CMD",
    "DOCKER_NOTEBOOK_MOUNT_DIR",
    "DOCKER_NETWORK_NAME",
    "DNS_NAME",
    "JUPYTER_WITH_CVMFS",
    "JUPYTER_COLLAB_SERVICE",
    "WITH_S3FUSE",
    "S3_BUCKET",
    "S3_ENDPOINT",
    "SPAWNED_IMAGE",
    "CVMFS_SNAPSHOTTER",
];

/// The text of a variable.
pub struct Given {
    /// Without space around it; never empty.
    pub text: String,
    /// The variable that gave it: its own name, or that with `_FILE`.
    pub from: String,
}

/// The variables that are set, by name.
#[derive(Default)]
pub struct Variables(BTreeMap<&'static str, Given>);

impl Variables {
    /// Picks them from the environment and reads their files. An empty one counts as not set, as compose files write it.
    pub fn of(environment: &Environment, problems: &mut Vec<Problem>, notes: &mut Vec<String>) -> Self {
        let mut found = BTreeMap::new();
        let text = |name: &str| environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        for name in KNOWN {
            let file_name = format!("{name}_FILE");
            let mut blame = |what: String, remedy: &str| {
                let origin = Some(Origin::Environment(file_name.clone()));
                problems.push(Problem::new("", what, remedy).at(origin));
            };
            match (text(name), text(&file_name)) {
                (Some(_), Some(_)) => blame(format!("and {name} are both set"), "Keep one of the two"),
                (Some(text), None) => {
                    found.insert(name, Given { text: text.to_owned(), from: name.to_owned() });
                }
                // The key of the auth states is read for every hub, in one place.
                (None, Some(_)) if name == "JUPYTERHUB_CRYPT_KEY" => {}
                (None, Some(file)) => match secret_file::read(Path::new(file)) {
                    Ok(read) => {
                        notes.extend(read.warning.map(|warning| format!("{warning} ({file_name})")));
                        let text = read.secret.expose().trim().to_owned();
                        if !text.is_empty() {
                            found.insert(name, Given { text, from: file_name });
                        }
                    }
                    Err((what, remedy)) => blame(what, &remedy),
                },
                (None, None) => {}
            }
        }
        Self(found)
    }

    /// The variable, when it is set.
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }
}
