//! `[[collaboration]]`: labs in which people work on the same documents at once, each signed in as themselves.
//!
//! JupyterHub's pattern of collaboration accounts: the lab is the server of an account that nobody signs in as, and a role
//! opens it to the members of groups.

use std::collections::{BTreeMap, BTreeSet};

use hub_core::policy::{self, Person};
use hub_core::role;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Config;
use super::hub::RoleConfig;

/// What turns on working together in JupyterLab, which refuses to start without the package for it.
const TOGETHER: &str = "--LabApp.collaborative=True";

/// A lab in which people work on the same documents at once.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct CollaborationConfig {
    /// The account whose server it is: small letters, digits and hyphens. Nobody can log in under this name.
    pub name: String,
    /// What people read. Without it: the name.
    #[serde(default)]
    pub display_name: Option<String>,
    /// A sentence about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Groups whose members open, start and stop it. Without any: everybody who is let in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What it is started with, whoever starts it, in the words of [options.md](options.md#what-programs-send): `img`,
    /// `cpu`, `mem`, `gpu`, `flavour` … The policies judge it as a choice of the account.
    #[serde(default)]
    pub options: BTreeMap<String, Value>,
    /// Arguments after those of all servers. Without it: `["--LabApp.collaborative=True"]`.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// The folder it opens, instead of `spawner.notebook_dir`.
    #[serde(default)]
    pub notebook_dir: Option<String>,
}

impl CollaborationConfig {
    /// What people call it.
    pub fn title(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.name)
    }

    /// What its server is started with, as if it was chosen.
    pub fn chosen(&self) -> Value {
        Value::Object(self.options.clone().into_iter().collect())
    }

    /// The arguments that its server has and others do not.
    pub fn arguments(&self) -> Vec<String> {
        self.args.clone().unwrap_or_else(|| vec![TOGETHER.to_owned()])
    }

    /// What its people may do: everything about this one server, and nothing about the account.
    fn scopes(&self) -> Vec<String> {
        let name = &self.name;
        vec![
            format!("access:servers!server={name}/"),
            format!("servers!server={name}/"),
            format!("read:users:name!user={name}"),
            format!("read:users:activity!user={name}"),
        ]
    }

    fn role_name(&self) -> String {
        format!("collaboration-{}", self.name)
    }
}

impl Config {
    /// The lab for working together whose account has this name.
    pub fn collaboration_of(&self, user: &str) -> Option<&CollaborationConfig> {
        self.collaboration.iter().find(|one| one.name == user)
    }

    /// Opens each to its people by a role, and keeps its name from everybody.
    pub(super) fn see_collaborations(&mut self) {
        for one in &self.collaboration {
            self.auth.reserved_users.insert(one.name.clone());
            if one.groups.is_empty() {
                self.hub.extra_user_scopes.extend(one.scopes());
                continue;
            }
            self.hub.load_roles.push(RoleConfig {
                name: one.role_name(),
                description: Some(format!("Work together in {}", one.name)),
                scopes: Some(one.scopes()),
                groups: Some(one.groups.clone()),
                ..RoleConfig::default()
            });
        }
    }
}

/// What is wrong: a key, a sentence, a remedy.
pub fn validate(config: &Config, blame: &mut impl FnMut(&str, &str, &str)) {
    let mut seen = BTreeSet::new();
    let auth = &config.auth;
    for (index, one) in config.collaboration.iter().enumerate() {
        let (key, name) = (format!("collaboration[{index}]"), &one.name);
        let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_plain || !role::is_valid_name(name) || !role::is_valid_name(&one.role_name()) {
            let what = "has a name that is not 3 to 241 small letters, digits and hyphens";
            blame(&key, what, "It begins with a letter and ends with a letter or digit, such as \"collaboration\"");
        }
        if !seen.insert(name) {
            blame(&key, &format!("is a second one of the name {name:?}"), "Each has an account of its own");
        }
        let lists = [&auth.allowed_users, &auth.admin_users, &auth.blocked_users];
        if lists.iter().any(|list| list.contains(name)) {
            let what = format!("has the name {name:?}, which auth names as somebody's");
            blame(&key, &what, "Nobody logs in as the account of a lab for working together: use another name");
        }
        if !one.options.is_empty() && config.options.is_empty() {
            blame(&key, "says what it is started with, and there is nothing to choose", "Write [options] as well");
        }
    }
}

