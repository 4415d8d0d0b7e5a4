//! What labs are told of object stores: only variables that programs know by themselves, and never a key.
//!
//! Programs of AWS ask one address for keys, and only one that is on this machine or encrypted. The lab agent has such an
//! address and lays its own over these; without it a lab asks the hub, where the hub's address is one of those.

use hub_core::secret::Secret;

use super::Offer;
use crate::config::StorageConfig;
use crate::config::address::is_loopback;
use crate::config::storage::Dialect;

/// The names of all storages of the person, with spaces between; the first is the one that programs ask without being
/// told. The agent reads it.
pub const NAMES: &str = "SPECOLA_STORAGE_NAMES";

/// When programs of AWS add checksums to what they write. Since 2025 they do so always, over TLS in a way that Ceph's gateway of
/// version 16 does not know: it refuses the object.
const CHECKSUMS: &str = "AWS_REQUEST_CHECKSUM_CALCULATION";

/// Addresses beside those of the machine itself from which programs of AWS take keys without TLS.
const LINK_LOCAL: [&str; 2] = ["169.254.170.2", "169.254.170.23"];

/// The variables of a lab whose person gets these; `api_url` is the hub's as labs reach it, `token` the lab's own.
pub fn variables(offers: &[&Offer], api_url: &str, token: &Secret) -> Vec<(String, String)> {
    let Some(first) = offers.first() else { return Vec::new() };
    let names: Vec<&str> = offers.iter().map(|offer| offer.name()).collect();
    let mut variables = vec![
        (NAMES.to_owned(), names.join(" ")),
        ("AWS_ENDPOINT_URL_S3".to_owned(), first.config.endpoint()),
        ("AWS_REGION".to_owned(), first.config.region.clone()),
        ("AWS_DEFAULT_REGION".to_owned(), first.config.region.clone()),
    ];
    if offers.iter().any(|offer| offer.config.dialect == Dialect::Ceph) {
        variables.push((CHECKSUMS.to_owned(), "when_required".to_owned()));
    }
    if is_taken(api_url) {
        let url = format!("{api_url}/user/storage/{}/credentials", first.name());
        variables.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), url));
        variables.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN".to_owned(), format!("token {}", token.expose())));
    }
    offers.iter().for_each(|offer| variables.extend(rclone(&offer.config)));
    variables
}

/// Whether programs of AWS take keys from there.
fn is_taken(api_url: &str) -> bool {
    let Ok(url) = url::Url::parse(api_url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    url.scheme() == "https" || is_loopback(&host) || LINK_LOCAL.contains(&host.as_str())
}

/// A remote of rclone's by the storage's name, from variables alone.
fn rclone(config: &StorageConfig) -> Vec<(String, String)> {
    let provider = match config.dialect {
        Dialect::Minio => "Minio",
        Dialect::Ceph => "Ceph",
        Dialect::Aws => "AWS",
    };
    let endpoint = config.endpoint();
    let options = [
        ("TYPE", "s3"),
        ("PROVIDER", provider),
        ("ENV_AUTH", "true"),
        ("ENDPOINT", &endpoint),
        ("REGION", &config.region),
        ("FORCE_PATH_STYLE", if config.path_style { "true" } else { "false" }),
    ];
    let remote = config.name.to_uppercase().replace('-', "_");
    options.map(|(option, value)| (format!("RCLONE_CONFIG_{remote}_{option}"), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str) -> Offer {
        let endpoint = crate::config::address::HttpUrl::parse("https://s3.example.org/").ok();
        Offer::new(StorageConfig { name: name.to_owned(), endpoint, ..StorageConfig::default() })
    }

    fn value<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
        variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_lab_is_told_where_keys_are_and_gets_none() {
        let (one, two) = (offer("main"), offer("deep-archive"));
        let made = variables(&[&one, &two], "http://127.0.0.1:8081/hub/api", &Secret::new("t0ken"));
        for (name, expected) in [
            ("SPECOLA_STORAGE_NAMES", Some("main deep-archive")),
            ("AWS_ENDPOINT_URL_S3", Some("https://s3.example.org")),
            ("AWS_DEFAULT_REGION", Some("us-east-1")),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Some("http://127.0.0.1:8081/hub/api/user/storage/main/credentials")),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", Some("token t0ken")),
            ("RCLONE_CONFIG_MAIN_TYPE", Some("s3")),
            ("RCLONE_CONFIG_DEEP_ARCHIVE_ENDPOINT", Some("https://s3.example.org")),
            ("AWS_ACCESS_KEY_ID", None),
        ] {
            assert_eq!(value(&made, name), expected, "{name}");
        }
        assert!(variables(&[], "http://127.0.0.1:8081/hub/api", &Secret::new("t")).is_empty());
    }

    #[test]
    fn what_is_written_to_ceph_has_no_checksums_that_it_does_not_know() {
        let (minio, mut ceph) = (offer("main"), offer("deep"));
        ceph.config.dialect = Dialect::Ceph;
        let made = |offers: &[&Offer]| variables(offers, "http://127.0.0.1:8081/hub/api", &Secret::new("t"));
        assert_eq!(value(&made(&[&minio, &ceph]), CHECKSUMS), Some("when_required"));
        assert_eq!(value(&made(&[&minio]), CHECKSUMS), None);
    }

    #[test]
    fn an_address_that_programs_refuse_is_not_told() {
        for (url, taken) in [
            ("https://hub.example.org/hub/api", true),
            ("http://[::1]:8081/hub/api", true),
            ("http://localhost:8081/hub/api", true),
            ("http://169.254.170.2/hub/api", true),
            ("http://hub:8081/hub/api", false),
            ("http://10.0.0.1:8081/hub/api", false),
            ("http://127.example.org:8081/hub/api", false),
        ] {
            let made = variables(&[&offer("main")], url, &Secret::new("t"));
            assert_eq!(value(&made, "AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some(), taken, "{url}");
            assert_eq!(value(&made, "AWS_CONTAINER_AUTHORIZATION_TOKEN").is_some(), taken, "{url}");
        }
    }
}
