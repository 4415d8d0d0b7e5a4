//! Two hubs on one database, as behind one address: a login may change from one to the other, and a person's only refresh
//! token is never used by both.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;
use tests::postgres::{Postgres, programs};
use tests::provider::{Fault, Provider};
use tests::specola::Options;
use tests::wait::until;
use tests::{Body, Session, Specola, need, provider};

use super::fresh::{LIFE, ask, environment, is_taken, with_agent};
use super::{Entry, House, LOGIN, is_out, open, whoami};

const READERS: usize = 20;
/// How often these read at most.
const ROUNDS: u64 = 4;
const STORAGE: &str = "?audience=https%3A%2F%2Fstorage.example";
const TAPE: &str = "?audience=https%3A%2F%2Ftape.example";
const SOON: Duration = Duration::from_secs(30);

/// The first hub with its provider, and the second.
struct Replicas {
    house: House,
    other: Specola,
    postgres: Postgres,
}

impl Replicas {
    async fn new(installed: &provider::Installed, postgres: Postgres) -> Result<Replicas> {
        Replicas::at(installed, postgres, Entry::by_group()).await
    }

    /// At a provider where a refresh ends nothing but the refresh token before it: agents in labs ask for nothing then.
    async fn calm(installed: &provider::Installed, postgres: Postgres) -> Result<Replicas> {
        let entry = Entry::by_group().with("refresh_ends_tokens = false");
        let replicas = Replicas::at(installed, postgres, entry).await?;
        let flags = json!({"reuse_refresh_token": false, "clear_access_tokens_on_refresh": false});
        replicas.house.provider.switch_all(flags).await?;
        Ok(replicas)
    }

    async fn at(installed: &provider::Installed, postgres: Postgres, entry: Entry) -> Result<Replicas> {
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
        let entry = entry.with("optional_scope = [\"offline_access\"]");
        let other = Specola::start(both(entry.options(provider.issuer()))).await?;
        let house = House::at(provider, &entry, both).await?;
        let metadata = json!({
            "client_secret": super::SECRET,
            "redirect_uris": [format!("{public}/hub/oauth_callback")],
            "scope": super::SCOPE,
        });
        house.provider.set_client("hub", metadata).await?;
        Ok(Replicas { house, other, postgres })
    }

    /// Anna with a lab, as a client of each hub; in her browser as well.
    async fn labs_of_anna(&self) -> Result<([Session; 2], [Session; 2])> {
        let [mut one, two] = self.signed_in("anna").await?;
        one.start_server("anna").await?;
        let environment = environment(&self.house)?;
        let lab = one.with_token(environment.get("JUPYTERHUB_API_TOKEN").context("a token")?);
        let [first, second] = self.origins();
        Ok(([lab.at(&first)?, lab.at(&second)?], [one, two]))
    }

