//! From the variables to containers: where the hub and servers meet, what runs in servers, and what is mounted. What a
//! deployment says nothing of is as in INFN's own hub, but for the rights: no server is privileged.

use serde_json::{Map, Value, json};

use super::ENDPOINT;
use super::read::{NO_IMAGE, Reading, listed, truth};
use super::variable::Given;

/// The folder of servers that all others are in.
pub const WORKSPACE: &str = "/jupyter-workspace";
/// The folder that the people of the lab for everybody work in.
const TOGETHER: &str = "collaborativefolder";
/// The network of hub, proxy and servers, and the hub's name in it.
const NETWORK: &str = "jupyterhub";
const HUB: &str = "jupyterhub";
/// Where the proxy in front finds the hub.
const BIND_URL: &str = "http://:8088";
/// What servers run, and where they listen.
const COMMAND: [&str; 5] = ["jupyterhub-singleuser", "--port=8889", "--ip=0.0.0.0", "--allow-root", "--no-browser"];
const PORT: u16 = 8889;
/// The image where no variable names one.
const IMAGE: &str = "harbor.cloud.infn.it/datacloud-templates/jlab-base:latest";
/// How long servers may take: some images wait half a minute before they begin.
const START: u32 = 300;
const ANSWER: u32 = 600;
/// After so many seconds an idle server is stopped.
const IDLE: u32 = 7200;
/// What becoming another user in the container takes, as `start.sh` of docker-stacks does.
const CAPABILITIES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"];
/// Those that say nothing to a driver without containers.
const OF_CONTAINERS: [&str; 9] = [
    "DOCKER_NETWORK_NAME",
    "DOCKER_SPAWN_CMD",
    "POST_START_CMD",
    "JUPYTER_POST_START_CMD",
    "DOCKER_NOTEBOOK_MOUNT_DIR",
    "JUPYTER_WITH_CVMFS",
    "SPAWNED_IMAGE",
    "CVMFS_SNAPSHOTTER",
    "WITH_S3FUSE",
];

