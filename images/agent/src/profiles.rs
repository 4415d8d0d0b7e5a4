//! A file in the form of `~/.aws/config` with a profile for each storage, for those beside the first one and for programs
//! that only know `credential_process`; and the certificates that the object stores are verified with.

use std::fmt::Write;

use anyhow::Result;

use crate::folder::Folder;
use crate::hub::Storage;

const CONFIG: &str = "aws_config";
const CERTIFICATES: &str = "certificates.pem";
/// Where systems keep what they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Writes the files, and returns the variables by which programs find them.
///
/// Certificates are told to rclone by a variable of its own. Where it finds those of AWS's SDKs as well, in
/// `AWS_CA_BUNDLE` or in its profile, it does nothing at all: it gets profiles that do not name them.
pub fn write(folder: &Folder, storage: &[Storage], own_config: bool) -> Result<Vec<(String, String)>> {
    let certificates = certificates(folder, storage)?;
    let mut variables = Vec::new();
    variables.extend(certificates.iter().map(|file| ("RCLONE_CA_CERT".to_owned(), file.clone())));
    if own_config {
        // A file of the person's own is theirs to fill.
        variables.extend(certificates.map(|file| ("AWS_CA_BUNDLE".to_owned(), file)));
        return Ok(variables);
    }
    let agent = command(&std::env::current_exe()?);
    let bundle = certificates.as_ref().map(|file| format!("ca_bundle = {file}\n")).unwrap_or_default();
    let mut config = "# Made by the lab agent at every start.\n".to_owned();
    if !bundle.is_empty() {
        let _ = write!(config, "\n[default]\n{bundle}");
    }
    for (index, one) in storage.iter().enumerate() {
        let Storage { name, endpoint, region, .. } = one;
        let keys = format!("credential_process = {agent} credentials --storage {name}\n");
        let style = if one.path_style { "path" } else { "virtual" };
        let _ = write!(
            config,
            "\n[profile {name}]\nendpoint_url = {endpoint}\nregion = {region}\n{keys}{bundle}s3 =\n    addressing_style = {style}\n",
        );
        if index > 0 || !bundle.is_empty() {
            // No storage has such a name.
            let _ = write!(config, "\n[profile {name}_rclone]\n{keys}");
            let remote = name.to_uppercase().replace('-', "_");
            variables.push((format!("RCLONE_CONFIG_{remote}_PROFILE"), format!("{name}_rclone")));
        }
    }
    folder.write(CONFIG, &config)?;
    variables.push(("AWS_CONFIG_FILE".to_owned(), folder.file(CONFIG).display().to_string()));
    Ok(variables)
}

/// The agent as a command. Some programs end a command at a closing quote, so that it has none where it needs none.
fn command(path: &std::path::Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path } else { format!("\"{path}\"") }
}

/// A file with what the system trusts and what storages need besides: programs take one file in place of the system's.
fn certificates(folder: &Folder, storage: &[Storage]) -> Result<Option<String>> {
    let own: Vec<&str> = storage.iter().filter_map(|one| one.certificates.as_deref()).collect();
    if own.is_empty() {
        return Ok(None);
    }
    let system = SYSTEM.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    folder.write(CERTIFICATES, &format!("{system}\n{}", own.join("\n")))?;
    Ok(Some(folder.file(CERTIFICATES).display().to_string()))
}

/// Whether the person has a file of their own, which a variable would hide.
pub fn has_own_config() -> bool {
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    std::env::var_os("AWS_CONFIG_FILE").is_some() || home.is_some_and(|home| home.join(".aws/config").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(name: &str, certificates: Option<&str>) -> Storage {
        Storage {
            name: name.to_owned(),
            endpoint: "https://s3.example.org".to_owned(),
            region: "us-east-1".to_owned(),
            path_style: true,
            certificates: certificates.map(str::to_owned),
        }
    }

    #[test]
    fn each_storage_has_a_profile_and_rclone_ones_without_certificates() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path().join("f")).unwrap();
        let names = |variables: &[(String, String)]| -> Vec<String> {
            variables.iter().map(|(name, _)| name.trim_start_matches("RCLONE_").to_owned()).collect()
        };
        let all = [storage("main", Some("ONE")), storage("deep-archive", Some("OTHER"))];
        let variables = write(&folder, &all, false).unwrap();
        assert_eq!(
            names(&variables),
            ["CA_CERT", "CONFIG_MAIN_PROFILE", "CONFIG_DEEP_ARCHIVE_PROFILE", "AWS_CONFIG_FILE"]
        );
        assert!(std::fs::read_to_string(&variables[0].1).unwrap().ends_with("ONE\nOTHER"));
        let config = std::fs::read_to_string(folder.file(CONFIG)).unwrap();
        let sections: Vec<(&str, bool)> = config
            .split("\n[")
            .skip(1)
            .map(|text| (text.split(']').next().unwrap(), text.contains("ca_bundle = /")))
            .collect();
        let expected = [
            ("default", true),
            ("profile main", true),
            ("profile main_rclone", false),
            ("profile deep-archive", true),
            ("profile deep-archive_rclone", false),
        ];
        assert_eq!(sections, expected, "{config}");
        assert!(config.contains("credentials --storage main"), "{config}");
        assert_eq!(names(&write(&folder, &all, true).unwrap()), ["CA_CERT", "AWS_CA_BUNDLE"]);

        let plain = [storage("main", None), storage("deep-archive", None)];
        assert_eq!(names(&write(&folder, &plain, false).unwrap()), ["CONFIG_DEEP_ARCHIVE_PROFILE", "AWS_CONFIG_FILE"]);
        assert!(write(&folder, &plain[1..], true).unwrap().is_empty());
    }
}
