//! What became of values of theirs that have no place here, by the beginning of their names. The first that fits counts.

/// The beginning of a name, why it is not carried over, and what to do instead.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        "hub.extraConfig",
        "it is Python",
        "Put it into a file and run `specola import-config` on it: what is data goes to hub.config, functions to hub.config.hooks (docs/hooks.md).",
    ),
    ("hub.image", "that is their program", "images/build lab-hub makes ours; name it in hub.image."),
    ("proxy.chp.image", "that is their program", "The proxy is the hub's image."),
    ("hub.command", "that starts their program", "Leave it out."),
    ("hub.args", "that starts their program", "Leave it out."),
    ("proxy.chp.command", "that starts their program", "Leave it out."),
    (
        "proxy.chp.extraCommandLineFlags",
        "that is for their program",
        "Options of the proxy are proxy.config ([proxy] in docs/configuration.md).",
    ),
    (
        "proxy.chp.extraEnv",
        "that is for their program",
        "Options of the proxy are proxy.config ([proxy] in docs/configuration.md).",
    ),
    ("proxy.chp.defaultTarget", "the proxy leads to the hub", "Leave it out."),
    ("proxy.chp.errorTarget", "error pages are the hub's", "Leave it out; pages are branded in hub.config.pages."),
    (
        "proxy.traefik",
        "no traefik is needed",
        "The proxy speaks TLS itself: proxy.https; HSTS is proxy.config.hsts_max_age.",
    ),
    ("proxy.secretSync", "no traefik is needed", "Leave it out."),
    ("proxy.deploymentStrategy", "it is as it has to be", "Leave it out: proxies are rolled."),
    ("hub.deploymentStrategy", "it is as it has to be", "Leave it out: it follows from `hub.db.type`."),
    (
        "hub.db.upgrade",
        "a database is not upgraded by the way",
        "`specola adopt` takes over one of JupyterHub 4 and 5 (docs/move.md).",
    ),
    ("hub.db.type", "there is no such database here", "PostgreSQL (postgres), or a file on a volume (sqlite-pvc)."),
    ("hub.consecutiveFailureLimit", "failed starts do not end the hub", "Leave it out."),
    (
        "hub.template",
        "pages are made otherwise",
        "They are branded in hub.config.pages: name, logo_file, accent, extra_css_file.",
    ),
    ("hub.extraConfigMap", "nothing reads it", "Leave it out; free values go into custom."),
    ("hub.fsGid", "it is elsewhere", "hub.podSecurityContext.fsGroup."),
    ("hub.uid", "it is elsewhere", "hub.containerSecurityContext.runAsUser."),
    ("hub.config", "there is no such option", "docs/configuration.md has those there are."),
    ("auth", "that is of their chart before version 1", "hub.config.auth (docs/login.md)."),
    (
        "scheduling.userScheduler",
        "the chart brings no scheduler",
        "scheduling.userPods.schedulerName names one that is there.",
    ),
    ("singleuser.storage.dynamic.volumeNameTemplate", "only the pod knows this name", "Leave it out."),
    (
        "singleuser.networkTools.image",
        "that is theirs",
        "It takes an image of yours with iptables, and only where cloudMetadata.blockWithIptables is set.",
    ),
    ("singleuser.cloudMetadata.enabled", "its name was changed", "singleuser.cloudMetadata.blockWithIptables."),
    (
        "singleuser.extraFiles",
        "there is no such value",
        "A ConfigMap or Secret of yours, in singleuser.storage.extraVolumes and extraVolumeMounts.",
    ),
    ("singleuser.imagePullSecret", "its name was changed", "imagePullSecret."),
    ("hub.imagePullSecret", "its name was changed", "imagePullSecret."),
    ("prePuller.hook.pullOnlyOnChanges", "images that are there take no time", "Leave it out."),
    ("prePuller.hook", "the hub's own program waits for images", "Leave it out."),
    ("prePuller.pause", "no further container is needed", "Leave it out."),
    ("cull.concurrency", "servers are stopped by the hub itself", "Leave it out."),
    ("rbac.enabled", "its name was changed", "rbac.create."),
    ("enabled", "a chart that is there is meant", "Leave it out."),
];

/// Why a value is not carried over whatever it says, and what to do instead.
pub fn refused(path: &str) -> Option<(&'static str, &'static str)> {
    const ALWAYS: [&str; 7] = [
        "hub.image",
        "hub.command",
        "hub.args",
        "proxy.chp.image",
        "proxy.chp.extraEnv",
        "hub.extraConfig",
        "singleuser.networkTools.image",
    ];
    let always = ALWAYS.iter().any(|begin| begins(path, begin));
    always.then(|| told(path)).flatten()
}

/// What is known of a value that has no place.
pub fn told(path: &str) -> Option<(&'static str, &'static str)> {
    KNOWN.iter().find(|(begin, ..)| begins(path, begin)).map(|(_, why, instead)| (*why, *instead))
}

fn begins(path: &str, begin: &str) -> bool {
    path.strip_prefix(begin).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || begin.ends_with("template"))
}