impl Reading<'_> {
    /// INFN's lab for everybody: here as the server of an account, in which everybody is who they are.
    pub(super) fn together(&mut self) {
        if self.flag("JUPYTER_COLLAB_SERVICE") != Some(true) {
            return;
        }
        let mut lab = json!({ "name": "collaboration", "display_name": "Collaborative-Jupyter" });
        if let Some(root) = self.workspace().filter(|_| self.ground.has_containers() && !self.ground.has_folders) {
            lab["notebook_dir"] = format!("{root}/{TOGETHER}").into();
        }
        self.set("collaboration", vec![lab], "JUPYTER_COLLAB_SERVICE");
    }

    /// The folder of servers that the machine's are mounted into, where they are.
    fn workspace(&self) -> Option<&str> {
        let given = self.get("DOCKER_NOTEBOOK_DIR");
        let is_mounted = self.ground.is_theirs() || given.is_some() || self.get("DOCKER_NOTEBOOK_MOUNT_DIR").is_some();
        is_mounted.then(|| given.map_or(WORKSPACE, |given| given.text.trim_end_matches('/')))
    }

    /// Everything about containers.
    pub(super) fn containers(&mut self) {
        if let Some(given) = self.get("DNS_NAME") {
            let address = format!("https://{}/grafana", given.text);
            self.set("spawner.environment.GRAFANA_EXTERNAL_URL", address, &given.from);
        }
        if !self.ground.has_containers() {
            let is_on = |given: &&Given| !matches!(given.text.to_lowercase().as_str(), "none" | "false" | "no" | "0");
            let names = OF_CONTAINERS.iter().filter_map(|name| self.get(name)).filter(is_on);
            let names: Vec<&str> = names.map(|given| given.from.as_str()).collect();
            if !names.is_empty() {
                let why = "they say how containers of Docker are made (spawner.driver)";
                self.note(format!("Not used: {}: {why}", names.join(", ")));
            }
            return;
        }
        if self.ground.is_theirs() {
            self.as_theirs();
        }
        match self.get("DOCKER_NETWORK_NAME") {
            Some(given) => self.set("spawner.docker.network_name", given.text.clone(), &given.from),
            None if self.ground.is_theirs() => self.set("spawner.docker.network_name", NETWORK, ENDPOINT),
            None => {}
        }
        self.image();
        self.command();
        self.mounted();
        if self.flag("CVMFS_SNAPSHOTTER") == Some(true) {
            self.note(
                "CVMFS_SNAPSHOTTER is not used: it is for Kubernetes, and servers would need SYS_ADMIN; JUPYTER_WITH_CVMFS mounts /cvmfs",
            );
        }
    }

    /// What no variable says and INFN's own hub has.
    fn as_theirs(&mut self) {
        self.set("spawner.driver", "docker", ENDPOINT);
        self.set("hub.bind_url", BIND_URL, ENDPOINT);
        self.set("hub.hub_ip", "0.0.0.0", ENDPOINT);
        self.set("hub.hub_connect_url", format!("http://{HUB}:{}", self.ground.hub_port), ENDPOINT);
        self.set("spawner.start_timeout", START, ENDPOINT);
        self.set("spawner.http_timeout", ANSWER, ENDPOINT);
        if self.get("IDLE_CULLER_TIMEOUT").is_none() {
            self.set("culler.enabled", true, ENDPOINT);
            self.set("culler.timeout", IDLE, ENDPOINT);
        }
        // Their images and the files in their folders are root's.
        self.set("spawner.docker.user", "0:0", ENDPOINT);
        self.set("spawner.docker.cap_add", CAPABILITIES.map(Value::from).to_vec(), ENDPOINT);
        for (name, value) in [("NB_USER", "root"), ("NB_UID", "0"), ("NB_GID", "0")] {
            self.set(format!("spawner.environment.{name}"), value, ENDPOINT);
        }
        self.note(
            "Servers are containers, and root in them as INFN's are, without privileges on the machine: for images that do without, set spawner.docker.user",
        );
    }

    fn image(&mut self) {
        if let Some(given) = self.get("SPAWNED_IMAGE") {
            self.set("spawner.docker.image", given.text.clone(), &given.from);
        } else if self.ground.is_theirs() {
            let given = self.get("JUPYTER_IMAGE_LIST").filter(|given| given.text != NO_IMAGE);
            let first = given.and_then(|given| Some((listed(&given.text).into_iter().next()?, given.from.as_str())));
            match first {
                Some((image, from)) => self.set("spawner.docker.image", image, from),
                None => self.set("spawner.docker.image", IMAGE, ENDPOINT),
            }
        }
    }

    fn command(&mut self) {
        match self.get("DOCKER_SPAWN_CMD") {
            Some(given) => {
                let Some(command) = self.words_of(given).map(without_init) else { return };
                match port(&command) {
                    Ok(Some(port)) => self.set("spawner.docker.port", port, &given.from),
                    Ok(None) if self.ground.is_theirs() => self.set("spawner.docker.port", PORT, ENDPOINT),
                    Ok(None) => {}
                    Err(()) => self.blame(&given.from, "has a port that is none", "Such as --port=8889"),
                }
                self.set("spawner.cmd", command, &given.from);
            }
            None if self.ground.is_theirs() => {
                self.set("spawner.cmd", COMMAND.map(Value::from).to_vec(), ENDPOINT);
                self.set("spawner.docker.port", PORT, ENDPOINT);
            }
            None => {}
        }
        if let Some(given) = self.get("JUPYTER_POST_START_CMD").or_else(|| self.get("POST_START_CMD"))
            && let Some(command) = self.words_of(given)
        {
            self.set("spawner.docker.post_start_cmd", command, &given.from);
        }
    }

    /// A command in words, as a shell divides it.
    fn words_of(&mut self, given: &Given) -> Option<Vec<String>> {
        let words = shlex::split(&given.text).filter(|words| words.first().is_some_and(|word| !word.is_empty()));
        if words.is_none() {
            self.blame(&given.from, "is no command", "Write it as for a shell, with every quote closed");
        }
        words
    }

    /// Folders of the machine: one that all read, each one's part of it, each one's own.
    fn mounted(&mut self) {
        let (workspace, prefix) = (self.get("DOCKER_NOTEBOOK_DIR"), self.get("DOCKER_NOTEBOOK_MOUNT_DIR"));
        let root = workspace.map_or(WORKSPACE, |given| given.text.trim_end_matches('/'));
        let below = prefix.map_or("", |given| given.text.trim_end_matches('/'));
        let cvmfs = self.flag("JUPYTER_WITH_CVMFS") == Some(true);
        let is_path = |text: &str| text.starts_with('/') && !text.contains(':');
        let odd = workspace.into_iter().chain(prefix).find(|given| !is_path(&given.text));
        if let Some(given) = odd {
            self.blame(&given.from, "has to be a path from the root, without a colon", "Such as /jupyter-workspace");
            return;
        }
        if self.ground.is_theirs() || prefix.is_some() || workspace.is_some() {
            let from = prefix.or(workspace).map_or(ENDPOINT, |given| given.from.as_str());
            let mount = |folder: &str, target: &str| {
                (format!("{below}/jupyter-mounts/{folder}"), Value::String(format!("{root}/{target}")))
            };
            let mut own = vec![mount("shared/{username}", "shared/{username}"), mount("users/{username}", "private")];
            // What is wrong with it was told there.
            if self.get("JUPYTER_COLLAB_SERVICE").is_some_and(|given| truth(&given.text) == Some(true)) {
                own.push(mount(TOGETHER, TOGETHER));
            }
            self.set("spawner.docker.read_only_volumes", Map::from_iter([mount("shared", "shared")]), from);
            self.set("spawner.docker.volumes", Map::from_iter(own), from);
        }
        if cvmfs {
            // What is mounted there later comes along.
            let mount = json!({ "bind": format!("{root}/cvmfs"), "propagation": "rslave" });
            self.set("spawner.docker.read_only_volumes./cvmfs", mount, "JUPYTER_WITH_CVMFS");
        }
    }
}

