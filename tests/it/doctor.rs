//! `specola doctor` against real things: a provider that knows the hub and one that does not, a database that is away, a
//! running hub.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::specola::Options;
use tests::{Specola, need, place, provider};

use crate::oidc::{Entry, House};

/// What the doctor says, and whether it is content.
fn doctor(config: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(Value, bool)> {
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
fn about(said: &Value, name: &str) -> (String, String) {
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
    let mut specola = Specola::start(Options::default()).await?;
    let config = specola.ground.folder.join("specola.toml");
    let (said, well) =
        doctor(&config, &["--only", "hub", "--only", "proxy", "--only", "database", "--only", "disk"], &[])?;
    for name in ["hub", "proxy", "database", "data folder"] {
        assert_eq!(about(&said, name).0, "ok", "{name}: {said:#}");
    }
    assert!(well);
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
