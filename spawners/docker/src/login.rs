//! Who may pull from which registry. Files are read at each pull, so that a changed password needs no restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde_json::Value;

/// The registry of images that name none.
const DOCKER_HUB: &str = "docker.io";
/// Its old name, in files that `docker login` wrote.
const INDEX: &str = "https://index.docker.io/v1/";
/// A file with logins is not larger.
const LARGEST: u64 = 1 << 20;

/// Logins by registry.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    /// A file that `docker login` wrote.
    pub file: Option<PathBuf>,
    /// Logins by the registry's host, with port where it has one.
    pub registries: BTreeMap<String, Login>,
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The file with the password.
    pub password_file: PathBuf,
}

impl Logins {
    /// What is told the registry of an image; nothing where nobody has to log in. The error is for the log.
    pub(crate) fn of(&self, reference: &str) -> Result<Option<DockerCredentials>, String> {
        let registry = registry(reference);
        if let Some(login) = self.registries.get(registry) {
            let password = read(&login.password_file)?;
            let credentials = DockerCredentials {
                username: Some(login.username.clone()),
                password: Some(password.trim_end_matches(['\r', '\n']).to_owned()),
                serveraddress: Some(registry.to_owned()),
                ..DockerCredentials::default()
            };
            return Ok(Some(credentials));
        }
        let Some(file) = &self.file else { return Ok(None) };
        let written: Value =
            serde_json::from_str(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(in_file(&written, registry))
    }
}

/// The registry of an image.
pub(crate) fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DOCKER_HUB,
    }
}

fn read(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let about = std::fs::metadata(path).map_err(told)?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(format!("{}: is no file with a login", path.display()));
    }
    std::fs::read_to_string(path).map_err(told)
}

fn in_file(written: &Value, registry: &str) -> Option<DockerCredentials> {
    let auths = written.get("auths")?.as_object()?;
    let host = |name: &str| {
        let bare = name.trim_start_matches("https://").trim_start_matches("http://");
        bare.split('/').next().unwrap_or_default().to_owned()
    };
    let is_it = |name: &str| {
        if registry == DOCKER_HUB { name == INDEX || host(name) == DOCKER_HUB } else { host(name) == registry }
    };
    let (name, auth) = auths.iter().find(|(name, _)| is_it(name))?;
    let text = |key: &str| auth.get(key).and_then(Value::as_str).map(str::to_owned);
    let decoded =
        text("auth").and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
    Some(DockerCredentials {
        username: text("username").or_else(|| pair.map(|(name, _)| name.to_owned())),
        password: text("password").or_else(|| pair.map(|(_, password)| password.to_owned())),
        identitytoken: text("identitytoken"),
        serveraddress: Some(name.clone()),
        ..DockerCredentials::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_images_registry_is_what_docker_takes_it_for() {
        let table = [
            ("debian", DOCKER_HUB),
            ("jupyter/base-notebook:latest", DOCKER_HUB),
            ("quay.io/jupyter/base", "quay.io"),
            ("localhost/a", "localhost"),
            ("127.0.0.1:5000/a:b", "127.0.0.1:5000"),
        ];
        for (reference, host) in table {
            assert_eq!(registry(reference), host);
        }
    }

    #[test]
    fn a_file_of_docker_login_is_understood() {
        let written = json!({"auths": {
            "r.example:5000": {"auth": STANDARD.encode("anna:se:cret")},
            INDEX: {"username": "u", "password": "p"},
            "https://other.example/v2/": {"identitytoken": "t"},
        }});
        let of = |registry: &str| in_file(&written, registry);
        let anna = of("r.example:5000").unwrap();
        assert_eq!((anna.username.as_deref(), anna.password.as_deref()), (Some("anna"), Some("se:cret")));
        assert_eq!(of(DOCKER_HUB).unwrap().username.as_deref(), Some("u"));
        assert_eq!(of("other.example").unwrap().identitytoken.as_deref(), Some("t"));
        assert!(of("nowhere.example").is_none());
    }

    #[test]
    fn a_password_is_read_when_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let password_file = folder.path().join("password");
        let mut logins = Logins::default();
        let login = Login { username: "anna".into(), password_file: password_file.clone() };
        logins.registries.insert("r.example".into(), login);
        assert!(logins.of("r.example/a").is_err());
        std::fs::write(&password_file, "secret\n").unwrap();
        assert_eq!(logins.of("r.example/a").unwrap().unwrap().password.as_deref(), Some("secret"));
        assert_eq!(logins.of("debian").unwrap(), None);
    }
}
