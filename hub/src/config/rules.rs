//! From `[options]` to the rules that requests are judged by, with everything that is wrong in them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::anyhow;
use hub_core::policy::amount::{UNLIMITED, millis};
use hub_core::policy::group::GroupRule;
use hub_core::policy::image::{ImageAllowance, ImageReference};
use hub_core::policy::rule::{Deny, Grant, Matching, Named, Names, Quota};
use hub_core::policy::written::Written;
use hub_core::policy::{Amounts, Flavour, Image, Policy, Resolved, Rules, Site, Volume, profile};
use serde_json::Value;
use spawners::Abilities;

use super::auth::Authenticator;
use super::check::proposal;
use super::options::{AmountName, AmountsConfig, OptionsConfig, PolicyConfig};
use super::problem::Problem;
use super::site::SiteConfig;
use super::spawner::Driver;
use super::{Config, SpawnerConfig};

/// A file of profiles is not larger.
const LARGEST_FILE: u64 = 4 << 20;

/// What a configuration's options come to.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The rules; `None` when there are no options.
    pub rules: Option<Rules>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is worth a second look.
    pub notes: Vec<String>,
}

impl Config {
    /// The rules that requests are judged by; `None` when there are no options.
    pub fn rules(&self) -> anyhow::Result<Option<Rules>> {
        let compiled = compile(self);
        match compiled.problems.first() {
            Some(problem) => Err(anyhow!("{problem}")),
            None => Ok(compiled.rules),
        }
    }
}

/// Reads the options, the file with profiles included.
pub fn compile(config: &Config) -> Compiled {
    let mut compiled = Compiled::default();
    if config.options.is_empty() && config.sites.is_empty() {
        return compiled;
    }
    let rules = compiled.rules(config);
    compiled.abilities(&rules, abilities_of(&config.spawner));
    compiled.devices(&rules, &config.spawner);
    compiled.doubts(&rules);
    compiled.notes.extend(untold_groups(config));
    compiled.rules = Some(rules);
    compiled
}

/// A policy by group where the login method's word on groups is passed over, and the configuration makes no such group.
fn untold_groups(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let tells = !auth.providers.is_empty() || auth.authenticator == Authenticator::External;
    if auth.manage_groups || !tells {
        return None;
    }
    let is_made = |rule: &String| config.hub.load_groups.keys().any(|group| GroupRule::new(rule).admits(group));
    let policies = config.options.policies.iter().filter(|policy| !policy.groups.iter().all(is_made));
    let names: Vec<String> = policies.map(|policy| format!("{:?}", policy.name)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "options.policies: {} would match nobody whom the login says to be in the groups, because what it says of \
             groups is not kept: set auth.manage_groups, or put people into the groups by hand",
            names.join(", ")
        )
    })
}

/// The policies that name a group which there never was, as sentences. `groups` are all that the database knows; where
/// there is none, nobody has logged in yet, and nothing is said.
pub fn strange_groups(rules: &Rules, groups: &[String]) -> Vec<String> {
    if groups.is_empty() {
        return Vec::new();
    }
    let told = |policy: &Policy| {
        let strange = policy.matching.groups.iter().filter(|rule| !groups.iter().any(|group| rule.admits(group)));
        let strange: Vec<String> = strange.map(|rule| format!("{:?}", rule.to_string())).collect();
        let name = &policy.name;
        (!strange.is_empty()).then(|| {
            format!("the policy {name:?} names {}, where nobody has ever been: is it spelled so?", strange.join(", "))
        })
    };
    rules.policies.iter().filter_map(told).collect()
}

/// What the configured driver can do.
pub fn abilities(driver: Driver) -> Abilities {
    match driver {
        Driver::Local => Abilities::default(),
        Driver::Docker => spawner_docker::ABILITIES,
        Driver::Kubernetes => spawner_kubernetes::ABILITIES,
        Driver::External => spawner_external::ABILITIES,
    }
}

/// What the configured driver can do with what is configured beside it.
pub fn abilities_of(spawner: &SpawnerConfig) -> Abilities {
    let can = abilities(spawner.driver);
    // Devices are told in the environment, which every driver gives to its servers.
    Abilities { gpus: can.gpus || !spawner.devices.is_empty(), ..can }
}

fn key(of: &str) -> String {
    format!("options.{of}")
}

