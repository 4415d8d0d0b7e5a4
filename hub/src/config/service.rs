//! `[[hub.services]]`: services beside people's servers, and tokens given from outside. The names are JupyterHub's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use hub_core::secret::Secret;
use hub_core::service::{OAuthWish, check_name, oauth_identity};
use hub_core::token;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::HubConfig;
use super::problem::Problem;
use super::secret_file;
use super::unit::Seconds;

/// A service: a program that asks the hub, that people open in their browser, or both.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ServiceConfig {
    /// Its name, also in its path `/services/NAME/`.
    pub name: String,
    /// Gives it the role `admin`. Better: `hub.load_roles` with what it needs.
    #[serde(default)]
    pub admin: bool,
    /// Where it listens: `http://HOST:PORT`, or `https`. With it, the proxy leads `/services/NAME/` there.
    #[serde(default)]
    pub url: Option<String>,
    /// Its token for the API, 8 to 64 characters. A service with a `command` gets one at each start without it.
    #[schemars(with = "Option<String>", extend("format" = "secret"))]
    #[serde(default)]
    pub api_token: Option<Secret>,
    /// A file whose content is `api_token`.
    #[schemars(extend("format" = "path"))]
    #[serde(default)]
    pub api_token_file: Option<PathBuf>,
    /// What the hub runs it with: it is started with the hub, started again when it ends, and stopped with the hub.
    #[serde(default)]
    pub command: Vec<String>,
    /// The folder the command is started in; without it, the hub's.
    #[schemars(extend("format" = "path"))]
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// The system user the command runs as; without it, the hub's own.
    #[serde(default)]
    pub user: Option<String>,
    /// Variables for the command, over those it gets from the hub.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Its OAuth client; begins with `service-`. Without it: `service-NAME`.
    #[serde(default)]
    pub oauth_client_id: Option<String>,
    /// Where people's browsers return after log-in. Without it: `/services/NAME/oauth_callback`.
    #[serde(default)]
    pub oauth_redirect_uri: Option<String>,
    /// What it may do for people who open it, beyond knowing who they are.
    #[serde(default)]
    pub oauth_client_allowed_scopes: Vec<String>,
    /// Lets it know who people are without asking them first.
    #[serde(default)]
    pub oauth_no_confirm: bool,
    /// Whether the pages list it, for those who may open it; they do unless this is false.
    #[serde(default)]
    pub display: Option<bool>,
    /// Anything else, told by the API. The pages show `description`.
    #[serde(default)]
    pub info: BTreeMap<String, Value>,
    /// How long it may take to answer at its url.
    #[serde(default)]
    pub timeout: Option<Seconds>,
}

/// A token for the API that was made elsewhere.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct TokenConfig {
    /// Whose it is.
    pub name: String,
    /// The token, 8 to 64 characters.
    #[schemars(with = "Option<String>", extend("format" = "secret"))]
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file whose content is `token`.
    #[schemars(extend("format" = "path"))]
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// How long a service may take to answer, in seconds, unless it says otherwise.
const TIMEOUT: f64 = 30.0;

impl ServiceConfig {
    /// Whether the hub runs it.
    pub fn is_managed(&self) -> bool {
        !self.command.is_empty()
    }

    /// How long it may take to answer.
    pub fn timeout(&self) -> Seconds {
        self.timeout.unwrap_or(Seconds(TIMEOUT))
    }
}

/// Reads the secrets that are kept in files. Returns what is worth a warning.
pub fn fetch(hub: &mut HubConfig, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut notes = Vec::new();
    let services = hub.services.iter_mut().enumerate();
    let services = services.map(|(index, one)| {
        (format!("hub.services[{index}].api_token"), &mut one.api_token, one.api_token_file.clone())
    });
    let of_services = hub.service_tokens.iter_mut().enumerate();
    let of_services = of_services
        .map(|(index, one)| (format!("hub.service_tokens[{index}].token"), &mut one.token, one.token_file.clone()));
    let of_people = hub.api_tokens.iter_mut().enumerate();
    let of_people = of_people
        .map(|(index, one)| (format!("hub.api_tokens[{index}].token"), &mut one.token, one.token_file.clone()));
    for (key, secret, file) in services.chain(of_services).chain(of_people) {
        let Some(file) = file else { continue };
        let file_key = format!("{key}_file");
        if secret.is_some() {
            problems.push(Problem::new(
                file_key,
                "and the same option without _file are both set",
                "Keep one of the two",
            ));
            continue;
        }
        match secret_file::read(&file) {
            Ok(read) => {
                notes.extend(read.warning.map(|warning| format!("{warning} ({file_key})")));
                *secret = Some(read.secret);
            }
            Err((what, remedy)) => problems.push(Problem::new(file_key, what, remedy)),
        }
    }
    notes
}

