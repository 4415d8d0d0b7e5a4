//! What values must mean: rules between options, and rules no schema can tell. Pure, except that files named are
//! looked at.

use std::collections::BTreeSet;

use hub_core::cookie::CookieSecret;
use hub_core::name::UserName;
use hub_core::role;
use tracing_subscriber::EnvFilter;

use super::address::{check_host, is_loopback};
use super::auth::Authenticator;
use super::callout::CalloutConfig;
use super::problem::Problem;
use super::spawner::Driver;
use super::unit::Seconds;
use super::{AuthConfig, Config, CullerConfig, HubConfig, LogConfig, PagesConfig, SpawnerConfig};

/// Every problem of a configuration whose single values are right.
pub fn validate(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut blame = |key: &str, what: &str, remedy: &str| problems.push(Problem::new(key, what, remedy));
    addresses(&config.hub, &mut blame);
    super::proxy::validate(config, &mut blame);
    secrets(&config.hub, &mut blame);
    limits(&config.hub, &mut blame);
    access(&config.hub, &mut blame);
    super::service::validate(&config.hub, &mut blame);
    auth(&config.auth, &mut blame);
    super::provider::validate(&config.auth, &mut blame);
    super::storage::validate(&config.storage, &config.auth, &mut blame);
    super::collaboration::validate(config, &mut blame);
    super::site::validate(config, &mut blame);
    super::internal_ssl::validate(config, &mut blame);
    demo(config, &mut blame);
    spawner(&config.spawner, &mut blame);
    docker(config, &mut blame);
    kubernetes(config, &mut blame);
    super::folders::validate(&config.folders, &config.spawner.mounts, &config.storage, &mut blame);
    culler(&config.culler, &mut blame);
    callouts(config, &mut blame);
    pages(&config.pages, &mut blame);
    log(&config.log, &mut blame);
    problems.extend(super::rules::compile(config).problems);
    problems
}

fn subdomains(hub: &HubConfig, blame: &mut impl Blame) {
    let Some(wanted) = &hub.subdomain_host else { return };
    let Some(hosts) = hub.hosts() else {
        blame(
            "hub.subdomain_host",
            "has to be an address with a host name and without a path",
            "An IP address has no names below it; a path belongs into hub.base_url",
        );
        return;
    };
    if hub.public_url.as_ref().is_some_and(|url| url.origin() != wanted.origin()) {
        let remedy = format!("People find the hub at {}, and their servers below it", hosts.origin());
        blame("hub.public_url", "has another host than hub.subdomain_host", &remedy);
    }
}

trait Blame: FnMut(&str, &str, &str) {}
impl<F: FnMut(&str, &str, &str)> Blame for F {}

fn addresses(hub: &HubConfig, blame: &mut impl Blame) {
    subdomains(hub, blame);
    if hub.bind_url.base.as_ref().is_some_and(|base| !hub.base_url.is_root() && *base != hub.base_url) {
        blame("hub.base_url", "is another path than that of bind_url", "Write it in one of the two");
    }
    if check_host(&hub.hub_ip).is_err() && hub.hub_ip != "*" {
        blame("hub.hub_ip", "has to be a host name or an IP address", "Without it, it is 127.0.0.1");
    }
    if hub.hub_port == 0 {
        blame("hub.hub_port", "cannot be 0", "People's servers have to know it; without it, it is 8081");
    }
    let same_host = hub.hub_ip == hub.bind_url.host || hub.bind_url.host.is_empty();
    if hub.hub_port == hub.bind_url.port && same_host {
        blame("hub.hub_port", "is the port of bind_url as well", "The hub and its proxy need a port each");
    }
    for (index, address) in hub.trusted_downstream_ips.iter().enumerate() {
        if address.parse::<specola_proxy::Cidr>().is_err() {
            blame(&format!("hub.trusted_downstream_ips[{index}]"), "has to be an IP address or a network", "");
        }
    }
}

fn secrets(hub: &HubConfig, blame: &mut impl Blame) {
    if let Some(url) = &hub.db_url {
        let scheme = url.expose().split(':').next().unwrap_or_default();
        let known = scheme == "sqlite" || matches!(scheme.split('+').next(), Some("postgresql" | "postgres"));
        if !known || !url.expose().contains("://") {
            blame("hub.db_url", "has to begin with sqlite:/// or postgresql://", "Other databases are not supported");
        }
    }
    if let Some(secret) = &hub.cookie_secret
        && let Err(error) = CookieSecret::parse(secret.expose())
    {
        blame("hub.cookie_secret", &format!("is of no use: {error}"), "");
    }
    if hub.data_dir.as_os_str().is_empty() {
        blame("hub.data_dir", "cannot be empty", "Write \".\" for the folder the hub is started in");
    }
}

