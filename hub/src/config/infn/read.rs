//! From the variables to options. Pure.

use hub_core::secret::Secret;
use serde_json::{Value, json};
use spawners::Abilities;

use super::variable::{Given, Variables};
use super::{Claim, ENDPOINT, Front, OF_PROVIDER, PROVIDER, Taking, container};
use crate::config::problem::{Origin, Problem};
use crate::config::spawner::Driver;

/// What is configured beside the variables.
#[derive(Debug, Clone, Copy)]
pub struct Ground {
    /// Where servers run; nothing where that is left to the variables, which mean containers.
    pub driver: Option<Driver>,
    /// What can be done there.
    pub can: Abilities,
    /// Whether folders of servers are configured, so that those of the variables are left out.
    pub has_folders: bool,
    /// Whether GPUs are named without a variable.
    pub has_devices: bool,
    /// The port of the hub's own API.
    pub hub_port: u64,
}

impl Ground {
    /// Whether servers are containers because the variables say so, so that all else is as in INFN's own hub.
    pub fn is_theirs(self) -> bool {
        self.driver.is_none()
    }

    /// Whether servers are containers.
    pub fn has_containers(self) -> bool {
        matches!(self.driver, None | Some(Driver::Docker))
    }
}

/// What the variables come to.
#[derive(Default)]
pub struct Said {
    pub options: Vec<Taking>,
    pub problems: Vec<Problem>,
    pub notes: Vec<String>,
    pub claim: Option<Claim>,
    pub front: Option<Front>,
}

/// Values of secrets that stand in published examples.
const EXAMPLES: [&str; 2] = ["test_token", "API_TOKEN_EXAMPLE"];
/// The menu of memory of a hub whose variables say none.
const MEMORY: [&str; 4] = ["1G", "2G", "4G", "8G"];
/// Likewise the cores, where there is a default of them.
const CORES: [f64; 3] = [1.0, 2.0, 4.0];
/// What GPUs are called.
const GPU: &str = "nvidia.com/gpu";
/// What a list of images says when there is none.
pub(super) const NO_IMAGE: &str = "no default image";
/// Where the proxy in front takes orders.
const FRONT: &str = "http://http_proxy:8001";
/// Where people come back to, at the end of `OAUTH_CALLBACK_URL`.
const CALLBACK: &str = "/hub/oauth_callback";

/// Reads the variables.
pub fn read(variables: &Variables, ground: Ground) -> Said {
    let mut reading = Reading { variables, ground, said: Said::default() };
    reading.examples();
    reading.provider();
    reading.images(ground.can);
    reading.sizes(ground.can);
    reading.servers();
    reading.together();
    reading.containers();
    reading.object_store();
    reading.passed_over();
    reading.said
}

/// The variables being read.
pub(super) struct Reading<'a> {
    variables: &'a Variables,
    pub(super) ground: Ground,
    said: Said,
}

