//! A file in the form of `~/.aws/config` with a profile for each storage, for those beside the first one and for programs
//! that only know `credential_process`; and the certificates that the object stores are verified with.

use std::fmt::Write;

use anyhow::Result;

use crate::folder::Folder;
use crate::hub::Storage;

const CONFIG: &str = "aws_config";
/// Where systems keep what they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Writes the files, and returns the variables by which programs find them.
pub fn write(folder: &Folder, storage: &[Storage], own_config: bool) -> Result<Vec<(String, String)>> {
    let agent = command(&std::env::current_exe()?);
    let (mut variables, mut config) = (Vec::new(), "# Made by the lab agent at every start.\n".to_owned());
    for (index, one) in storage.iter().enumerate() {
        let certificates = match &one.certificates {
            Some(own) => Some(certificates(folder, &one.name, own)?),
            None => None,
        };
        let style = if one.path_style { "path" } else { "virtual" };
        let _ = write!(
            config,
            "\n[profile {}]\nendpoint_url = {}\nregion = {}\ncredential_process = {agent} credentials --storage {}\n",
            one.name, one.endpoint, one.region, one.name,
        );
        if let Some(file) = &certificates {
            let _ = writeln!(config, "ca_bundle = {file}");
        }
        let _ = write!(config, "s3 =\n    addressing_style = {style}\n");
        if let Some(file) = certificates.filter(|_| index == 0) {
            variables.push(("AWS_CA_BUNDLE".to_owned(), file.clone()));
            variables.push(("RCLONE_CA_CERT".to_owned(), file));
        }
    }
    if own_config {
        // A file of the person's own is theirs to fill.
        return Ok(variables);
    }
    folder.write(CONFIG, &config)?;
    variables.push(("AWS_CONFIG_FILE".to_owned(), folder.file(CONFIG).display().to_string()));
    for one in storage.iter().skip(1) {
        let remote = one.name.to_uppercase().replace('-', "_");
        variables.push((format!("RCLONE_CONFIG_{remote}_PROFILE"), one.name.clone()));
    }
    Ok(variables)
}

/// The agent as a command. Some programs end a command at a closing quote, so that it has none where it needs none.
fn command(path: &std::path::Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) { path } else { format!("\"{path}\"") }
}

/// A file with what the system trusts and what a storage needs besides: programs take one file in place of the system's.
fn certificates(folder: &Folder, storage: &str, own: &str) -> Result<String> {
    let system = SYSTEM.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let name = format!("certificates-{storage}.pem");
    folder.write(&name, &format!("{system}\n{own}"))?;
    Ok(folder.file(&name).display().to_string())
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
    fn each_storage_has_a_profile_and_the_first_its_certificates_for_all() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path().join("f")).unwrap();
        let all = [storage("main", Some("CERTIFICATE")), storage("deep-archive", None)];
        let variables = write(&folder, &all, false).unwrap();
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["AWS_CA_BUNDLE", "RCLONE_CA_CERT", "AWS_CONFIG_FILE", "RCLONE_CONFIG_DEEP_ARCHIVE_PROFILE"]);
        let config = std::fs::read_to_string(folder.file(CONFIG)).unwrap();
        assert!(config.contains("[profile deep-archive]") && config.contains("credentials --storage main"), "{config}");
        assert!(std::fs::read_to_string(&variables[0].1).unwrap().ends_with("CERTIFICATE"));
        let own = write(&folder, &all[1..], true).unwrap();
        assert!(own.is_empty(), "{own:?}");
    }
}
