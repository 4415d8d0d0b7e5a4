//! What to do instead of a setting that was not carried over.

use super::docker_spawner;
use super::read::Setting;

/// Authenticators of oauthenticator, by a part of their names.
const PROVIDERS: [&str; 7] = ["oauth", "openid", "google", "github", "globus", "cilogon", "keycloak"];

/// One sentence for an operator.
pub fn instead(setting: &Setting) -> &'static str {
    let chosen = setting.plain.as_str().unwrap_or_default().to_lowercase();
    match (setting.class.as_str(), setting.trait_name.as_str()) {
        ("JupyterHub", "authenticator_class") if PROVIDERS.iter().any(|name| chosen.contains(name)) => {
            "Write [[auth.providers]] with the same client and groups (docs/login.md)."
        }
        ("JupyterHub", "authenticator_class") if chosen.contains("native") => {
            "Its passwords stay good behind auth.authenticator = \"external\" with the bridge (docs/hooks.md); \"password\" wants new ones."
        }
        ("JupyterHub", "authenticator_class") => {
            "Run the class behind auth.authenticator = \"external\" with the bridge (docs/hooks.md)."
        }
        ("JupyterHub", "spawner_class") => {
            "Run the class behind the driver \"external\" with the bridge (docs/hooks.md)."
        }
        ("JupyterHub", "proxy_class") | ("ConfigurableHTTPProxy" | "TraefikProxy", _) => {
            "Leave it out: `specola proxy` is started with the hub, options are in [proxy]."
        }
        ("Spawner" | "LocalProcessSpawner" | "KubeSpawner" | "DockerSpawner", "pre_spawn_hook") => {
            "Make it a program or a webhook: [hooks.pre_spawn] (docs/hooks.md)."
        }
        (_, "post_stop_hook") => "Make it a program or a webhook: [hooks.post_stop] (docs/hooks.md).",
        (_, "auth_state_hook") => "Make it a program or a webhook: [hooks.auth_state] (docs/hooks.md).",
        (_, "post_auth_hook") => "Make it a program or a webhook: [hooks.post_auth] (docs/hooks.md).",
        (_, "pre_spawn_hook") => "Make it a program or a webhook: [hooks.pre_spawn] (docs/hooks.md).",
        (_, "options_form" | "options_from_form" | "profile_list") => {
            "Write them in [options]; a profile_list works as it stands, in options.profile_list or options.profile_list_file (docs/options.md)."
        }
        ("CryptKeeper", _) => "Put the keys into the environment of the hub: JUPYTERHUB_CRYPT_KEY.",
        ("JupyterHub", "internal_ssl") => {
            "Drivers give servers certificates where servers are processes or pods (docs/tls.md); others speak plain HTTP with the hub."
        }
        ("JupyterHub", "generate_certs" | "recreate_internal_certs") => {
            "Authorities are made where there are none; to have new ones, delete hub.internal_certs_location (docs/tls.md)."
        }
        ("JupyterHub", "external_ssl_authorities") => {
            "Authorities of services and servers are believed with proxy.client_ca_file; the hub's own port hears only whom its own signed for."
        }
        ("JupyterHub", "template_paths" | "template_vars" | "logo_file" | "jinja_environment_options") => {
            "Pages are branded in [pages]: name, logo_file, accent, login_text, announcements, extra_css_file."
        }
        ("JupyterHub", "cleanup_servers" | "cleanup_proxy") => {
            "Leave it out: servers and proxy outlive the hub; `specola serve --stop-all` ends the proxy too."
        }
        ("JupyterHub", "log_level") | ("Application", "log_level") => "Use log.level.",
        ("JupyterHub", "tornado_settings") => {
            "Leave it out; slow_spawn_timeout and slow_stop_timeout are options of [hub]."
        }
        ("JupyterHub", "services") => {
            "Write oauth_client_allowed_scopes, with the scopes of those roles, in place of oauth_roles; see [[hub.services]]."
        }
        ("JupyterHub", "trust_user_provided_tokens") => {
            "Leave it out: a token of the configuration is proved once and then remembered."
        }
        ("JupyterHub", "admin_users") => "Use auth.admin_users.",
        ("JupyterHub", "admin_access") => "Give the scope access:servers with a role in hub.load_roles.",
        ("DockerSpawner", name) => docker_spawner::instead(name),
        ("SystemUserSpawner", _) => {
            "Servers of people of the machine: spawner.docker.volumes = {\"/home/{raw_username}\" = \"/home/{raw_username}\"}, and spawner.docker.user (docs/docker.md)."
        }
        ("SwarmSpawner", _) => {
            "There is no driver for Swarm: with the bridge it keeps its own configuration (docs/hooks.md)."
        }
        ("KubeSpawner", "modify_pod_hook") => {
            "Make it a program or a webhook: spawner.kubernetes.modify_pod_hook (docs/hooks.md); what is the same for everybody is a JSON Patch in modify_pod."
        }
        ("KubeSpawner", _) => {
            "There is no such option of [spawner.kubernetes]; docs/kubernetes.md has those there are."
        }
        ("JupyterHub" | "Spawner" | "Authenticator", _) => {
            "See docs/configuration.md for what there is; without it the default counts."
        }
        _ => {
            "It belongs to a class that Specola does not run; with the bridge it keeps its own configuration (docs/hooks.md)."
        }
    }
}
