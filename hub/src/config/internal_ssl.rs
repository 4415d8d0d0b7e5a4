//! What goes together with `hub.internal_ssl`, and what does not.

use super::address::check_host;
use super::spawner::Driver;
use super::{Config, HubConfig, SpawnerConfig};

/// What may not be.
pub(super) fn validate(config: &Config, blame: &mut impl FnMut(&str, &str, &str)) {
    let hub = &config.hub;
    for (index, name) in hub.alt_names().iter().enumerate() {
        if name.is_empty() || check_host(name).is_err() {
            let what = "is neither a host name nor an address";
            blame(&format!("hub.trusted_alt_names[{index}]"), what, "Such as \"hub.example.org\" or \"IP:192.0.2.7\"");
        }
    }
    if !hub.internal_ssl {
        return;
    }
    if !matches!(config.spawner.driver, Driver::Local | Driver::Kubernetes) {
        let remedy = "Only the drivers \"local\" and \"kubernetes\" give servers certificates";
        blame("hub.internal_ssl", "does not work with this spawner.driver", remedy);
    }
    let has_executors = |spawner: &&SpawnerConfig| spawner.kubernetes.executor_namespaces.is_some();
    if config.spawner.driver == Driver::Kubernetes && config.spawners().iter().any(has_executors) {
        let what = "gives executors no certificates, so that the hub does not hear them when they ask for keys of object stores";
        blame("hub.internal_ssl", what, "Leave it out, or leave spawner.kubernetes.executor_namespaces out");
    }
    if hub.hub_connect_url.as_ref().is_some_and(|url| !url.is_https()) {
        blame(
            "hub.hub_connect_url",
            "has to begin with https://",
            "The hub's own API speaks TLS with hub.internal_ssl",
        );
    }
    if config.spawner.environment.keys().any(|name| name.starts_with("JUPYTERHUB_SSL_")) {
        let what = "names files with certificates";
        blame("spawner.environment", what, "With hub.internal_ssl they are made for each server");
    }
}

/// What is allowed, and worth a second look.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let HubConfig { internal_ssl, internal_certs_location, .. } = &config.hub;
    let mut warnings = Vec::new();
    if *internal_ssl && config.proxy.control_address.is_some() && config.proxy.internal_ssl_secret.is_none() {
        warnings.push(
            "Proxies on other machines need --client-certificate, --client-ca and --hub-ca with hub.internal_ssl: copy \
             internal-ssl.pem, internal-ssl-trust.pem and internal-ssl-hub.pem from the folder proxy in hub.data_dir (docs/tls.md)"
                .to_owned(),
        );
    }
    if *internal_ssl && config.proxy.control_address.is_some() {
        warnings.push(
            "proxy.control_address stays plain HTTP with hub.internal_ssl, and the token of proxies goes over it: for a \
             network of hub and proxies alone (docs/tls.md)"
                .to_owned(),
        );
    }
    if !internal_ssl && internal_certs_location.is_some() {
        warnings.push("hub.internal_certs_location adds nothing without hub.internal_ssl".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use spawner_kubernetes::ExecutorNamespaces;

    use crate::config::address::HttpUrl;

    fn blamed(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        config.hub.internal_ssl = true;
        change(&mut config);
        let mut keys = Vec::new();
        validate(&config, &mut |key, _, _| keys.push(key.to_owned()));
        keys
    }

    #[test]
    fn what_stays_in_clear_is_told() {
        let mut config = Config::default();
        config.hub.internal_ssl = true;
        assert_eq!(warnings(&config), Vec::<String>::new());
        config.proxy.control_address = Some("0.0.0.0:8001".to_owned());
        assert!(warnings(&config).iter().any(|warning| warning.contains("plain HTTP")));
    }

    #[test]
    fn what_would_speak_in_clear_is_refused() {
        assert_eq!(blamed(|_| {}), Vec::<String>::new());
        assert_eq!(blamed(|config| config.spawner.driver = Driver::Kubernetes), Vec::<String>::new());
        let executors = |driver| {
            move |config: &mut Config| {
                config.spawner.driver = driver;
                config.spawner.kubernetes.executor_namespaces = Some(ExecutorNamespaces::default());
            }
        };
        assert_eq!(blamed(executors(Driver::Kubernetes)), ["hub.internal_ssl"]);
        assert_eq!(blamed(executors(Driver::Local)), Vec::<String>::new());
        for driver in [Driver::Docker, Driver::External] {
            assert_eq!(blamed(|config| config.spawner.driver = driver), ["hub.internal_ssl"]);
        }
        let url = |url: &str| Some(HttpUrl::parse(url).unwrap());
        assert_eq!(blamed(|config| config.hub.hub_connect_url = url("http://hub:8081")), ["hub.hub_connect_url"]);
        assert_eq!(blamed(|config| config.hub.hub_connect_url = url("https://hub:8081")), Vec::<String>::new());
        let names = ["DNS:hub.example.org", "IP:::1", "192.0.2.7"].map(str::to_owned).to_vec();
        assert_eq!(blamed(|config| config.hub.trusted_alt_names = names), Vec::<String>::new());
        let wrong = vec!["DNS:a b".to_owned(), String::new()];
        assert_eq!(
            blamed(|config| config.hub.trusted_alt_names = wrong),
            ["hub.trusted_alt_names[0]", "hub.trusted_alt_names[1]"]
        );
        let key = |config: &mut Config| {
            config.spawner.environment.insert("JUPYTERHUB_SSL_KEYFILE".to_owned(), "/mine".to_owned());
        };
        assert_eq!(blamed(key), ["spawner.environment"]);
    }
}
