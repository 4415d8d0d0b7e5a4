//! Proxies on other machines: of the hub they have an address and a token.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::elsewhere::Elsewhere;
use tests::specola::Options;
use tests::{Specola, place, until};

const SOON: Duration = Duration::from_secs(30);
const TOKEN: &str = "the-token-that-hub-and-proxies-share";

#[tokio::test]
async fn proxies_elsewhere_have_every_route_when_a_server_is_ready_and_keep_it_while_the_hub_is_away() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    fs::write(&token, TOKEN)?;
    let control = format!("127.0.0.1:{}", place::free_port()?);
    let options = Options::default()
        .small_lab("quick.py")?
        .set("proxy", "control_address", &format!("{control:?}"))
        .set("proxy", "token_file", &format!("{:?}", token.display().to_string()));
    let mut specola = Specola::start(options).await?;
    let (hub, control) = (format!("http://127.0.0.1:{}", specola.ground.hub_port), format!("http://{control}"));
    let start = |name: &str, token: &str| Elsewhere::start(name, folder.path(), token, &hub, &control);
    let others = [start("one", TOKEN)?, start("other", &format!("{TOKEN}\n"))?];
    for other in &others {
        other.is_ready().await?;
    }

    // Whichever way somebody comes: a server that is ready is reached, without a wait.
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    for other in &others {
        let mut elsewhere = alice.at(&other.origin)?;
        let lab = elsewhere.get("/user/alice/").await?.expect(&[200])?.json()?;
        assert_eq!(lab["user"], "alice");
        elsewhere.get("/hub/health").await?.expect(&[200])?;
    }

    // Without the hub they go on, and stay ready.
    specola.kill_hub();
    for other in &others {
        alice.at(&other.origin)?.get("/user/alice/").await?.expect(&[200])?;
        assert_eq!((other.says("/ready").await?, other.says("/health").await?), (200, 200));
    }
    specola.run().await?;
    alice.server_ready("alice").await?;
    alice.stop_server("alice").await?;
    for other in &others {
        let gone = until("the route gone", SOON, async || {
            let answer = alice.at(&other.origin)?.get("/user/alice/").await?;
            Ok((answer.status == 424 || answer.location().is_some()).then_some(()))
        });
        gone.await?;
    }

    // Who has another token is told nothing.
    let stranger = start("stranger", "a token of their own")?;
    let log = folder.path().join("stranger/log");
    let refused = until("a refusal", SOON, async || Ok(fs::read_to_string(&log)?.contains("403").then_some(())));
    refused.await.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    assert_eq!((stranger.says("/ready").await?, stranger.says("/health").await?), (503, 200));
    Ok(())
}

#[test]
fn a_token_that_is_not_there_is_told_at_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("specola.toml");
    for (content, said) in [(None, "cannot read proxy.token_file"), (Some(" \n"), "is empty")] {
        if let Some(content) = content {
            fs::write(folder.path().join("token"), content)?;
        }
        fs::write(
            &config,
            "[hub]\nbind_url = \"http://127.0.0.1:1\"\n[proxy]\ntoken_file = \"token\"\ncontrol_url = \"http://127.0.0.1:1\"\n",
        )?;
        let mut command = Command::new(place::binary()?);
        let done = command.args(["serve", "--proxy", "--config"]).arg(&config).current_dir(folder.path()).output()?;
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(!done.status.success() && told.contains(said), "{told}");
    }
    Ok(())
}