fn limits(hub: &HubConfig, blame: &mut impl Blame) {
    if hub.cookie_max_age_days <= 0.0 || hub.cookie_max_age_days > 3650.0 {
        blame("hub.cookie_max_age_days", "has to be more than 0, and 3650 at most", "Without it, it is 14");
    }
    let [shortest, longest] = hub.spawn_throttle_retry_range;
    if shortest > longest {
        blame("hub.spawn_throttle_retry_range", "begins with the larger number", "Write the shorter wait first");
    }
    if hub.api_page_default_limit > hub.api_page_max_limit {
        blame("hub.api_page_default_limit", "is more than api_page_max_limit", "");
    }
    if hub.default_url.as_deref().is_some_and(|url| !url.starts_with('/') || url.starts_with("//")) {
        blame("hub.default_url", "has to be a path such as \"/hub/home\"", "");
    }
}

fn access(hub: &HubConfig, blame: &mut impl Blame) {
    let mut names = BTreeSet::new();
    for (index, role) in hub.load_roles.iter().enumerate() {
        let key = format!("hub.load_roles[{index}]");
        if !role::is_valid_name(&role.name) {
            let what = "has a name that is not 3 to 255 small letters, digits, - _ ~ or .";
            blame(&key, what, "It begins with a letter and ends with a letter or digit");
        }
        if !names.insert(&role.name) {
            blame(&key, &format!("is a second role {:?}", role.name), "Put the two together");
        }
        if role.name == "admin" && role.scopes.is_some() {
            blame(&key, "cannot change what the role \"admin\" allows", "Take its scopes out, or use another name");
        }
    }
    for name in hub.custom_scopes.keys() {
        let rest = name.strip_prefix("custom:").unwrap_or_default();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-*:".contains(c);
        if rest.is_empty() || !rest.chars().all(plain) {
            let what = "has to begin with \"custom:\" and go on with small letters, digits, - _ * or :";
            blame(&format!("hub.custom_scopes.{name}"), what, "");
        }
    }
}

fn auth(auth: &AuthConfig, blame: &mut impl Blame) {
    let lists = [
        ("allowed_users", &auth.allowed_users),
        ("admin_users", &auth.admin_users),
        ("blocked_users", &auth.blocked_users),
    ];
    for (list, names) in lists {
        for name in names.iter().filter(|name| UserName::parse(name).is_err()) {
            let what = format!("contains {name:?}, which cannot be a user name");
            blame(&format!("auth.{list}"), &what, "User names are not empty, without / and without spaces at the ends");
        }
    }
    for name in auth.admin_users.intersection(&auth.blocked_users) {
        blame("auth.blocked_users", &format!("and admin_users both contain {name:?}"), "Take the name out of one");
    }
    let service = &auth.pam.service;
    if service.is_empty() || service.contains('/') || service.starts_with('.') {
        blame("auth.pam.service", "has to be the name of a file in /etc/pam.d", "");
    }
    if auth.throttle.first_wait > auth.throttle.longest_wait {
        blame("auth.throttle.first_wait", "is longer than longest_wait", "");
    }
    positive("auth.password.invite_lifetime", auth.password.invite_lifetime, blame);
}

fn demo(config: &Config, blame: &mut impl Blame) {
    if config.auth.authenticator == Authenticator::Demo && !config.hub.bind_url.is_loopback() {
        let what = "lets anybody in, and bind_url can be reached from elsewhere";
        blame("auth.authenticator", what, "Bind to 127.0.0.1, or use \"password\" or \"pam\"");
    }
}