impl Compiled {
    fn blame(&mut self, of: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(key(of), what.into(), remedy.into()));
    }

    fn rules(&mut self, config: &Config) -> Rules {
        let (options, spawner) = (&config.options, &config.spawner);
        let profiles = self.profiles(options);
        let mut rules = Rules {
            images: options
                .images
                .iter()
                .map(|image| Image {
                    name: image.name.clone(),
                    display_name: image.display_name.clone().unwrap_or_else(|| image.name.clone()),
                    description: image.description.clone(),
                    reference: image.image.clone(),
                    default: image.default,
                })
                .collect(),
            flavours: options.flavours.iter().map(flavour).collect(),
            cores: options.cores.iter().copied().filter_map(millis).collect(),
            memory: options.memory.iter().map(|size| size.0).collect(),
            gpus: options.gpus.iter().copied().map(u64::from).collect(),
            default_cores: options.default_cores.and_then(millis),
            default_memory: options.default_memory.map(|size| size.0),
            gpu_resource: options.gpu_resource.clone().unwrap_or_else(|| "nvidia.com/gpu".to_owned()),
            volumes: options
                .volumes
                .iter()
                .map(|volume| Volume {
                    name: volume.name.clone(),
                    display_name: volume.display_name.clone().unwrap_or_else(|| volume.name.clone()),
                    description: volume.description.clone(),
                    mount: volume.mount.clone().into_iter().collect(),
                    default: volume.default,
                })
                .collect(),
            sites: config.sites.iter().map(site).collect(),
            own_site: config.hub.site.clone(),
            only_sites: options.is_empty(),
            profiles,
            greeting: options.greeting.clone(),
            base: base(spawner),
            passed_on: options.passed_on.clone(),
            policies: Vec::new(),
        };
        self.names(&rules);
        self.menus(options, &rules);
        rules.policies = options.policies.iter().enumerate().map(|(at, one)| self.policy(at, one, &rules)).collect();
        rules
    }

    fn profiles(&mut self, options: &OptionsConfig) -> Vec<profile::Profile> {
        let (of, read) = match &options.profile_list_file {
            Some(_) if !options.profile_list.is_empty() => {
                self.blame("profile_list_file", "and profile_list are both set", "Keep one of the two");
                return Vec::new();
            }
            Some(file) => match read_file(file) {
                Ok(written) => ("profile_list_file", profile::read(&written)),
                Err(what) => {
                    self.blame("profile_list_file", what, "");
                    return Vec::new();
                }
            },
            None => ("profile_list", profile::read(&Value::Array(options.profile_list.clone()).into())),
        };
        // A place in a file is told in the sentence, one in the configuration is its key.
        for (at, what) in &read.problems {
            match of {
                "profile_list" => self.blame(&format!("{of}{at}"), what, ""),
                _ => self.blame(of, format!("profile_list{at} {what}"), ""),
            }
        }
        self.notes.extend(read.notes.iter().map(|(at, what)| format!("options.profile_list{at} {what}")));
        read.profiles
    }

    fn names(&mut self, rules: &Rules) {
        let lists = [
            ("images", rules.images.iter().map(|one| one.name.as_str()).collect::<Vec<_>>()),
            ("flavours", rules.flavours.iter().map(|one| one.name.as_str()).collect()),
            ("volumes", rules.volumes.iter().map(|one| one.name.as_str()).collect()),
        ];
        for (list, names) in lists {
            let mut seen = BTreeSet::new();
            for (at, name) in names.into_iter().enumerate() {
                let of = format!("{list}[{at}]");
                if name.trim().is_empty() || name != name.trim() || name == "*" || name == "other" {
                    self.blame(&of, format!("cannot have the name {name:?}"), "Names are short words");
                }
                if !seen.insert(name) {
                    self.blame(&of, format!("is a second one with the name {name:?}"), "");
                }
            }
        }
        for (at, image) in rules.images.iter().enumerate() {
            if let Err(error) = ImageReference::parse(&image.reference) {
                self.blame(&format!("images[{at}].image"), "is no reference to an image", error.to_string());
            }
        }
        for (at, flavour) in rules.flavours.iter().enumerate() {
            let of = format!("flavours[{at}]");
            if flavour.cpu.zip(flavour.cpu_guarantee).is_some_and(|(limit, sure)| sure > limit) {
                self.blame(&of, "has a cpu_guarantee that is more than its cpu", "");
            }
            if flavour.memory.zip(flavour.memory_guarantee).is_some_and(|(limit, sure)| sure > limit) {
                self.blame(&of, "has a memory_guarantee that is more than its memory", "");
            }
        }
    }

    fn menus(&mut self, options: &OptionsConfig, rules: &Rules) {
        let menus = [
            ("cores", !options.cores.is_empty()),
            ("memory", !options.memory.is_empty()),
            ("gpus", !options.gpus.is_empty()),
        ];
        for (menu, _) in menus.into_iter().filter(|(_, is_set)| *is_set && !options.flavours.is_empty()) {
            self.blame(menu, "is set beside flavours", "Let people choose a flavour, or of menus");
        }
        if options.cores.len() != rules.cores.len() || rules.cores.contains(&0) {
            self.blame("cores", "has to contain numbers of cores, more than 0", "");
        }
        if rules.memory.contains(&0) {
            self.blame("memory", "has to contain sizes of memory, more than 0", "");
        }
        if rules.default_cores.is_some_and(|cores| !rules.cores.contains(&cores)) {
            self.blame("default_cores", "is not in cores", "");
        }
        if rules.default_memory.is_some_and(|size| !rules.memory.contains(&size)) {
            self.blame("default_memory", "is not in memory", "");
        }
    }

    fn policy(&mut self, at: usize, policy: &PolicyConfig, rules: &Rules) -> Policy {
        let of = format!("policies[{at}]");
        if policy.name.trim().is_empty() {
            self.blame(&of, "needs a name", "It is told where a limit is explained");
        }
        for (what, limit) in [("limit", &policy.limit)] {
            if limit.servers.is_some() || limit.unlimited.contains(&AmountName::Servers) {
                self.blame(&format!("{of}.{what}.servers"), "is not a limit of one server", "Write it in quota");
            }
        }
        if !amounts(&policy.group_quota).is_empty() && policy.groups.is_empty() {
            self.blame(&format!("{of}.group_quota"), "needs groups that it is the quota of", "");
        }
        let (grant, deny) = (&policy.grant, &policy.deny);
        let sites: Vec<String> = rules.sites.iter().map(|one| one.name.clone()).collect();
        let strange = policy.default_site.as_ref().filter(|name| !sites.contains(name));
        if let Some(name) = strange {
            let what = format!("names {name:?}, which there is not");
            self.blame(&format!("{of}.default_site"), what, proposal(name, &sites));
        }
        for (what, names) in [("grant", &grant.sites), ("deny", &deny.sites)] {
            if sites.is_empty() && names.iter().any(|name| name == "*") {
                let remedy = "Add [[sites]], or take it out";
                self.blame(&format!("{of}.{what}.sites"), "is about sites, and there are none", remedy);
            }
        }
        let mut named = |what: &str, lists: [&Vec<String>; 5]| {
            let [images, flavours, volumes, profiles, of_sites] = lists;
            let known = |names: Vec<String>| names;
            let pairs = [
                ("images", images, known(rules.images.iter().map(|one| one.name.clone()).collect())),
                ("flavours", flavours, known(rules.flavours.iter().map(|one| one.name.clone()).collect())),
                ("volumes", volumes, known(rules.volumes.iter().map(|one| one.name.clone()).collect())),
                ("sites", of_sites, known(sites.clone())),
                ("profiles", profiles, known(rules.profiles.iter().map(|one| one.slug.clone()).collect())),
            ];
            for (list, names, known) in pairs {
                for name in names.iter().filter(|name| *name != "*" && !known.contains(name)) {
                    let of = format!("{of}.{what}.{list}");
                    self.blame(&of, format!("names {name:?}, which there is not"), proposal(name, &known));
                }
            }
            Named {
                images: Names(images.clone()),
                flavours: Names(flavours.clone()),
                volumes: Names(volumes.clone()),
                profiles: Names(profiles.clone()),
                sites: Names(of_sites.clone()),
            }
        };
        let granted = named("grant", [&grant.images, &grant.flavours, &grant.volumes, &grant.profiles, &grant.sites]);
        let denied = named("deny", [&deny.images, &deny.flavours, &deny.volumes, &deny.profiles, &deny.sites]);
        for (index, registry) in grant.own_images.iter().enumerate() {
            if let Err(error) = ImageAllowance::check(registry) {
                let of = format!("{of}.grant.own_images[{index}]");
                self.blame(
                    &of,
                    format!("is {registry:?}, which is no registry: {error}"),
                    "Such as \"docker.io/team\"",
                );
            }
        }
        let own_images = (!grant.own_images.is_empty()).then(|| ImageAllowance {
            registries: grant.own_images.clone(),
            require_digest: grant.own_images_need_digest,
        });
        Policy {
            name: policy.name.clone(),
            matching: Matching {
                groups: policy.groups.iter().map(GroupRule::new).collect(),
                users: policy.users.clone(),
                admins: policy.admins,
            },
            grant: Grant { named: granted, own_images },
            limit: amounts(&policy.limit),
            quota: Quota { person: amounts(&policy.quota), group: amounts(&policy.group_quota) },
            ceiling: amounts(&policy.ceiling),
            deny: Deny { start: deny.start.clone(), named: denied, own_images: deny.own_images },
            default_site: policy.default_site.clone(),
            greeting: policy.greeting.clone(),
            ask: policy.ask.clone(),
        }
    }

    /// What the driver cannot do is a problem here rather than a refusal of every start.
    fn abilities(&mut self, rules: &Rules, can: Abilities) {
        let remedy = "Choose another spawner.driver, or take it out";
        let own_images = rules.policies.iter().any(|policy| policy.grant.own_images.is_some());
        if !can.images && !rules.images.is_empty() {
            self.blame("images", "needs a driver that starts servers from images", remedy);
        }
        if !can.images && own_images {
            self.blame("policies", "grant own_images, which need a driver that starts servers from images", remedy);
        }
        if !can.gpus && (rules.gpus.iter().any(|number| *number > 0)) {
            self.blame("gpus", "needs a driver that gives servers GPUs", remedy);
        }
        if !can.volumes && !rules.volumes.is_empty() {
            self.blame("volumes", "needs a driver that mounts volumes", remedy);
        }
        for (at, flavour) in rules.flavours.iter().enumerate() {
            if let Some(what) = can.lacks(false, flavour.gpu > 0, false, !flavour.extra.is_empty()) {
                self.blame(&format!("flavours[{at}]"), format!("needs a driver for {what}"), remedy);
            }
        }
        for profile in &rules.profiles {
            let choices = profile.options.iter().flat_map(|option| option.choices.iter().map(|choice| &choice.setting));
            let typed = profile.options.iter().filter_map(|option| option.unlisted.as_ref());
            let names_image = typed.into_iter().any(|unlisted| unlisted.names_image());
            for setting in std::iter::once(&profile.setting).chain(choices) {
                let image = setting.image.is_some() || names_image;
                if let Some(what) = can.lacks(image, setting.gpu() > 0, false, !setting.extra.is_empty()) {
                    let keys: Vec<&str> = setting.extra.keys().map(String::as_str).collect();
                    let keys = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
                    let sentence =
                        format!("contains the profile {:?}, which needs a driver for {what}{keys}", profile.slug);
                    self.blame("profile_list", sentence, remedy);
                    break;
                }
            }
        }
    }

    /// Where devices are leased, there is no GPU but those. Where none is, Docker would give everybody the first.
    fn devices(&mut self, rules: &Rules, spawner: &SpawnerConfig) {
        let devices = &spawner.devices;
        if devices.is_empty() && spawner.driver == Driver::Docker {
            return self.counted(rules, spawner.docker.share_gpus);
        }
        if devices.is_empty() {
            return;
        }
        let has = |resource: &str| devices.get(resource).map_or(0, |list| list.len() as u64);
        let few = |resource: &str, number: u64| match has(resource) {
            0 => Err(format!("needs devices of the kind {resource}, of which spawner.devices has none")),
            total if total < number => Ok(format!("{number} GPUs, and spawner.devices has {total} of {resource}")),
            _ => Ok(String::new()),
        };
        for (of, who, resource, number) in gpus(rules) {
            if number == 0 {
                continue;
            }
            match few(&resource, number) {
                Err(what) => self.blame(&of, format!("{what} ({who})"), "Add them there, or name another gpu_resource"),
                Ok(what) if !what.is_empty() => {
                    self.notes.push(format!("options.{of}: {who} asks for {what}: nobody could start it"));
                }
                Ok(_) => {}
            }
        }
    }

    /// GPUs that are counted and not named.
    fn counted(&mut self, rules: &Rules, share: bool) {
        for (of, who, _, _) in gpus(rules).into_iter().filter(|(_, _, _, number)| *number > 0) {
            if share {
                self.notes.push(format!(
                    "options.{of}: {who} asks for GPUs, and everybody has the same first ones at once (spawner.docker.share_gpus): name them in spawner.devices to lease them one by one"
                ));
            } else {
                let remedy =
                    "Name them in spawner.devices (`nvidia-smi -L` lists them), or set spawner.docker.share_gpus";
                let what =
                    format!("asks for GPUs, and none is named: everybody would have the same first ones ({who})");
                self.blame(&of, what, remedy);
            }
        }
    }

    /// What is allowed, and seldom meant.
    fn doubts(&mut self, rules: &Rules) {
        let everybody = |policy: &&Policy| {
            policy.matching.groups.is_empty() && policy.matching.users.is_empty() && !policy.matching.admins
        };
        for dimension in
            [hub_core::policy::Dimension::Cpu, hub_core::policy::Dimension::Memory, hub_core::policy::Dimension::Gpu]
        {
            let stated = |policy: &&Policy| policy.limit.get(dimension).is_some();
            if rules.policies.iter().any(|policy| stated(&policy))
                && !rules.policies.iter().filter(everybody).any(|policy| stated(&policy))
            {
                self.notes.push(format!(
                    "options.policies: who is in no policy with a limit of {0} gets no {0} at all; a policy for everybody can say limit.{0}",
                    dimension.name()
                ));
            }
        }
        let stranger = hub_core::policy::Person { name: "nobody in particular".to_owned(), ..Default::default() };
        if let Err(refusal) = hub_core::policy::decide(rules, &stranger, &Value::Null) {
            self.notes.push(format!("options: people whom no group helps cannot start a server: {}", refusal.sentence));
        }
    }
}