/// The command without an init in front of it: every container has one.
fn without_init(mut command: Vec<String>) -> Vec<String> {
    let is_init = command.first().is_some_and(|first| first.rsplit('/').next() == Some("tini"));
    match command.iter().position(|word| word == "--") {
        Some(at) if is_init && at + 1 < command.len() => command.split_off(at + 1),
        _ => command,
    }
}

/// The port that a command makes a server listen on, when it says one.
fn port(command: &[String]) -> Result<Option<u16>, ()> {
    let mut words = command.iter();
    while let Some(word) = words.next() {
        let told = match word.split_once('=') {
            Some(("--port" | "--ServerApp.port" | "--NotebookApp.port", port)) => Some(port),
            None if word == "--port" => Some(words.next().map_or("", String::as_str)),
            _ => None,
        };
        if let Some(told) = told {
            return told.parse().ok().filter(|port| *port != 0).map(Some).ok_or(());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_what_the_command_says_and_no_container_has_two_inits() {
        let words = |text: &str| without_init(shlex::split(text).unwrap());
        for (text, expected) in [
            ("tini -s -- jupyterhub-singleuser --port=8889 --ip=0.0.0.0", Ok(Some(8889))),
            ("jupyterhub-singleuser --port 9000", Ok(Some(9000))),
            ("jupyterhub-singleuser --ServerApp.port=9001", Ok(Some(9001))),
            ("jupyterhub-singleuser --ip=0.0.0.0", Ok(None)),
            ("jupyterhub-singleuser --port=0", Err(())),
            ("jupyterhub-singleuser --port", Err(())),
        ] {
            assert_eq!(port(&words(text)), expected, "{text}");
        }
        assert_eq!(words("/usr/bin/tini -s -- a --b"), ["a", "--b"]);
        assert_eq!(words("tini -s"), ["tini", "-s"]);
        assert_eq!(words("a -- b"), ["a", "--", "b"]);
    }
}