/// Checks the rules no schema can tell. `blame` takes key, what is wrong, and the remedy.
pub fn validate(hub: &HubConfig, blame: &mut impl FnMut(&str, &str, &str)) {
    let (mut names, mut clients, mut tokens) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, service) in hub.services.iter().enumerate() {
        let key = format!("hub.services[{index}]");
        if let Err(error) = check_name(&service.name) {
            blame(&format!("{key}.name"), &format!("is of no use: {error}"), "It becomes part of /services/NAME/");
        }
        if !names.insert(&service.name) {
            blame(&key, &format!("is a second service {:?}", service.name), "Give it a name of its own");
        }
        if let Some(token) = &service.api_token {
            check_token(&format!("{key}.api_token"), token, &mut tokens, blame);
        }
        if let Some(client) = check_address(&key, service, blame)
            && !clients.insert(client.clone())
        {
            blame(&format!("{key}.oauth_client_id"), &format!("{client:?} is another service's as well"), "");
        }
        check_command(&key, service, blame);
    }
    for (list, given) in [("service_tokens", &hub.service_tokens), ("api_tokens", &hub.api_tokens)] {
        for (index, given) in given.iter().enumerate() {
            let key = format!("hub.{list}[{index}]");
            let name = match list {
                "service_tokens" => check_name(&given.name).map_err(|error| error.to_string()),
                _ => hub_core::name::UserName::parse(&given.name).map(drop).map_err(|error| error.to_string()),
            };
            if let Err(error) = name {
                blame(&format!("{key}.name"), &format!("is of no use: {error}"), "It says whose token this is");
            }
            match &given.token {
                Some(token) => check_token(&format!("{key}.token"), token, &mut tokens, blame),
                None if given.token_file.is_none() => blame(&key, "has no token", "Set token_file, or token"),
                None => {}
            }
        }
    }
}

fn check_token<'c>(
    key: &str,
    secret: &'c Secret,
    seen: &mut BTreeSet<&'c str>,
    blame: &mut impl FnMut(&str, &str, &str),
) {
    if let Err(error) = token::check_length(secret.expose()) {
        blame(key, &format!("is of no use: {error}"), "Make one with: openssl rand -hex 32");
    }
    if secret.expose().chars().any(|c| c.is_whitespace() || c.is_control()) {
        blame(key, "contains white space or a control character", "A header cannot carry it");
    }
    if !seen.insert(secret.expose()) {
        blame(key, "is the same token as another one here", "Each belongs to one service or person");
    }
}

/// Checks url and OAuth client; returns the client's id.
fn check_address(key: &str, service: &ServiceConfig, blame: &mut impl FnMut(&str, &str, &str)) -> Option<String> {
    if let Some(url) = &service.url
        && let Err(text) = crate::service::spec::address(url)
    {
        blame(&format!("{key}.url"), &text, "Such as \"http://127.0.0.1:10101\"");
    }
    let wish = OAuthWish {
        name: &service.name,
        origin: "",
        has_url: service.url.is_some(),
        client_id: service.oauth_client_id.as_deref(),
        redirect_uri: service.oauth_redirect_uri.as_deref(),
        no_confirm: service.oauth_no_confirm,
    };
    match oauth_identity("/", wish) {
        Ok(identity) => identity.map(|identity| identity.client_id),
        Err(error) => {
            blame(key, &format!("cannot be an OAuth client: {error}"), "");
            None
        }
    }
}

fn check_command(key: &str, service: &ServiceConfig, blame: &mut impl FnMut(&str, &str, &str)) {
    if service.command.first().is_some_and(String::is_empty) {
        blame(&format!("{key}.command"), "begins with an empty word", "Write the program first");
    }
    let only_managed = [
        ("cwd", service.cwd.is_some()),
        ("user", service.user.is_some()),
        ("environment", !service.environment.is_empty()),
    ];
    for (option, _) in only_managed.iter().filter(|(_, set)| *set && !service.is_managed()) {
        blame(
            &format!("{key}.{option}"),
            "says how to run a command, and there is none",
            "Add command, or leave it out",
        );
    }
    let root = nix::unistd::Uid::effective().is_root();
    if service.user.as_deref().is_some_and(|user| !root && own_name().as_deref() != Some(user)) {
        blame(&format!("{key}.user"), "is not the hub's own, and only root can run programs of others", "");
    }
    let unusable = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
    for name in service.environment.keys().filter(unusable) {
        blame(&format!("{key}.environment"), &format!("contains {name:?}, which cannot be a variable's name"), "");
    }
    if service.timeout.is_some_and(|timeout| timeout.is_zero()) {
        blame(&format!("{key}.timeout"), "has to be more than 0 seconds", "Without it, it is 30");
    }
}

fn own_name() -> Option<String> {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten().map(|user| user.name)
}