/// Where GPUs are asked for: the option, who asks, the kind, and how many at most.
fn gpus(rules: &Rules) -> Vec<(String, String, String, u64)> {
    let most = rules.gpus.iter().copied().max().unwrap_or(0);
    let of_profiles = rules.profiles.iter().flat_map(|profile| {
        let choices = profile.options.iter().flat_map(|option| option.choices.iter().map(|choice| &choice.setting));
        let gpus = std::iter::once(&profile.setting).chain(choices).flat_map(|setting| &setting.gpus);
        gpus.map(|(resource, number)| (profile.slug.clone(), resource.clone(), number.unwrap_or(0)))
    });
    let menu = (String::from("gpus"), String::from("the menu"), rules.gpu_resource.clone(), most);
    let flavours = rules.flavours.iter().enumerate().map(|(at, flavour)| {
        let resource = flavour.gpu_resource.clone().unwrap_or_else(|| rules.gpu_resource.clone());
        (format!("flavours[{at}]"), format!("the flavour {:?}", flavour.name), resource, flavour.gpu)
    });
    let profiles = of_profiles.map(|(slug, resource, number)| {
        (String::from("profile_list"), format!("the profile {slug:?}"), resource, number)
    });
    std::iter::once(menu).chain(flavours).chain(profiles).collect()
}