/// What is worth a second look: labs whose start the policies would refuse.
pub fn warnings(config: &Config) -> Vec<String> {
    let Some(rules) = super::rules::compile(config).rules else { return Vec::new() };
    let refusal = |one: &super::CollaborationConfig| {
        let groups = config.hub.load_groups.iter().filter(|(_, group)| group.users.contains(&one.name));
        let groups = groups.map(|(name, _)| name.clone()).collect();
        let person = Person { name: one.name.clone(), groups, ..Person::default() };
        let refusal = policy::decide(&rules, &person, &one.chosen()).err()?;
        Some(format!("collaboration {:?} could not be started: {}", one.name, refusal.sentence))
    };
    config.collaboration.iter().filter_map(refusal).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Environment;
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()), &Environment::new()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn people_get_the_one_server_and_nothing_of_the_account() {
        let scopes = [
            "access:servers!server=cygno-lab/",
            "servers!server=cygno-lab/",
            "read:users:name!user=cygno-lab",
            "read:users:activity!user=cygno-lab",
        ];
        let config = load("[[collaboration]]\nname = \"cygno-lab\"\ngroups = [\"cygno\"]").unwrap();
        let role = config.hub.load_roles.first().unwrap();
        assert_eq!(
            (role.name.as_str(), role.groups.as_deref()),
            ("collaboration-cygno-lab", Some(&["cygno".into()][..]))
        );
        assert_eq!(role.scopes.as_deref().unwrap(), scopes);
        assert!(config.hub.extra_user_scopes.is_empty());
        // Without groups it is for everybody who is let in.
        let config = load("[[collaboration]]\nname = \"cygno-lab\"").unwrap();
        assert_eq!(
            (config.hub.load_roles.len(), config.hub.extra_user_scopes.as_slice()),
            (0, &scopes.map(String::from)[..])
        );
        assert_eq!(config.collaboration[0].arguments(), [TOGETHER]);
    }

    #[test]
    fn what_cannot_be_a_lab_is_told() {
        let of = |name: &str, more: &str| load(&format!("{more}\n[[collaboration]]\nname = {name:?}")).unwrap_err();
        for name in ["", "ab", "A-lab", "a lab", "a/lab", "lab-", "läb", "a.lab"] {
            assert!(of(name, "").contains("collaboration[0] has a name that is not"), "{name}");
        }
        for list in ["allowed_users", "admin_users", "blocked_users"] {
            let told = of("lab", &format!("[auth]\n{list} = [\"lab\"]"));
            assert!(told.contains("which auth names as somebody's"), "{told}");
        }
        let told = of("lab", "[[collaboration]]\nname = \"lab\"");
        assert!(told.contains("collaboration[1] is a second one of the name \"lab\""), "{told}");
        let told = load("[[collaboration]]\nname = \"lab\"\noptions = { gpu = 1 }").unwrap_err();
        assert!(told.contains("there is nothing to choose"), "{told}");
    }

    #[test]
    fn a_start_that_would_be_refused_is_worth_a_warning() {
        let warnings = |limit: u32, users: &str| {
            let text = format!(
                "[options]\ngpus = [0, 1]\n[[options.policies]]\nname = \"everybody\"\nlimit = {{ gpu = {limit} }}\n\
                 [[options.policies]]\nname = \"lab\"\nusers = [{users:?}]\nlimit = {{ gpu = 1 }}\n\
                 [[collaboration]]\nname = \"lab\"\noptions = {{ gpu = 1 }}\n\
                 [spawner.devices]\n\"nvidia.com/gpu\" = [\"GPU-1\"]\n"
            );
            let warnings = load(&text).unwrap().warnings();
            warnings.into_iter().filter(|line| line.starts_with("collaboration \"lab\" could not be started: ")).count()
        };
        assert_eq!((warnings(0, "ada"), warnings(0, "lab"), warnings(1, "ada")), (1, 0, 0));
    }
}