    /// What is kept of anna, encrypted.
    fn state(&self) -> Result<String> {
        self.postgres.sql("SELECT encode(encrypted_auth_state, 'hex') FROM users WHERE name = 'anna'")
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
    // Who refreshes is decided by chance: it goes on until both have.
    let both_refreshed = || {
        let refreshed = ["fresh tokens", "a fresh token for others"];
        [&replicas.house.specola, &replicas.other]
            .iter()
            .all(|hub| refreshed.iter().any(|what| hub.log().contains(what)))
    };
    let (mut read, mut rounds) = (0, 0);
    while rounds == 0 || (rounds < ROUNDS && !both_refreshed()) {
        read += good_tokens(&lab, &replicas.origins(), provider).await?;
        rounds += 1;
    }
    assert!(both_refreshed(), "only one hub refreshed");
    assert!(read >= 100, "only {read}");
    let counted = provider.counters().await?.user("anna");
    assert_eq!((counted.most_refreshes_at_once, counted.refused_refreshes), (1, 0), "{counted:?}");
    assert!((4 * rounds..=20 * rounds).contains(&counted.refreshes), "{counted:?}");
    // Both kinds of them: otherwise nothing was shown.
    let asked = provider.requests("token").await?;
    assert!(asked.iter().any(|request| request.form.contains_key("audience")), "{asked:?}");
    Ok(())
}

/// Has many read tokens at all hubs for three lives of one, and counts those that were good: all must be.
async fn good_tokens(lab: &Session, origins: &[String], provider: &Provider) -> Result<u32> {
    let end = Instant::now() + Duration::from_secs(3 * LIFE);
    let mut readers = Vec::new();
    for (number, origin) in origins.iter().cycle().take(READERS).enumerate() {
        let mut lab = lab.at(origin)?;
        // Both kinds of token at both hubs: each kind ends what was handed out of the other.
        let query = if number / 2 % 2 == 0 { "" } else { STORAGE };
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
    Ok(futures_util::future::try_join_all(readers).await?.into_iter().sum())
}

async fn token(lab: &mut Session, query: &str) -> Result<String> {
    let answer = ask(lab, query).await?.expect(&[200])?.json()?;
    Ok(answer["access_token"].as_str().context("an access token")?.to_owned())
}

#[tokio::test]
async fn what_one_hub_was_given_for_an_audience_the_other_gives_out_too() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::calm(&installed, Postgres::start(&programs)?).await?;
    let provider = &replicas.house.provider;
    let ([mut one, mut two], _browsers) = replicas.labs_of_anna().await?;
    provider.forget_counters().await?;
    for (refreshes, query) in [(1, STORAGE), (2, TAPE)] {
        let given = token(&mut one, query).await?;
        for lab in [&mut two, &mut one] {
            assert_eq!(token(lab, query).await?, given);
        }
        assert!(is_taken(provider, &given).await?);
        assert_eq!(provider.counters().await?.user("anna").refreshes, refreshes);
        let held = replicas.postgres.sql("SELECT encode(sealed, 'escape') FROM specola_upstream_others")?;
        assert!(held.starts_with("gAAAA") && !held.contains(&given), "encrypted");
    }
    // A login ends them.
    replicas.signed_in("anna").await?;
    assert_eq!(replicas.postgres.sql("SELECT count(*) FROM specola_upstream_others")?, "0");
    Ok(())
}

/// The database was away when one hub was given the next refresh token, and for longer than its lease.
#[tokio::test]
async fn a_hub_that_has_the_only_good_refresh_token_in_memory_is_waited_for() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::calm(&installed, Postgres::start(&programs)?).await?;
    let (provider, postgres) = (&replicas.house.provider, &replicas.postgres);
    let ([mut one, mut two], [_, mut browser]) = replicas.labs_of_anna().await?;
    let before = replicas.state()?;
    postgres.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'there is no room'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE OF encrypted_auth_state ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
    )?;
    token(&mut one, STORAGE).await?;
    replicas.house.specola.hold_hub(true)?;
    assert_eq!(replicas.state()?, before, "it was not kept");
    // It is back, the lease is over long since, and the other hub is the first to come.
    postgres.sql(
        "DROP TRIGGER refuse ON users;
         UPDATE specola_upstream SET held_until = timezone('UTC', now()) - interval '1 hour',
             due_at = timezone('UTC', now()) - interval '1 hour'",
    )?;
    let noticed = until("the other hub", SOON, async || {
        let noticed = postgres.sql("SELECT noticed FROM specola_upstream WHERE held_until > timezone('UTC', now())")?;
        Ok((noticed == "t").then_some(()))
    });
    let noticed = noticed.await;
    replicas.house.specola.hold_hub(false)?;
    noticed?;
    until("what was in memory is kept", SOON, async || Ok((replicas.state()? != before).then_some(()))).await?;
    assert!(is_taken(provider, &token(&mut two, TAPE).await?).await?);
    assert_eq!(provider.counters().await?.user("anna").refused_refreshes, 0);
    assert_eq!(whoami(&mut browser).await?["name"], "anna");
    Ok(())
}

/// As where a replica takes the place of the database that had not heard of its last commits.
#[tokio::test]
async fn fresh_tokens_that_the_database_has_lost_again_are_kept_again() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::calm(&installed, Postgres::start(&programs)?).await?;
    let provider = &replicas.house.provider;
    let ([mut one, mut two], [_, mut browser]) = replicas.labs_of_anna().await?;
    let before = replicas.state()?;
    for query in [STORAGE, TAPE] {
        token(&mut one, query).await?;
    }
    assert_ne!(replicas.state()?, before);
    let lose = format!("UPDATE users SET encrypted_auth_state = decode('{before}', 'hex') WHERE name = 'anna'");
    // The hub that has them in memory uses none of before.
    replicas.postgres.sql(&lose)?;
    let given = token(&mut one, "?audience=https%3A%2F%2Fother.example").await?;
    assert!(is_taken(provider, &given).await? && replicas.state()? != before);
    // And it brings them for the others, once nobody is about to ask who she is.
    let open = "SELECT count(*) FROM specola_upstream WHERE held_until IS NOT NULL OR due_at <= timezone('UTC', now())";
    until("nobody is due", SOON, async || Ok((replicas.postgres.sql(open)? == "0").then_some(()))).await?;
    replicas.postgres.sql(&lose)?;
    until("what was lost is kept again", SOON, async || Ok((replicas.state()? != before).then_some(()))).await?;
    let given = token(&mut two, "?audience=https%3A%2F%2Fthird.example").await?;
    assert!(is_taken(provider, &given).await?);
    assert_eq!(provider.counters().await?.user("anna").refused_refreshes, 0);
    assert_eq!(whoami(&mut browser).await?["name"], "anna");
    Ok(())
}