fn spawner(spawner: &SpawnerConfig, blame: &mut impl Blame) {
    // An image has a command of its own.
    let of_image = matches!(spawner.driver, Driver::Docker | Driver::Kubernetes) && spawner.cmd.is_empty();
    if !of_image && spawner.cmd.first().is_none_or(|command| command.is_empty()) {
        blame("spawner.cmd", "is empty", "Without it, it is [\"jupyterhub-singleuser\"]");
    }
    positive("spawner.start_timeout", spawner.start_timeout, blame);
    positive("spawner.http_timeout", spawner.http_timeout, blame);
    positive("spawner.poll_interval", spawner.poll_interval, blame);
    if spawner.mem_limit.zip(spawner.mem_guarantee).is_some_and(|(limit, guarantee)| guarantee > limit) {
        blame("spawner.mem_guarantee", "is more than mem_limit", "");
    }
    if spawner.cpu_limit.zip(spawner.cpu_guarantee).is_some_and(|(limit, guarantee)| guarantee > limit) {
        blame("spawner.cpu_guarantee", "is more than cpu_limit", "");
    }
    for name in spawner.environment.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
        blame("spawner.environment", &format!("contains {name:?}, which cannot be a variable's name"), "");
    }
    devices(spawner, blame);
    if spawner.local.ports.is_some_and(|[first, last]| first == 0 || first > last) {
        blame("spawner.local.ports", "has to be the first and the last port, such as [20000, 29999]", "");
    }
    if spawner.local.ip.is_empty() || check_host(&spawner.local.ip).is_err() {
        blame("spawner.local.ip", "has to be a host name or an IP address", "Without it, it is 127.0.0.1");
    }
}

fn docker(config: &Config, blame: &mut impl Blame) {
    if config.spawner.driver != Driver::Docker {
        return;
    }
    let of = |spawner: &SpawnerConfig| super::docker::problems(spawner, chooses_images(config));
    for (key, what, remedy) in super::site::each(config, "spawner.docker", of) {
        blame(&key, &what, remedy);
    }
}

fn kubernetes(config: &Config, blame: &mut impl Blame) {
    if config.spawner.driver != Driver::Kubernetes {
        return;
    }
    let of = |spawner: &SpawnerConfig| super::kubernetes::problems(spawner, chooses_images(config));
    for (key, what, remedy) in super::site::each(config, "spawner.kubernetes", of) {
        blame(&key, &what, remedy);
    }
    // Those of the section are told with every callout, but a site may have another.
    let of = |spawner: &SpawnerConfig| -> Vec<_> {
        let problems = spawner.kubernetes.modify_pod_hook.problems().into_iter();
        problems.map(|(option, what, remedy)| (format!("modify_pod_hook.{option}"), what, remedy)).collect()
    };
    let of_hooks = super::site::each(config, "spawner.kubernetes", of);
    for (key, what, remedy) in of_hooks.iter().filter(|(key, ..)| key.starts_with("sites[")) {
        blame(key, what, remedy);
    }
    let mut of_overrides = Vec::new();
    for spawner in config.spawners() {
        for problem in super::kubernetes::problems_of_overrides(spawner, &config.options) {
            if !of_overrides.contains(&problem) {
                of_overrides.push(problem);
            }
        }
    }
    for (option, what, remedy) in of_overrides {
        blame(&option, &what, remedy);
    }
    if !config.spawner.devices.is_empty() {
        let what = "names devices, and in a cluster its scheduler gives them out";
        blame("spawner.devices", what, "Leave it out: GPUs of [options] are asked of the cluster by number");
    }
}

fn chooses_images(config: &Config) -> bool {
    let options = &config.options;
    !options.images.is_empty() || !options.profile_list.is_empty() || options.profile_list_file.is_some()
}

/// One device under two names would be given to two servers.
fn devices(spawner: &SpawnerConfig, blame: &mut impl Blame) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (resource, devices) in &spawner.devices {
        let key = format!("spawner.devices.{resource}");
        if resource.trim().is_empty() || devices.is_empty() {
            blame(&key, "has to name devices of a resource", "Such as \"nvidia.com/gpu\" = [\"GPU-8a56…\"]");
        }
        for device in devices {
            let plain = !device.is_empty() && device.chars().all(|c| c.is_ascii_graphic() && c != ',' && c != '"');
            if !plain {
                blame(&key, &format!("contains {device:?}, which is no device"), "`nvidia-smi -L` lists UUIDs");
            } else if device.bytes().all(|byte| byte.is_ascii_digit()) {
                let what = format!("contains {device:?}: numbers change from one start of the machine to the next");
                blame(&key, &what, "`nvidia-smi -L` lists UUIDs, which stay");
            } else if !seen.insert(device) {
                blame(&key, &format!("contains {device:?}, which is there twice"), "No two servers may have one");
            }
        }
    }
    // As NVIDIA named slices at first: MIG-GPU-8a56…/1/0.
    for slice in seen.iter().filter_map(|device| device.strip_prefix("MIG-")) {
        if let Some(whole) = slice.split('/').next().filter(|whole| seen.contains(whole)) {
            let what = format!("contains {whole:?} and a slice of it");
            blame("spawner.devices", &what, "Whoever had the whole would share it with whoever has the slice");
        }
    }
}