impl<'a> Reading<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Given> {
        self.variables.get(name)
    }

    pub(super) fn set(&mut self, key: impl Into<String>, value: impl Into<Value>, from: &str) {
        self.said.options.push(Taking { key: key.into(), value: value.into(), from: from.to_owned() });
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.said.notes.push(note.into());
    }

    pub(super) fn blame(&mut self, from: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let origin = Some(Origin::Environment(from.to_owned()));
        self.said.problems.push(Problem::new("", what, remedy).at(origin));
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let given = self.get(name)?;
        let flag = truth(&given.text);
        if flag.is_none() {
            self.blame(&given.from, "has to be true or false", "");
        }
        flag
    }

    /// Secrets that everybody can read in an example are none (hazard H12).
    fn examples(&mut self) {
        let secrets = [
            "JUPYTER_PROXY_TOKEN",
            "JUPYTERHUB_API_TOKEN",
            "IAM_CLIENT_SECRET",
            "IAM_TOKEN",
            "iam_token",
            "JUPYTERHUB_CRYPT_KEY",
        ];
        let variables = self.variables;
        for given in secrets.into_iter().filter_map(|name| variables.get(name)) {
            if EXAMPLES.contains(&given.text.as_str()) {
                let remedy = match given.from.as_str() {
                    "JUPYTER_PROXY_TOKEN" => "Take it out: the hub and its proxy make a token of their own",
                    _ => "Write a secret of your own, such as by `openssl rand -hex 32`, or take it out",
                };
                self.blame(&given.from, "is the value of an example, which everybody knows", remedy);
            }
        }
    }

    fn provider(&mut self) {
        let of = |member: &str| format!("{OF_PROVIDER}{member}");
        self.set("auth.authenticator", "oidc", ENDPOINT);
        self.set("auth.manage_groups", true, ENDPOINT);
        self.set("auth.enable_auth_state", true, ENDPOINT);
        self.set(of("name"), PROVIDER, ENDPOINT);
        self.set(of("preset"), "indigo-iam", ENDPOINT);
        for (member, name, remedy) in [
            ("issuer", ENDPOINT, ""),
            ("oauth_callback_url", "OAUTH_CALLBACK_URL", "Such as https://hub.example.org/hub/oauth_callback"),
            ("client_id", "IAM_CLIENT_ID", "Register the hub at the provider, such as by `specola register-client`"),
        ] {
            match self.get(name) {
                Some(given) => self.set(of(member), given.text.clone(), &given.from),
                None => self.blame(name, format!("is not set, and {ENDPOINT} is"), remedy),
            }
        }
        if let Some(given) = self.get("OAUTH_CALLBACK_URL")
            && let Some(public) = given.text.strip_suffix(CALLBACK)
        {
            self.set("hub.public_url", format!("{public}/"), &given.from);
        }
        self.secret();
        for (member, name) in [
            ("allowed_groups", "OAUTH_GROUPS"),
            ("admin_groups", "ADMIN_OAUTH_GROUPS"),
            ("owner_subjects", "OAUTH_SUB"),
        ] {
            if let Some(given) = self.get(name) {
                self.set(of(member), words(&given.text), &given.from);
            }
        }
        if self.flag("WLCG_GROUPS_COMPAT") == Some(false) {
            self.set(of("optional_scope"), json!(["offline_access"]), "WLCG_GROUPS_COMPAT");
        }
    }

    fn secret(&mut self) {
        let token = self.get("IAM_TOKEN").or_else(|| self.get("iam_token"));
        match (self.get("IAM_CLIENT_SECRET"), token) {
            (Some(given), _) => {
                self.set(format!("{OF_PROVIDER}client_secret"), given.text.clone(), &given.from);
            }
            (None, Some(token)) => {
                if let (Some(client), Some(callback)) = (self.get("IAM_CLIENT_ID"), self.get("OAUTH_CALLBACK_URL")) {
                    self.said.claim = Some(Claim {
                        client_id: client.text.clone(),
                        token: Secret::new(token.text.clone()),
                        callback: callback.text.clone(),
                    });
                }
            }
            (None, None) => {
                let remedy = "Write the client's secret, or its registration access token as IAM_TOKEN";
                self.blame("IAM_CLIENT_SECRET", format!("is not set, and {ENDPOINT} is"), remedy);
            }
        }
    }

    fn images(&mut self, can: Abilities) {
        let given = self.get("JUPYTER_IMAGE_LIST").filter(|given| given.text != NO_IMAGE);
        if !can.images {
            if let Some(given) = given {
                let why = "this driver starts servers from no image";
                self.said.notes.push(format!("{} is not used: {why} (spawner.driver)", given.from));
            }
            return;
        }
        let from = given.map_or(ENDPOINT, |given| given.from.as_str());
        let names = given.map(|given| listed(&given.text)).unwrap_or_default();
        let images: Vec<Value> = names
            .iter()
            .enumerate()
            .map(|(at, image)| json!({ "name": image, "image": image, "default": at == 0 }))
            .collect();
        let names_none = images.is_empty();
        if !names_none {
            self.set("options.images", images, from);
        }
        // The field for an image of one's own has always been there, save where there is one image for all.
        if !names_none || self.get("SPAWNED_IMAGE").is_none() {
            let policy = json!({ "name": "everybody", "grant": { "images": ["*"], "own_images": ["*"] } });
            self.set("options.policies", vec![policy], from);
        }
    }

    fn sizes(&mut self, can: Abilities) {
        match self.get("JUPYTER_RAM_LIST") {
            Some(given) => self.set("options.memory", listed(&given.text), &given.from),
            None => self.set("options.memory", MEMORY.map(Value::from).to_vec(), ENDPOINT),
        }
        if let Some(given) = self.get("JUPYTER_DEFAULT_MEM") {
            self.set("options.default_memory", given.text.clone(), &given.from);
        }
        let default = self.get("JUPYTER_DEFAULT_CPU");
        match (self.get("JUPYTER_CPU_LIST"), default) {
            (Some(given), _) => match listed(&given.text).iter().map(|text| number(text)).collect::<Option<Vec<f64>>>()
            {
                Some(cores) => self.set("options.cores", cores, &given.from),
                None => self.blame(&given.from, "has to be numbers with commas between", "Such as 1,2,4"),
            },
            (None, Some(given)) => self.set("options.cores", CORES.to_vec(), &given.from),
            (None, None) => {}
        }
        if let Some(given) = default {
            match number(&given.text) {
                Some(cores) => self.set("options.default_cores", cores, &given.from),
                None => self.blame(&given.from, "has to be a number", "Such as 1"),
            }
        }
        let devices = self.devices();
        if self.flag("WITH_GPU") == Some(true) {
            if can.gpus || devices {
                self.set("options.gpus", json!([0, 1]), "WITH_GPU");
                // As in INFN's own hub: whoever wants a GPU has the same one. It is told as what it is.
                if self.ground.has_containers() && !devices && !self.ground.has_devices {
                    self.set("spawner.docker.share_gpus", true, "WITH_GPU");
                }
            } else {
                let note = "WITH_GPU is not used: this driver gives servers no GPUs of their own (spawner.driver) without ALL_GPU_UUIDs or spawner.devices";
                self.said.notes.push(note.to_owned());
            }
        }
    }

    /// The GPUs, or slices of them, that servers have one by one. Tells whether there are any.
    fn devices(&mut self) -> bool {
        let given = self.get("ALL_GPU_UUIDs").or_else(|| self.get("ALL_GPU_UUIDS"));
        let Some(given) = given.filter(|given| !given.text.eq_ignore_ascii_case("none")) else { return false };
        self.set("spawner.devices", json!({ GPU: listed(&given.text) }), &given.from);
        true
    }

    fn servers(&mut self) {
        match self.get("DEFAULT_SPAWNER") {
            None => self.set("spawner.default_url", "/lab", ENDPOINT),
            Some(given) => match given.text.to_uppercase().as_str() {
                "LAB" => self.set("spawner.default_url", "/lab", &given.from),
                "NOTEBOOK" => self.set("spawner.default_url", "/tree", &given.from),
                _ => self.blame(&given.from, "has to be LAB or NOTEBOOK", ""),
            },
        }
        match self.get("DOCKER_NOTEBOOK_DIR") {
            Some(given) => self.set("spawner.notebook_dir", given.text.clone(), &given.from),
            None if self.ground.is_theirs() => self.set("spawner.notebook_dir", container::WORKSPACE, ENDPOINT),
            None => {}
        }
        let all =
            ["ACCESS_TOKEN", "REFRESH_TOKEN", "IAM_SERVER", "IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "USERNAME", "GROUPS"];
        self.set("spawner.oidc_environment", all.map(Value::from).to_vec(), ENDPOINT);
        if let Some(given) = self.get("JUPYTERHUB_ACTIVITY_INTERVAL") {
            match number(&given.text).filter(|seconds| *seconds > 0.0) {
                Some(_) => {
                    let key = "spawner.environment.JUPYTERHUB_ACTIVITY_INTERVAL";
                    self.set(key, given.text.clone(), &given.from);
                }
                None => self.blame(&given.from, "has to be a number of seconds", "Such as 15"),
            }
        }
        if let Some(given) = self.get("IDLE_CULLER_TIMEOUT") {
            match number(&given.text) {
                Some(seconds) if seconds > 0.0 => {
                    self.set("culler.enabled", true, &given.from);
                    self.set("culler.timeout", seconds, &given.from);
                }
                Some(_) => self.set("culler.enabled", false, &given.from),
                None => self.blame(&given.from, "has to be a number of seconds", "Such as 3600; 0 stops no server"),
            }
        }
    }

    /// The proxy in front, and what is set and does nothing, by name only.
    fn passed_over(&mut self) {
        if let Some(given) = self.get("JUPYTER_PROXY_TOKEN") {
            if self.ground.is_theirs() {
                self.said.front = Some(Front { url: FRONT.to_owned(), token: Secret::new(given.text.clone()) });
            } else {
                self.note(format!("{} is not used: hub and proxy make a token of their own", given.from));
            }
        }
        if let Some(given) = self.get("JUPYTERHUB_API_TOKEN") {
            self.note(format!("{} is not used: a service is told in hub.services, with its own token", given.from));
        }
    }
}

pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "none" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// Groups, with spaces or commas between.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A list with commas between.
pub(super) fn listed(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        if !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
    }
    items
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}
