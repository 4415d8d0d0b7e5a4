//! Two hubs on one database, as behind one address: a login may change from one to the other, and a person's only refresh
//! token is never used by both.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::postgres::{Postgres, programs};
use tests::specola::Options;
use tests::{Session, Specola, need, provider};

use super::fresh::{LIFE, ask, environment, is_taken, with_agent};
use super::{Entry, House, LOGIN, is_out, open, whoami};

const READERS: usize = 20;

/// The first hub with its provider, and the second.
struct Replicas {
    house: House,
    other: Specola,
    _postgres: Postgres,
}

impl Replicas {
    async fn new(installed: &provider::Installed, postgres: Postgres) -> Result<Replicas> {
        let provider = tests::Provider::start(installed).await?;
        let ground = tempfile::tempdir()?;
        let secret = ground.path().join("cookie_secret");
        std::fs::write(&secret, "5f".repeat(32))?;
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        // Where people find them both; the provider knows no other address.
        let public = "http://127.0.0.1:1";
        let both = |options: Options| {
            with_agent(options)
                .set("hub", "db_url", &format!("{:?}", postgres.url()))
                .set("hub", "cookie_secret_file", &format!("{:?}", secret.display().to_string()))
                .set("hub", "public_url", &format!("{public:?}"))
        };
        let entry = Entry::by_group().with("optional_scope = [\"offline_access\"]");
        let other = Specola::start(both(entry.options(provider.issuer()))).await?;
        let house = House::at(provider, &entry, both).await?;
        let metadata = json!({
            "client_secret": super::SECRET,
            "redirect_uris": [format!("{public}/hub/oauth_callback")],
            "scope": super::SCOPE,
        });
        house.provider.set_client("hub", metadata).await?;
        Ok(Replicas { house, other, _postgres: postgres })
    }

    /// The addresses of the hubs themselves: the routes of a proxy lead to one of them.
    fn origins(&self) -> [String; 2] {
        [&self.house.specola, &self.other].map(|specola| format!("http://127.0.0.1:{}", specola.ground.hub_port))
    }

    /// Signs somebody in: begun at one hub, ended at the other. Gives the browser, at both.
    async fn signed_in(&self, name: &str) -> Result<[Session; 2]> {
        let [one, two] = self.origins();
        let mut session = Session::new(&one)?;
        let back = self.house.answer(&mut session, LOGIN, name).await?;
        let mut session = session.at(&two)?;
        open(&mut session, &back).await?.expect(&[303])?;
        Ok([session.at(&one)?, session])
    }
}

#[tokio::test]
async fn a_login_begun_at_one_hub_ends_at_the_other_and_counts_at_both() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::new(&installed, Postgres::start(&programs)?).await?;
    let [mut one, mut two] = replicas.signed_in("anna").await?;
    for session in [&mut one, &mut two] {
        assert_eq!(whoami(session).await?["name"], "anna");
    }
    // Out at one is out at both.
    two.get("/hub/logout").await?;
    assert!(is_out(&mut one).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_never_use_a_refresh_token_at_the_same_time_nor_twice() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::new(&installed, Postgres::start(&programs)?).await?;
    let provider = &replicas.house.provider;
    // The old refresh token is dead at once, its second use ends the login, and every refresh ends the access token before:
    // what one hub hands out, the other must not end in the same moment.
    let flags = json!({"access_ttl": LIFE, "reuse_refresh_token": false, "clear_access_tokens_on_refresh": true});
    provider.switch_all(flags).await?;
    let [mut anna, _] = replicas.signed_in("anna").await?;
    anna.start_server("anna").await?;
    let environment = environment(&replicas.house)?;
    let lab = anna.with_token(environment.get("JUPYTERHUB_API_TOKEN").context("a token")?);
    provider.forget_counters().await?;
    let end = Instant::now() + Duration::from_secs(3 * LIFE);
    let origins = replicas.origins();
    let mut readers = Vec::new();
    for (number, origin) in origins.iter().cycle().take(READERS).enumerate() {
        let mut lab = lab.at(origin)?;
        // At one hub the one kind of token, at the other the other: each ends what the other has handed out.
        let query = if number % 2 == 0 { "" } else { "?audience=https%3A%2F%2Fstorage.example" };
        readers.push(async move {
            let (mut read, mut beat) = (0_u32, tokio::time::interval(Duration::from_millis(100)));
            while Instant::now() < end {
                beat.tick().await;
                let answer = ask(&mut lab, query).await?.expect(&[200])?.json()?;
                let (token, given) = (answer["access_token"].as_str().context("an access token")?, Instant::now());
                let is_taken = is_taken(provider, token).await?;
                // Who is slower than the hubs wait may be refused.
                let is_late = given.elapsed() > Duration::from_millis(600);
                ensure!(is_taken || is_late, "reader {number} was refused after {read} good tokens");
                read += u32::from(is_taken);
            }
            Ok::<u32, anyhow::Error>(read)
        });
    }
    let read: u32 = futures_util::future::try_join_all(readers).await?.into_iter().sum();
    assert!(read >= 100, "only {read}");
    let counted = provider.counters().await?.user("anna");
    assert_eq!((counted.most_refreshes_at_once, counted.refused_refreshes), (1, 0), "{counted:?}");
    assert!((4..=20).contains(&counted.refreshes), "{counted:?}");
    // Both hubs did some of them: otherwise nothing was shown. Those for storage are all of the other one.
    assert!(replicas.house.specola.log().contains("fresh tokens"), "only one hub refreshed");
    let asked = provider.requests("token").await?;
    assert!(asked.iter().any(|request| request.form.contains_key("audience")), "{asked:?}");
    Ok(())
}
