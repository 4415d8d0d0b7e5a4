//! `deploy/systemd`: what `install.sh` puts where, and what systemd itself says of the units.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use tests::{need, place};

use super::{file, run};

/// Installs below a folder.
fn install(root: &Path, more: &[&str]) -> Result<String> {
    let mut command = Command::new(file("deploy/systemd/install.sh"));
    run(command.arg("--root").arg(root).arg("--binary").arg(place::binary()?).args(more))
}

/// What systemd dislikes of the units below a folder, but for programs that are not installed here.
fn complaints(root: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "specola.service", "specola-proxy.service"]);
    let units = root.join("etc/systemd/system");
    let said = command.env("SYSTEMD_UNIT_PATH", format!("{}:", units.display())).output()?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    Ok(text
        .lines()
        .filter(|line| line.contains("specola") && !line.contains("is not executable"))
        .map(str::to_owned)
        .collect())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() -> Result<()> {
    need!(place::command("systemd-analyze"), "systemd", "SPECOLA_REQUIRE_SYSTEMD");
    for way in [&[][..], &["--local-labs"]] {
        let root = tempfile::tempdir()?;
        install(root.path(), way)?;
        assert_eq!(complaints(root.path())?, [""; 0], "{way:?}");
        // And it would say so: an option that there is not.
        let unit = root.path().join("etc/systemd/system/specola.service");
        let text = fs::read_to_string(&unit)?.replace("KillMode=process", "KillMode=gently");
        fs::write(&unit, text)?;
        ensure!(complaints(root.path())?.iter().any(|line| line.contains("gently")), "it would not be noticed");
    }
    Ok(())
}

#[test]
fn an_installation_keeps_what_the_operator_wrote() -> Result<()> {
    let root = tempfile::tempdir()?;
    install(root.path(), &[])?;
    let (toml, environment) =
        (root.path().join("etc/specola/specola.toml"), root.path().join("etc/specola/environment"));
    let key = fs::read_to_string(&environment)?;
    assert_eq!(fs::metadata(&environment)?.permissions().mode() & 0o077, 0, "others cannot read the key");
    ensure!(key.starts_with("JUPYTERHUB_CRYPT_KEY=") && key.trim().len() == 21 + 64, "a key of 32 bytes");
    fs::write(&toml, "# mine\n")?;
    install(root.path(), &["--local-labs"])?;
    assert_eq!(fs::read_to_string(&toml)?, "# mine\n");
    assert_eq!(fs::read_to_string(&environment)?, key);
    let drops = root.path().join("etc/systemd/system/specola.service.d");
    ensure!(drops.join("local-labs.conf").exists() && !drops.join("docker.conf").exists(), "one of the two");
    run(Command::new(file("deploy/systemd/install.sh")).arg("--root").arg(root.path()).arg("--uninstall"))?;
    ensure!(!root.path().join("usr/local/bin/specola").exists() && !drops.exists(), "they are gone");
    assert_eq!(fs::read_to_string(&toml)?, "# mine\n");
    Ok(())
}

#[test]
fn the_configurations_that_come_along_are_right() -> Result<()> {
    for (config, variables) in [
        ("deploy/systemd/specola.toml", vec![]),
        (
            "deploy/compose/specola.toml",
            vec![
                ("SPECOLA_SPAWNER__DOCKER__IMAGE", "specola/lab:latest"),
                ("SPECOLA_SPAWNER__DOCKER__NETWORK_NAME", "specola-labs"),
                ("SPECOLA_PROXY__TLS", "self-signed"),
                ("SPECOLA_HUB__PUBLIC_URL", "https://hub.example.org"),
            ],
        ),
    ] {
        let mut command = Command::new(place::binary()?);
        command.args(["check-config", "--config"]).arg(file(config)).envs(variables);
        let said = run(&mut command)?;
        ensure!(said.contains("The configuration is right") && said.contains("docker"), "{config}: {said}");
    }
    Ok(())
}
