//! Programs and addresses of the operator's: who is asked, in the same words for hooks, login and spawner; `[hooks]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use callout::{ANSWER_BYTES, Bounds, Callout, Target};
use hub_core::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::address::{HttpUrl, is_loopback};
use super::unit::Seconds;

/// A program or an address that is asked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CalloutConfig {
    /// The program with its arguments. It runs without a shell, as the hub's own user, and gets JSON on its standard
    /// input; its standard output is the answer.
    pub command: Vec<String>,
    /// The environment of the program, beside `PATH` and `LANG`: nothing of the hub's own.
    pub environment: BTreeMap<String, String>,
    /// In place of a program: an address that JSON is posted to.
    pub url: Option<HttpUrl>,
    /// What requests to `url` are signed with, in the header `X-Specola-Signature`.
    #[schemars(with = "Option<String>", extend("format" = "secret"))]
    pub secret: Option<Secret>,
    /// A file whose content is `secret`.
    #[schemars(extend("format" = "path"))]
    pub secret_file: Option<PathBuf>,
    /// How many seconds an answer may take. A program is killed then, with all it has started.
    pub timeout: Seconds,
    /// How many are asked at the same time; further ones wait.
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: usize,
}

impl Default for CalloutConfig {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            environment: BTreeMap::new(),
            url: None,
            secret: None,
            secret_file: None,
            timeout: Seconds(30.0),
            concurrency: 8,
        }
    }
}

impl CalloutConfig {
    /// Who is asked; `None` when neither a program nor an address is named.
    pub fn callout(&self) -> Option<Callout> {
        let bounds = Bounds { limit: self.timeout.duration(), answer_bytes: ANSWER_BYTES, at_once: self.concurrency };
        Some(Callout::new(self.target()?, bounds))
    }

    fn target(&self) -> Option<Target> {
        match &self.url {
            Some(url) => Some(Target::Webhook { url: url.as_str().to_owned(), secret: self.secret.clone() }),
            None if self.command.is_empty() => None,
            None => Some(Target::Command { argv: self.command.clone(), environment: self.environment.clone() }),
        }
    }

    /// What is wrong with it, as option, problem and remedy.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut problems = Vec::new();
        if self.url.is_some() && !self.command.is_empty() {
            problems.push(("url", "and command are both set".to_owned(), "Keep one of the two"));
        }
        if self.command.first().is_some_and(String::is_empty) {
            problems.push(("command", "begins with an empty name".to_owned(), ""));
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            problems.push(("command", "contains a zero character".to_owned(), ""));
        }
        if self.secret.is_some() && self.url.is_none() {
            problems.push(("secret", "signs nothing without url".to_owned(), "A program needs no signature"));
        }
        if self.timeout.is_zero() {
            problems.push(("timeout", "has to be more than 0 seconds".to_owned(), ""));
        }
        for name in self.environment.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
            problems.push(("environment", format!("contains {name:?}, which cannot be a variable's name"), ""));
        }
        problems
    }

    /// Whether what is asked travels unencrypted beyond this machine.
    pub fn is_exposed(&self) -> bool {
        let host = |url: &HttpUrl| url::Url::parse(url.as_str()).ok().and_then(|url| url.host_str().map(str::to_owned));
        self.url.as_ref().is_some_and(|url| !url.is_https() && host(url).is_some_and(|host| !is_loopback(&host)))
    }
}

/// Programs and addresses of your own that are asked or told when something happens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HooksConfig {
    /// Tells the hooks `pre_spawn` and `post_auth` what the login method keeps about a person (`auth_state`); the hook
    /// `auth_state` is always told.
    pub send_auth_state: bool,
    /// How often `post_stop` is tried again that did not work.
    #[schemars(range(max = 100))]
    pub post_stop_retries: u32,
    /// Asked before a server starts, after `auth_state`: may change what it is started with, or refuse.
    pub pre_spawn: CalloutConfig,
    /// Asked before a server starts, with the person's `auth_state`: may change what it is started with, or refuse.
    pub auth_state: CalloutConfig,
    /// Told after a server has stopped.
    pub post_stop: CalloutConfig,
    /// Asked when somebody has proven who they are and may log in: may change admin right and groups, or refuse.
    pub post_auth: CalloutConfig,
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self {
            send_auth_state: false,
            post_stop_retries: 5,
            pre_spawn: CalloutConfig::default(),
            auth_state: CalloutConfig::default(),
            post_stop: CalloutConfig::default(),
            post_auth: CalloutConfig::default(),
        }
    }
}

impl HooksConfig {
    /// Every hook under its name in the configuration.
    pub fn each(&self) -> [(&'static str, &CalloutConfig); 4] {
        [
            ("hooks.pre_spawn", &self.pre_spawn),
            ("hooks.auth_state", &self.auth_state),
            ("hooks.post_stop", &self.post_stop),
            ("hooks.post_auth", &self.post_auth),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &[&str], url: Option<&str>) -> CalloutConfig {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        CalloutConfig { command, url: url.map(|url| HttpUrl::parse(url).unwrap()), ..CalloutConfig::default() }
    }

    #[test]
    fn one_of_program_and_address_is_asked() {
        let table = [
            (of(&[], None), false, 0),
            (of(&["/bin/hook"], None), true, 0),
            (of(&[], Some("http://127.0.0.1:5000/hook")), true, 0),
            (of(&["/bin/hook"], Some("http://127.0.0.1:5000/hook")), true, 1),
            (of(&[""], None), true, 1),
            (CalloutConfig { timeout: Seconds(0.0), ..of(&["a"], None) }, true, 1),
            (CalloutConfig { secret: Some(Secret::new("s")), ..of(&["a"], None) }, true, 1),
        ];
        for (config, asks, problems) in table {
            assert_eq!((config.target().is_some(), config.problems().len()), (asks, problems), "{config:?}");
        }
    }

    #[test]
    fn what_travels_unencrypted_is_told_apart() {
        for (url, exposed) in [("http://127.0.0.1/", false), ("https://h/x", false), ("http://h/x", true)] {
            assert_eq!(of(&[], Some(url)).is_exposed(), exposed, "{url}");
        }
    }
}