fn culler(culler: &CullerConfig, blame: &mut impl Blame) {
    if culler.timeout.is_zero() {
        blame("culler.timeout", "has to be more than 0 seconds", "To stop no idle server, set culler.enabled = false");
    }
}

fn callouts(config: &Config, blame: &mut impl Blame) {
    for (key, callout) in every_callout(config) {
        for (option, what, remedy) in callout.problems() {
            blame(&format!("{key}.{option}"), &what, remedy);
        }
    }
    let none = |callout: &CalloutConfig| callout.url.is_none() && callout.command.is_empty();
    let remedy = "Name a program (command) or an address (url)";
    if config.auth.authenticator == Authenticator::External && none(&config.auth.external) {
        blame("auth.authenticator", "is \"external\", and [auth.external] names nobody to ask", remedy);
    }
    if config.spawner.driver == Driver::External && config.has_sites() {
        for (key, what, remedy) in super::site::each(config, "spawner.external", |spawner| spawner.external.problems())
        {
            blame(&key, &what, remedy);
        }
        for (index, _) in config.sites.iter().enumerate().filter(|(_, site)| none(&site.spawner_of(config).external)) {
            blame(&format!("sites[{index}].spawner"), "names nobody to ask", remedy);
        }
    } else if config.spawner.driver == Driver::External && none(&config.spawner.external) {
        blame("spawner.driver", "is \"external\", and [spawner.external] names nobody to ask", remedy);
    }
}

/// Everybody who may be asked, with the section that says so.
fn every_callout(config: &Config) -> impl Iterator<Item = (&'static str, &CalloutConfig)> {
    let spawner = &config.spawner;
    let others = [
        ("auth.external", &config.auth.external),
        ("spawner.external", &spawner.external),
        ("spawner.kubernetes.modify_pod_hook", &spawner.kubernetes.modify_pod_hook),
    ];
    config.hooks.each().into_iter().chain(others)
}

/// Those of sites that are asked unencrypted.
fn exposed_at_sites(config: &Config) -> impl Iterator<Item = String> {
    let (section, option) = match config.spawner.driver {
        Driver::External => ("spawner.external", "url"),
        _ => ("spawner.kubernetes", "modify_pod_hook"),
    };
    let exposed = super::site::each(config, section, |spawner: &SpawnerConfig| {
        let callout = match spawner.driver {
            Driver::External => &spawner.external,
            _ => &spawner.kubernetes.modify_pod_hook,
        };
        callout.is_exposed().then(|| (option, String::new(), ())).into_iter().collect()
    });
    let of_sites = exposed.into_iter().map(|(key, ..)| key).filter(|key| key.starts_with("sites["));
    of_sites.map(|key| key.strip_suffix(".url").map_or(key.clone(), str::to_owned))
}

pub(super) fn positive(key: &str, seconds: Seconds, blame: &mut impl FnMut(&str, &str, &str)) {
    if seconds.is_zero() {
        blame(key, "has to be more than 0 seconds", "");
    }
}

fn pages(pages: &PagesConfig, blame: &mut impl Blame) {
    if pages.name.trim().is_empty() {
        blame("pages.name", "is empty", "Without it, it is \"Specola\"");
    }
    for (key, file) in [("pages.logo_file", &pages.logo_file), ("pages.extra_css_file", &pages.extra_css_file)] {
        let Some(file) = file else { continue };
        if let Err(error) = std::fs::File::open(file) {
            blame(key, &format!("names {}, which cannot be read: {error}", file.display()), "");
        }
    }
    let kinds = ["svg", "png", "jpg", "jpeg", "webp"];
    let kind = pages.logo_file.as_deref().map(|file| file.extension().unwrap_or_default().to_ascii_lowercase());
    if kind.is_some_and(|kind| !kinds.iter().any(|known| kind == *known)) {
        blame("pages.logo_file", "has to be an .svg, .png, .jpg or .webp file", "");
    }
}

