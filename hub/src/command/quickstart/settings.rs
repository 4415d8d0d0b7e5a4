//! The configuration file that quickstart writes once and then leaves to its owner.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::software::Software;
use crate::config::HubConfig;

/// Writes the file, whole or not at all.
pub fn write(file: &Path, folder: &Path, software: &Software, port: u16) -> Result<()> {
    let text = text(folder, software, [port, free_port(port)], nix::unistd::Uid::effective().is_root());
    let beside = file.with_extension("toml.new");
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        std::fs::rename(&beside, file)
    })();
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// The hub's own port: the usual one, or the next that nobody listens on.
fn free_port(taken: u16) -> u16 {
    let usual = HubConfig::default().hub_port;
    let is_free = |port: &u16| *port != taken && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (usual..usual.saturating_add(100)).find(is_free).unwrap_or(usual)
}

fn text(folder: &Path, software: &Software, [port, hub_port]: [u16; 2], root: bool) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = format!(
        "# Made by `specola quickstart` and never changed by it again. All options: docs/configuration.md\n\
         # The same hub without quickstart: specola serve --config THIS-FILE\n\n\
         [hub]\nbind_url = \"http://127.0.0.1:{port}\"\nhub_port = {hub_port}\ndata_dir = {}\n\n\
         [auth]\nauthenticator = \"password\"\n\n\
         [spawner]\ncmd = [{}]\n",
        quoted(&folder.display().to_string()),
        quoted(&software.command.display().to_string()),
    );
    if root {
        text += "# Made as root: JupyterLab wants to be told that this is meant.\nargs = [\"--allow-root\"]\n";
    }
    text += "\n[spawner.local]\n# One system user for all, a home folder for each.\nmode = \"folders\"\n";
    if root {
        text += "allow_root = true\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spawner::LocalMode;
    use crate::config::{Config, Environment};

    #[test]
    fn the_file_is_a_configuration_wherever_the_folder_is() {
        for (name, root) in [("plain", false), ("with \"quotes\" and \\", true), ("ünï", false)] {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join(name);
            let software = Software { command: inner.join("venv/bin/jupyterhub-singleuser") };
            let file = folder.path().join("specola.toml");
            std::fs::write(&file, text(&inner, &software, [8123, 8124], root)).unwrap();
            let config = Config::load(Some(&file), &Environment::new()).unwrap();
            assert_eq!(config.hub.data_dir, inner);
            assert_eq!(config.hub.bind_url.listen(), "127.0.0.1:8123");
            assert_eq!(config.hub.hub_listen(), "127.0.0.1:8124");
            assert_eq!(config.spawner.cmd, [software.command.display().to_string()]);
            assert_eq!(config.spawner.local.mode, Some(LocalMode::Folders));
            assert_eq!((config.spawner.local.allow_root, config.spawner.args.len()), (root, usize::from(root)));
        }
    }
}