#[tokio::test]
async fn a_refusal_puts_nobody_out_while_another_hub_may_know_a_better_token() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::calm(&installed, Postgres::start(&programs)?).await?;
    let provider = &replicas.house.provider;
    let ([mut one, mut two], browsers) = replicas.labs_of_anna().await?;
    let refusal = Fault::body(400, r#"{"error": "invalid_grant"}"#).times(1);
    provider.set_fault("refresh", &refusal).await?;
    let answer = ask(&mut one, STORAGE).await?.expect(&[503])?;
    assert!(answer.headers.contains_key("retry-after"), "{}", answer.text());
    for mut browser in browsers {
        assert_eq!(whoami(&mut browser).await?["name"], "anna");
    }
    // The provider is not asked again about the same token, and what the other hub brings is good at once.
    let asked = async || Ok::<u64, anyhow::Error>(provider.counters().await?.requests_to("token"));
    let later = "UPDATE specola_upstream SET failed_at = '2020-01-01', due_at = NULL";
    let before = asked().await?;
    replicas.postgres.sql(later)?;
    ask(&mut one, STORAGE).await?.expect(&[503])?;
    assert_eq!(asked().await?, before);
    replicas.postgres.sql(later)?;
    let given = token(&mut two, STORAGE).await?;
    assert_eq!(asked().await?, before + 1);
    assert_eq!(token(&mut one, STORAGE).await?, given);
    Ok(())
}

/// What the task of one hub does, that of the other need not: by the provider's own count.
#[tokio::test]
async fn who_is_due_is_asked_about_once_whatever_hubs_there_are() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::new(&installed, Postgres::start(&programs)?).await?;
    let (provider, postgres) = (&replicas.house.provider, &replicas.postgres);
    // More than a hub asks about at once.
    let people: u64 = 10;
    for number in 0..people {
        let name = format!("p{number}");
        provider.set_user(&name, json!({"groups": ["users"]})).await?;
        replicas.signed_in(&name).await?;
    }
    provider.forget_counters().await?;
    provider.set_fault("userinfo", &Fault::slow(Duration::from_millis(600))).await?;
    for round in 1..=2 {
        postgres.sql("UPDATE specola_upstream SET due_at = timezone('UTC', now()) - interval '1 second'")?;
        let open =
            "SELECT count(*) FROM specola_upstream WHERE held_until IS NOT NULL OR due_at <= timezone('UTC', now())";
        until("everybody is asked about", SOON, async || Ok((postgres.sql(open)? == "0").then_some(()))).await?;
        assert_eq!(provider.counters().await?.requests_to("userinfo"), round * people);
    }
    Ok(())
}

/// The provider's code is good once: it is not spent while the database is away.
#[tokio::test]
async fn a_login_that_meets_an_absent_database_is_gone_on_with_by_a_reload() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let mut replicas = Replicas::new(&installed, Postgres::start(&programs)?).await?;
    let [_, two] = replicas.origins();
    let mut session = Session::new(&two)?;
    let back = replicas.house.answer(&mut session, LOGIN, "anna").await?;
    replicas.postgres.kill();
    open(&mut session, &back).await?.expect(&[503])?;
    replicas.postgres.run()?;
    until("the login", SOON, async || {
        let answer = open(&mut session, &back).await?.expect(&[303, 503])?;
        Ok((answer.status == 303).then_some(()))
    })
    .await?;
    assert_eq!(whoami(&mut session).await?["name"], "anna");
    Ok(())
}

#[tokio::test]
async fn what_a_lab_tells_one_hub_is_on_the_pages_of_the_other() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let programs = need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES");
    let replicas = Replicas::new(&installed, Postgres::start(&programs)?).await?;
    let (labs, mut browsers) = replicas.labs_of_anna().await?;
    let rows = || replicas.postgres.sql("SELECT count(*) FROM specola_labs");
    // It says so itself, and again in a minute.
    until("the agent's own word", SOON, async || Ok((rows()? == "1").then_some(()))).await?;
    for (mut lab, words) in labs.into_iter().zip(["told to the one", "told to the other"]) {
        let told = json!({ "ready": false, "token": { "ok": false, "message": words } });
        lab.api(Method::PUT, "/user/lab-status", Body::Json(told)).await?.expect(&[204])?;
        for browser in &mut browsers {
            let page = browser.get("/hub/home").await?.expect(&[200])?.text();
            assert!(page.contains(words), "{words}: {page}");
        }
    }
    let [browser, _] = &mut browsers;
    browser.stop_server("anna").await?;
    browser.server_stopped("anna").await?;
    assert_eq!(rows()?, "0");
    Ok(())
}