fn flavour(flavour: &super::options::FlavourConfig) -> Flavour {
    Flavour {
        name: flavour.name.clone(),
        display_name: flavour.display_name.clone().unwrap_or_else(|| flavour.name.clone()),
        description: flavour.description.clone(),
        cpu: flavour.cpu.and_then(millis),
        cpu_guarantee: flavour.cpu_guarantee.and_then(millis),
        memory: flavour.memory.map(|size| size.0),
        memory_guarantee: flavour.memory_guarantee.map(|size| size.0),
        gpu: flavour.gpu.into(),
        gpu_resource: flavour.gpu_resource.clone(),
        environment: flavour.environment.clone(),
        extra: flavour.spawner_override.clone().into_iter().collect(),
        default: flavour.default,
    }
}

fn site(site: &SiteConfig) -> Site {
    Site { name: site.name.clone(), display_name: site.shown().to_owned(), description: site.description.clone() }
}

fn amounts(written: &AmountsConfig) -> Amounts {
    let amount = |name, amount: Option<u64>| if written.unlimited.contains(&name) { Some(UNLIMITED) } else { amount };
    Amounts {
        servers: amount(AmountName::Servers, written.servers.map(u64::from)),
        cpu: amount(AmountName::Cpu, written.cpu.and_then(millis)),
        memory: amount(AmountName::Memory, written.memory.map(|size| size.0)),
        gpu: amount(AmountName::Gpu, written.gpu.map(u64::from)),
    }
}

