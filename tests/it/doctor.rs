//! `specola doctor` against real things: a provider that knows the hub and one that does not, a database that is away, a
//! running hub.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::specola::Options;
use tests::wait::until;
use tests::{Specola, docker, need, place, provider};

use crate::oidc::{Entry, House};

/// What the doctor says, and whether it is content.
pub fn doctor(config: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(Value, bool)> {
    let mut command = Command::new(place::binary()?);
    command.arg("doctor").arg("--json").arg("--config").arg(config).args(arguments);
    command.envs(environment.iter().copied());
    let done = command.output()?;
    let said = serde_json::from_slice(&done.stdout).with_context(|| {
        format!("{} {}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
    })?;
    Ok((said, done.status.success()))
}

/// The level of the finding that is about something, with what was said and what to do.
pub fn about(said: &Value, name: &str) -> (String, String) {
    let all = said["findings"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|one| one["about"] == name).cloned().unwrap_or_default();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("level"), format!("{} {}", text("said"), text("remedy")))
}

#[tokio::test]
async fn a_provider_that_knows_the_hub_is_well_and_what_is_wrong_is_named_with_the_remedy() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::changed(&installed, &Entry::by_group(), |options| options).await?;
    let config = house.specola.ground.folder.join("specola.toml");
    let public = house.specola.origin();
    let ask = |more: &[(&str, &str)]| {
        let environment: Vec<(&str, &str)> =
            [("SPECOLA_HUB__PUBLIC_URL", public.as_str())].into_iter().chain(more.iter().copied()).collect();
        doctor(&config, &["--only", "provider", "--only", "clock"], &environment)
    };
    let (said, well) = ask(&[])?;
    for name in ["provider iam", "client at iam", "login at iam", "clock against iam"] {
        assert_eq!(about(&said, name).0, "ok", "{name}: {said:#}");
    }
    assert!(well && said["ok"] == true);

    // The client has another address to come back to.
    let (said, well) = ask(&[("SPECOLA_HUB__PUBLIC_URL", "https://other.example.org")])?;
    let (level, text) = about(&said, "login at iam");
    assert!(!well && level == "bad" && text.contains("https://other.example.org/hub/oauth_callback"), "{said:#}");

    // Fewer scopes than the hub asks for.
    house.register("openid").await?;
    let (said, _) = ask(&[])?;
    let (level, text) = about(&said, "login at iam");
    assert!(level == "bad" && text.contains("scopes"), "{said:#}");

    // Another secret than the hub's.
    house.provider.set_client("hub", json!({"client_secret": "something-else-that-is-long-enough"})).await?;
    let (said, _) = ask(&[])?;
    let (level, text) = about(&said, "client at iam");
    assert!(level == "bad" && text.contains("invalid_client"), "{said:#}");
    assert!(!said.to_string().contains("the-secret-of-the-client"), "secrets are not told");
    Ok(())
}

#[tokio::test]
async fn what_is_away_fails_and_what_is_there_is_told() -> Result<()> {
    let policies = r#"[{ name = "team", groups = ["stuff"], greeting = "Hello" }]"#;
    let options = Options::default().set("hub", "load_groups", "{ staff = {} }").set("options", "policies", policies);
    let mut specola = Specola::start(options).await?;
    let config = specola.ground.folder.join("specola.toml");
    // The proxy serves before the hub has heard of it.
    until("a hub that knows its proxy", Duration::from_secs(30), async || {
        Ok(doctor(&config, &["--only", "hub"], &[])?.1.then_some(()))
    })
    .await?;
    let (said, well) =
        doctor(&config, &["--only", "hub", "--only", "proxy", "--only", "database", "--only", "disk"], &[])?;
    for name in ["hub", "proxy", "database"] {
        assert_eq!(about(&said, name).0, "ok", "{name}: {said:#}");
    }
    // How full the disk of this machine is, is not the test's to say; what is told of how much room is in `disk.rs`.
    let (level, text) = about(&said, "data folder");
    assert!(level != "bad" && text.contains(" free ("), "{said:#}");
    assert!(well);
    // A policy about a group that there never was, told here and when the hub starts.
    let (level, text) = about(&said, "options.policies");
    assert!(level == "note" && text.starts_with("the policy \"team\" names \"stuff\""), "{said:#}");
    assert!(specola.log().contains("names \"stuff\", where nobody has ever been"), "{}", specola.log());
    let away =
        [("SPECOLA_HUB__DB_URL", "postgresql://hub:hunter2@127.0.0.1:9/hub"), ("DOCKER_HOST", "unix:///no/such.sock")];
    let (said, well) = doctor(&config, &["--only", "database", "--only", "engine"], &away)?;
    assert!(!well && !said.to_string().contains("hunter2"), "{said:#}");
    for name in ["database", "engine"] {
        assert_eq!(about(&said, name).0, "bad", "{name}: {said:#}");
    }
    specola.stop_hub()?;
    let (said, well) = doctor(&config, &["--only", "hub"], &[])?;
    assert!(!well && about(&said, "hub").1.contains("specola serve"), "{said:#}");
    // Without being asked for, a hub that does not run is no trouble.
    let (said, _) = doctor(&config, &[], &[])?;
    assert_eq!(about(&said, "hub").0, "skipped", "{said:#}");
    Ok(())
}