fn log(log: &LogConfig, blame: &mut impl Blame) {
    if EnvFilter::builder().parse(&log.level).is_err() {
        blame(
            "log.level",
            "has to be error, warn, info, debug or trace",
            "Parts apart: \"info,specola::keeper=debug\"",
        );
    }
}

/// What is allowed, and worth a second look. Sentences for the log and for `check-config`.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = config.notes.clone();
    // What holds of several sites is said once.
    let mut say = |text: String| {
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    };
    super::rules::compile(config).notes.into_iter().for_each(&mut say);
    super::collaboration::warnings(config).into_iter().for_each(&mut say);
    let auth = &config.auth;
    let has = |lists: &[&BTreeSet<String>]| lists.iter().any(|list| !list.is_empty());
    let by_group = has(&[&auth.allowed_groups, &auth.admin_groups]);
    let admits_group = match auth.authenticator {
        Authenticator::External => by_group,
        // The system's groups make administrators, and are told for nothing else.
        Authenticator::Pam => has(&[&auth.pam.admin_groups]),
        Authenticator::Demo | Authenticator::Password | Authenticator::Oidc => false,
    };
    let by_name = has(&[&auth.allowed_users, &auth.admin_users]);
    let lets_in = auth.allows_all() || auth.allows_existing_users() || by_name || admits_group;
    if !lets_in && auth.authenticator != Authenticator::Oidc {
        let why = if by_group { "this method tells no groups, of which the rules are; " } else { "" };
        say(format!("Nobody can log in: {why}set auth.allowed_users, auth.admin_users or auth.allow_all"));
    }
    if auth.allows_all() && auth.authenticator == Authenticator::Pam {
        say("Everybody with an account on this machine can log in (auth.allow_all)".into());
    }
    if !config.spawner.devices.is_empty() && config.spawner.driver == Driver::Local {
        say("spawner.devices: the driver local tells servers their devices, and nothing keeps them from using others"
            .into());
    }
    super::provider::warnings(auth).into_iter().for_each(&mut say);
    super::storage::warnings(&config.storage).into_iter().for_each(&mut say);
    if auth.authenticator == Authenticator::Demo {
        say("Anybody on this machine can log in under any name (auth.authenticator = \"demo\")".into());
    }
    if auth.authenticator == Authenticator::Password && auth.allow_all == Some(true) {
        say("auth.allow_all adds nothing to the method \"password\": only who was given a password has one".into());
    }
    // Labs tell that they are busy every five minutes, a tenth more or less.
    if config.culler.enabled && config.culler.timeout.0 < 330.0 {
        say("culler.timeout is less than the 5 minutes between two reports of a lab: busy servers would be stopped"
            .into());
    }
    let exposed = every_callout(config).filter(|(_, callout)| callout.is_exposed()).map(|(key, _)| key.to_owned());
    for key in exposed.chain(exposed_at_sites(config)) {
        say(format!("Names, and for logins passwords, would travel unencrypted to {key}.url: use an https address"));
    }
    let hub = &config.hub;
    super::proxy::warnings(config).into_iter().for_each(&mut say);
    super::site::warnings(config).into_iter().for_each(&mut say);
    super::internal_ssl::warnings(config).into_iter().for_each(&mut say);
    if config.spawner.driver == Driver::Docker {
        let of = |spawner| super::docker::warnings(spawner, &hub.hub_url());
        config.spawners().into_iter().flat_map(of).for_each(&mut say);
    }
    if config.spawner.driver == Driver::Kubernetes {
        let of = |spawner| super::kubernetes::warnings(spawner, &hub.hub_url());
        config.spawners().into_iter().flat_map(of).for_each(&mut say);
        let of = |spawner| super::kubernetes::warnings_of_executors(spawner, &config.options);
        config.spawners().into_iter().flat_map(of).for_each(&mut say);
    }
    let encrypted = hub.bind_url.https || hub.public_url.as_ref().is_some_and(|url| url.is_https());
    if !hub.bind_url.is_loopback() && !encrypted {
        let advice = "set proxy.tls, or put a TLS proxy in front and set hub.public_url to its https address";
        say(format!("Passwords would travel unencrypted to {}: {advice}", hub.bind_url.listen()));
    }
    if !is_loopback(&hub.hub_ip)
        && hub.hub_connect_url.is_none()
        && matches!(hub.hub_ip.as_str(), "" | "*" | "0.0.0.0" | "::")
    {
        say("hub.hub_ip listens on every address; set hub.hub_connect_url so that servers know which to use".into());
    }
    warnings
}