/// What a server has when nothing is chosen.
fn base(spawner: &SpawnerConfig) -> Resolved {
    Resolved {
        cpu_limit: spawner.cpu_limit.and_then(millis),
        cpu_guarantee: spawner.cpu_guarantee.and_then(millis),
        mem_limit: spawner.mem_limit.map(|size| size.0),
        mem_guarantee: spawner.mem_guarantee.map(|size| size.0),
        ..Resolved::default()
    }
}

/// A `profile_list` by itself, or as it stands in the values of the chart: under `singleuser.profileList`, under
/// `hub.config.KubeSpawner.profile_list`, or with `jupyterhub` around either.
fn read_file(path: &Path) -> Result<Written, String> {
    let told = |error: &dyn std::fmt::Display| format!("names {}, which cannot be read: {error}", path.display());
    let about = std::fs::metadata(path).map_err(|error| told(&error))?;
    if about.is_dir() || about.len() > LARGEST_FILE {
        return Err(told(&"it is no file of profiles"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    let written: Written = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.to_string().lines().next().unwrap_or_default().to_owned();
        told(&line)
    })?;
    let paths: [&[&str]; 4] = [
        &["profile_list"],
        &["profileList"],
        &["singleuser", "profileList"],
        &["hub", "config", "KubeSpawner", "profile_list"],
    ];
    for root in [Some(&written), written.at(&["jupyterhub"])].into_iter().flatten() {
        if let Some(found) = paths.iter().find_map(|path| root.at(path)) {
            return Ok(found.clone());
        }
    }
    match written {
        Written::List(_) => Ok(written),
        _ => Err(told(&"there is no profile_list in it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::policy::{Person, decide};
    use serde_json::json;

    fn compiled(text: &str) -> Compiled {
        let value: toml::Value = toml::from_str(text).unwrap();
        compile(&serde_json::from_value(serde_json::to_value(value).unwrap()).unwrap())
    }

    fn problems(text: &str) -> Vec<String> {
        compiled(text).problems.iter().map(|problem| problem.to_string()).collect()
    }

    const EXTERNAL: &str = "[spawner]\ndriver = \"external\"\n";

    #[test]
    fn without_options_there_are_no_rules() {
        let compiled = compiled("");
        assert!(compiled.rules.is_none() && compiled.problems.is_empty() && compiled.notes.is_empty());
    }

    #[test]
    fn what_the_configuration_says_is_what_people_get() {
        let rules = compiled(
            "[spawner]\ncpu_limit = 1.5\n[options]\ncores = [0.5, 2]\nmemory = [\"2G\"]\ndefault_cores = 2\n
             [[options.policies]]\nname = \"all\"\nlimit = { cpu = 2, unlimited = [\"memory\"] }\n",
        )
        .rules
        .unwrap();
        let plan = decide(&rules, &Person::default(), &json!({})).unwrap().plan;
        assert_eq!((plan.cpu_limit, plan.mem_limit), (Some(2000), Some(2 << 30)));
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        let text = format!(
            "{EXTERNAL}[options]\ncores = [0, 2]\ndefault_cores = 4\n
             [[options.images]]\nname = \"base\"\nimage = \"Not an image\"\n
             [[options.images]]\nname = \"other\"\nimage = \"python\"\n
             [[options.flavours]]\nname = \"small\"\ncpu = 1\ncpu_guarantee = 2\n
             [[options.flavours]]\nname = \"small\"\n
             [[options.policies]]\nname = \"\"\nlimit = {{ servers = 1 }}\ngroup_quota = {{ gpu = 1 }}\n
             grant = {{ flavours = [\"smal\"], own_images = [\"no registry\"] }}\n"
        );
        let expected = [
            "options.images[1] cannot have the name",
            "options.flavours[1] is a second one",
            "options.images[0].image is no reference",
            "options.flavours[0] has a cpu_guarantee",
            "options.cores is set beside flavours",
            "options.cores has to contain numbers of cores",
            "options.default_cores is not in cores",
            "options.policies[0] needs a name",
            "options.policies[0].limit.servers is not a limit",
            "options.policies[0].group_quota needs groups",
            "options.policies[0].grant.flavours names \"smal\", which there is not",
            "options.policies[0].grant.own_images[0] is \"no registry\"",
        ];
        let told = problems(&text);
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told}\n{expected}");
        }
        assert_eq!(told.len(), expected.len(), "{told:?}");
    }

    #[test]
    fn policies_name_sites_that_there_are() {
        let sites = "[[sites]]\nname = \"cnaf\"\n[[sites]]\nname = \"bari\"\n";
        let policy = |more: &str| format!("[[options.policies]]\nname = \"all\"\n{more}\n");
        let told = |text: &str| problems(text);
        assert!(told(&format!("{sites}{}", policy("grant = { sites = [\"cnaf\", \"*\"] }"))).is_empty());
        for (text, expected) in [
            (format!("{sites}{}", policy("grant = { sites = [\"cnav\"] }")), "grant.sites names \"cnav\""),
            (format!("{sites}{}", policy("deny = { sites = [\"rome\"] }")), "deny.sites names \"rome\""),
            (format!("{sites}{}", policy("default_site = \"rome\"")), "default_site names \"rome\""),
            (policy("grant = { sites = [\"cnaf\"] }"), "grant.sites names \"cnaf\""),
            (policy("grant = { sites = [\"*\"] }"), "is about sites, and there are none"),
        ] {
            let told = told(&text);
            assert!(told.len() == 1 && told[0].contains(expected), "{text}: {told:?}");
        }
        // Without options all that is asked is where.
        let rules = compiled(&format!("{sites}[hub]\nsite = \"bari\"\n")).rules.unwrap();
        let decision = decide(&rules, &Person::default(), &json!({ "deep": { "a": 1 } })).unwrap();
        assert_eq!((decision.plan.site.as_deref(), &decision.options["deep"]["a"]), (Some("bari"), &json!(1)));
        // As with images: nothing is granted that no policy grants, and that is told.
        let notes = compiled(&format!("{sites}{}", policy("limit = { cpu = 1 }"))).notes;
        assert!(notes.iter().any(|note| note.contains("there is no site that you may choose")), "{notes:?}");
    }

    #[test]
    fn what_the_driver_would_pass_over_is_refused() {
        let told = problems(
            "[options]\ngpus = [0, 1]\n[[options.images]]\nname = \"a\"\nimage = \"python\"\n
             [[options.volumes]]\nname = \"v\"\n
             [[options.profile_list]]\ndisplay_name = \"P\"\nkubespawner_override = { node_selector = { a = \"b\" } }\n",
        );
        for (told, expected) in told.iter().zip(["options.images", "options.gpus", "options.volumes", "node_selector"])
        {
            assert!(told.contains(expected), "{told}");
        }
        assert_eq!(told.len(), 4, "{told:?}");
    }

    #[test]
    fn gpus_are_those_that_are_named() {
        let devices = "[spawner.devices]\n\"nvidia.com/gpu\" = [\"GPU-1\", \"GPU-2\"]\n[options]\n";
        let flavour = |more: &str| format!("{devices}[[options.flavours]]\nname = \"a\"\n{more}\n");
        let fits = compiled(&flavour("gpu = 2"));
        assert!(fits.problems.is_empty() && fits.notes.is_empty(), "{:?} {:?}", fits.problems, fits.notes);
        let many = compiled(&flavour("gpu = 3"));
        assert!(many.problems.is_empty(), "{:?}", many.problems);
        let expected =
            "options.flavours[0]: the flavour \"a\" asks for 3 GPUs, and spawner.devices has 2 of nvidia.com/gpu";
        assert!(many.notes.iter().any(|note| note.starts_with(expected)), "{:?}", many.notes);
        let other = problems(&flavour("gpu = 1\ngpu_resource = \"amd.com/gpu\""));
        assert!(other.len() == 1 && other[0].contains("of which spawner.devices has none"), "{other:?}");
        let menu = compiled(&format!("{devices}gpus = [0, 1, 4]\n"));
        assert!(menu.notes.iter().any(|note| note.contains("the menu asks for 4 GPUs")), "{:?}", menu.notes);
    }

    #[test]
    fn gpus_of_dockers_are_named_or_shared_on_purpose() {
        let spawner = |more: &str| format!("[spawner]\ndriver = \"docker\"\n[spawner.docker]\n{more}\n[options]\n");
        for options in [
            "gpus = [0, 1]\n",
            "[[options.flavours]]\nname = \"a\"\ngpu = 1\n",
            "[[options.profile_list]]\ndisplay_name = \"P\"\nkubespawner_override = { extra_resource_limits = { \"nvidia.com/gpu\" = \"1\" } }\n",
        ] {
            let told = problems(&format!("{}{options}", spawner("")));
            assert!(told.len() == 1 && told[0].contains("the same first ones"), "{options}: {told:?}");
            let shared = compiled(&format!("{}{options}", spawner("share_gpus = true")));
            assert!(shared.problems.is_empty(), "{options}: {:?}", shared.problems);
            assert!(shared.notes.iter().any(|note| note.contains("share_gpus")), "{options}: {:?}", shared.notes);
            let named = format!("[spawner.devices]\n\"nvidia.com/gpu\" = [\"GPU-1\"]\n{}{options}", spawner(""));
            assert!(problems(&named).is_empty(), "{options}");
        }
        assert!(problems(&format!("{}gpus = [0]\n", spawner(""))).is_empty());
    }

    #[test]
    fn what_is_seldom_meant_is_told() {
        let notes = compiled(
            "[options]\ncores = [1]\n[[options.policies]]\nname = \"a\"\ngroups = [\"a\"]\nlimit = { cpu = 4 }\n
             [[options.profile_list]]\ndisplay_name = \"P\"\nfancy = 1\n",
        )
        .notes;
        let expected = ["[0].fancy is not a key", "gets no cpu at all", "people whom no group helps cannot start"];
        assert_eq!(notes.len(), expected.len(), "{notes:?}");
        for (note, expected) in notes.iter().zip(expected) {
            assert!(note.contains(expected), "{note}");
        }
    }

    #[test]
    fn policies_by_groups_that_are_not_told_or_never_were_are_told() {
        let policy = "[[options.policies]]\nname = \"team\"\ngroups = [\"users/cygno\", \"staff/**\"]\n";
        let told = |text: &str| {
            let notes = compiled(&format!("{text}{policy}")).notes;
            notes.iter().any(|note| note.contains("\"team\" would match nobody whom the login says"))
        };
        let iam = "[[auth.providers]]\nname = \"iam\"\nissuer = \"https://iam.example\"\nclient_id = \"hub\"\n";
        let oidc = |more: &str| format!("[auth]\nauthenticator = \"oidc\"\n{more}{iam}");
        assert!(told(&oidc("")));
        assert!(told("[auth]\nauthenticator = \"external\"\nexternal = { command = [\"true\"] }\n"));
        assert!(!told(&oidc("manage_groups = true\n")), "they are kept");
        assert!(!told(""), "a password tells no groups: they are made by hand");
        let made = |group: &str| format!("{}[hub.load_groups]\n{group} = {{}}\n\"staff/x\" = {{}}\n", oidc(""));
        assert!(!told(&made("\"users/cygno\"")) && told(&made("users")));

        let rules = compiled(policy).rules.unwrap();
        let strange = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
            strange_groups(&rules, &groups)
        };
        assert!(strange(&[]).is_empty() && strange(&["users/cygno", "staff/a"]).is_empty());
        let expected = "the policy \"team\" names \"users/cygno\", where nobody has ever been: is it spelled so?";
        assert_eq!(strange(&["/users/cygnus", "staff"]), [expected]);
        assert!(strange(&["users"])[0].contains("\"users/cygno\", \"staff/**\""));
    }

    #[test]
    fn a_file_of_values_is_read_wherever_the_list_stands() {
        let folder = tempfile::tempdir().unwrap();
        let list = "[{display_name: A}, {display_name: B}]";
        for (text, count) in [
            (list.to_owned(), Some(2)),
            (format!("profile_list: {list}"), Some(2)),
            (format!("jupyterhub:\n  singleuser:\n    profileList: {list}"), Some(2)),
            (format!("hub:\n  config:\n    KubeSpawner:\n      profile_list: {list}"), Some(2)),
            ("{\"profile_list\": [{\"display_name\": \"A\"}]}".to_owned(), Some(1)),
            ("singleuser: {}".to_owned(), None),
            ("- [".to_owned(), None),
            ("a: &a [*a, *a]".to_owned(), None),
        ] {
            let file = folder.path().join("values.yaml");
            std::fs::write(&file, &text).unwrap();
            let read = compiled(&format!("[options]\nprofile_list_file = {:?}\n", file.display().to_string()));
            let profiles = read.rules.map(|rules| rules.profiles.len()).unwrap_or_default();
            assert_eq!(read.problems.is_empty().then_some(profiles), count, "{text}: {:?}", read.problems);
        }
    }
}