/// GPUs are the engine's to hand on: what this one cannot, and where they are when the hub is in a container of its own.
#[test]
fn gpus_are_asked_of_the_engine_that_is_to_hand_them_on() -> Result<()> {
    need!(docker::image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("specola.toml");
    let spawner = "[spawner]\ndriver = \"docker\"\n";
    let devices = "[spawner.devices]\n\"nvidia.com/gpu\" = [\"GPU-8a56\"]\n[spawner.docker]\nimage = \"lab\"\n";
    std::fs::write(&config, format!("{spawner}{devices}"))?;
    let machine = docker::docker(&["info", "--format", "{{.Name}}"])?;
    // It is looked at because GPUs are named, without being asked for.
    let (said, well) = doctor(&config, &[], &[])?;
    let (level, text) = about(&said, "GPUs in containers");
    let told = format!("the engine on {machine} has no runtime for them: a lab with the GPUs of spawner.devices");
    assert!(!well && level == "bad" && text.contains(&told), "{said:#}");
    assert!(text.contains("nvidia-ctk runtime configure --runtime=docker"), "what to do: {text}");

    // A hub in a container has a name of its own, and no GPUs.
    let program = place::binary()?.display().to_string();
    let elsewhere = "hostname in-a-container && exec \"$0\" doctor --json --only gpu --config \"$1\"";
    let done = Command::new("unshare")
        .args(["--uts", "sh", "-c", elsewhere, &program, &config.display().to_string()])
        .output()?;
    let said: Value = serde_json::from_slice(&done.stdout)?;
    let (level, text) = about(&said, "GPUs");
    assert!(level == "skipped" && text.contains(&format!("the engine's machine, {machine}")), "{said:#}");
    assert_eq!(about(&said, "GPUs in containers").0, "bad", "{said:#}");

    // Devices that are given by their path need no runtime; one that is named has to be there.
    std::fs::write(&config, format!("{spawner}{}", devices.replace("GPU-8a56", "/dev/null")))?;
    let (said, _) = doctor(&config, &["--only", "gpu"], &[])?;
    assert_eq!(about(&said, "GPUs in containers").0, "ok", "{said:#}");
    let (said, _) = doctor(&config, &["--only", "gpu"], &[("SPECOLA_SPAWNER__DOCKER__RUNTIME", "nvidia")])?;
    let (level, text) = about(&said, "GPUs in containers");
    assert!(level == "bad" && text.contains("has no runtime nvidia"), "{said:#}");

    // An engine that does not answer has said nothing.
    let (said, _) = doctor(&config, &["--only", "gpu"], &[("DOCKER_HOST", "unix:///no/such.sock")])?;
    let (level, text) = about(&said, "GPUs in containers");
    assert!(level == "bad" && text.contains("--only engine"), "{said:#}");
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_read_is_one_finding() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("specola.toml");
    std::fs::write(&config, "[hub]\nbind_ur = 1\n")?;
    let (said, well) = doctor(&config, &[], &[])?;
    let (level, text) = about(&said, "configuration");
    assert!(!well && level == "bad" && text.contains("bind_url"), "{said:#}");
    Ok(())
}
