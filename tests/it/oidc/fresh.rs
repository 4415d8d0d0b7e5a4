//! Access tokens in labs: fresh whenever one is asked for, by whatever way, and what becomes of them when the provider says
//! no, is away, or somebody is let in no more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use http::Method;
use serde_json::{Value, json};
use tests::provider::{self, Fault, Kind, Provider};
use tests::specola::Options;
use tests::wait::until;
use tests::{Answer, Body, Session, need, place};

use super::{Entry, House, SECRET, is_out, keeping};

/// The shortest life of an access token here, in seconds.
pub(super) const LIFE: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(60);
const EVERY_VARIABLE: &str =
    r#"["ACCESS_TOKEN", "REFRESH_TOKEN", "IAM_SERVER", "IAM_CLIENT_ID", "IAM_CLIENT_SECRET", "USERNAME", "GROUPS"]"#;

/// Labs are small ones with the agent around them, and with the variables of old images.
pub(crate) fn with_agent(options: Options) -> Options {
    with_agent_alone(options).set("spawner", "oidc_environment", EVERY_VARIABLE)
}

fn with_agent_alone(options: Options) -> Options {
    let python = place::plain_python().map(|python| python.display().to_string()).unwrap_or_default();
    let lab = place::package().join("labs/quick.py").display().to_string();
    let agent = place::agent().display().to_string();
    let command = format!("[{agent:?}, {python:?}, {lab:?}]");
    keeping(options).set("spawner", "cmd", &command)
}

async fn house(installed: &provider::Installed) -> Result<House> {
    House::changed(installed, &Entry::by_group(), with_agent).await
}

/// The environment of a running lab of this hub's, as the system has it.
pub(super) fn environment(house: &House) -> Result<BTreeMap<String, String>> {
    let all = house.specola.mark().processes();
    let lab = all.iter().find(|process| process.variable("BEARER_TOKEN_FILE").is_some()).context("a lab")?;
    let bytes = std::fs::read(format!("/proc/{}/environ", lab.id))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.split('\0').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// Anna's lab as a client of the hub.
async fn lab_of_anna(house: &House) -> Result<(Session, Session, BTreeMap<String, String>)> {
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await?;
    let environment = environment(house)?;
    let token = environment.get("JUPYTERHUB_API_TOKEN").context("a token")?;
    let lab = anna.with_token(token);
    Ok((anna, lab, environment))
}

pub(super) async fn ask(lab: &mut Session, query: &str) -> Result<Answer> {
    lab.api(Method::GET, &format!("/user/access-token{query}"), Body::Empty).await
}

async fn token(lab: &mut Session) -> Result<String> {
    let answer = ask(lab, "").await?.expect(&[200])?.json()?;
    Ok(answer["access_token"].as_str().context("an access token")?.to_owned())
}

/// Whether the provider takes a token, asked as a service would.
pub(super) async fn is_taken(provider: &Provider, token: &str) -> Result<bool> {
    let mut service = provider.session()?.authorized(&format!("Bearer {token}"));
    Ok(service.get("/userinfo").await?.status == 200)
}

/// H3, and the whole promise: fifty readers over several lives of a token, by the hub and by the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_readers_are_never_refused_over_many_lives_of_a_token() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry = Entry::by_group().with("refresh_ends_tokens = false");
    let house = House::changed(&installed, &entry, with_agent).await?;
    // Six lives. The old refresh token is dead at once: two refreshes with one would lose the login.
    let (life, lives) = (4, 6);
    let flags = json!({"access_ttl": life, "reuse_refresh_token": false, "clear_access_tokens_on_refresh": false});
    house.provider.switch_all(flags).await?;
    let (_anna, lab, environment) = lab_of_anna(&house).await?;
    let file = environment.get("BEARER_TOKEN_FILE").context("the agent's file")?.clone();
    house.provider.forget_counters().await?;
    let end = Instant::now() + Duration::from_secs(lives * life);
    let provider = &house.provider;
    let readers = (0..50).map(|number| {
        let (mut lab, file) = (lab.clone(), file.clone());
        async move {
            // So many a second as a machine with other work can do.
            let (mut read, mut beat) = (0, tokio::time::interval(Duration::from_millis(100)));
            while Instant::now() < end {
                beat.tick().await;
                let token = if number % 5 == 0 { std::fs::read_to_string(&file)? } else { token(&mut lab).await? };
                ensure!(is_taken(provider, &token).await?, "reader {number} was refused after {read} good tokens");
                read += 1;
            }
            Ok::<u32, anyhow::Error>(read)
        }
    });
    let read: u32 = futures_util::future::try_join_all(readers).await?.into_iter().sum();
    assert!(read >= 600, "only {read}");
    let counted = house.provider.counters().await?.user("anna");
    assert_eq!((counted.most_refreshes_at_once, counted.refused_refreshes), (1, 0), "{counted:?}");
    assert!((lives..=6 * lives).contains(&counted.refreshes), "{counted:?}");

    // What the provider gave to the hub alone is nowhere else: not in labs, not among processes, not in log or database.
    let secrets: Vec<String> =
        house.provider.issued().await?.into_iter().filter(provider::Issued::is_secret).map(|one| one.value).collect();
    assert!(secrets.len() > 3);
    let mut places = vec![("the log", house.specola.log().into_bytes())];
    for file in ["jupyterhub.sqlite", "jupyterhub.sqlite-wal"] {
        places.push(("the database", std::fs::read(house.specola.ground.folder.join(file)).unwrap_or_default()));
    }
    for process in house.specola.mark().processes() {
        for part in ["environ", "cmdline"] {
            places.push(("a process", std::fs::read(format!("/proc/{}/{part}", process.id)).unwrap_or_default()));
        }
    }
    assert!(places.len() > 6);
    for (place, bytes) in &places {
        for secret in secrets.iter().map(String::as_str).chain([SECRET]) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            // The provider itself runs in another tree; the hub reads its client's secret from its file.
            assert!(!found, "{place} holds a secret in clear");
        }
    }
    Ok(())
}

/// What a reader of a token met.
#[derive(Debug, Default)]
struct Met {
    taken: u32,
    /// Used later than the hub promises.
    late: u32,
    /// Refused, and good when the file was read again.
    again: u32,
}

/// IAM as it comes: every refresh ends all access tokens of before. Whoever asks the hub and uses the token within the
/// moment of `upstream/quiet.rs` is never refused, also where others ask for tokens of another audience; who reads the file
/// may be, and finds a good one in it soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_refresh_ends_the_tokens_of_before_nobody_is_refused_who_uses_one_at_once() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    house.provider.switch("access_ttl", LIFE).await?;
    let (_anna, lab, environment) = lab_of_anna(&house).await?;
    let file = environment.get("BEARER_TOKEN_FILE").context("the agent's file")?.clone();
    house.provider.forget_counters().await?;
    let (provider, begun) = (&house.provider, Instant::now());
    let lives = |number: u64| begun + Duration::from_secs(number * LIFE);
    let readers = (0..50).map(|number| {
        let (mut lab, file) = (lab.clone(), file.clone());
        async move {
            let (mut met, mut beat) = (Met::default(), tokio::time::interval(Duration::from_millis(250)));
            // Five lives with one kind of token, and five with two.
            let is_of_storage = number % 5 == 1;
            if is_of_storage {
                tokio::time::sleep_until(lives(5).into()).await;
            }
            while Instant::now() < lives(10) {
                beat.tick().await;
                if number % 5 == 0 {
                    met.again += u32::from(!is_taken(provider, &std::fs::read_to_string(&file)?).await?);
                    let good = async || {
                        let token = std::fs::read_to_string(&file)?;
                        Ok(is_taken(provider, &token).await?.then_some(()))
                    };
                    until("a good token in the file", Duration::from_secs(10), good).await?;
                    met.taken += 1;
                    continue;
                }
                let query = if is_of_storage { "?audience=https%3A%2F%2Fstorage.example" } else { "" };
                let answer = ask(&mut lab, query).await?.expect(&[200])?.json()?;
                let (token, given) = (answer["access_token"].as_str().context("an access token")?, Instant::now());
                let is_taken = is_taken(provider, token).await?;
                // A fifth of its life, less what is lost on the way.
                let is_late = given.elapsed() > Duration::from_millis(600);
                ensure!(is_taken || is_late, "reader {number} was refused after {met:?}");
                met.taken += u32::from(is_taken);
                met.late += u32::from(!is_taken);
            }
            Ok::<Met, anyhow::Error>(met)
        }
    });
    let met = futures_util::future::try_join_all(readers).await?;
    let sum = |what: fn(&Met) -> u32, kind: usize| met.iter().skip(kind).step_by(5).map(what).sum::<u32>();
    assert!((1..5).all(|kind| sum(|met| met.taken, kind) > 10 * sum(|met| met.late, kind)), "{met:?}");
    assert!(sum(|met| met.taken, 0) > 2 * sum(|met| met.again, 0), "the file: {met:?}");
    let counted = house.provider.counters().await?.user("anna");
    assert_eq!((counted.most_refreshes_at_once, counted.refused_refreshes), (1, 0), "{counted:?}");
    // Hardly more than one in a moment while two kinds are read.
    assert!((10..=60).contains(&counted.refreshes), "{counted:?}");
    Ok(())
}

#[tokio::test]
async fn who_may_ask_for_a_token_and_who_may_not() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::changed(&installed, &Entry::by_group(), |options| {
        let roles = r#"[{ name = "sharers", scopes = ["shares!user", "read:users:name"], users = ["anna"] }]"#;
        with_agent(options).set("hub", "load_roles", roles)
    })
    .await?;
    let (mut anna, mut lab, _) = lab_of_anna(&house).await?;
    assert!(is_taken(&house.provider, &token(&mut lab).await?).await?);
    let answer = ask(&mut lab, "?min_valid=120").await?.expect(&[200])?;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let answer = answer.json()?;
    assert!(answer["expires_in"].as_i64().context("expires_in")? > 3000, "{answer}");
    assert_eq!((&answer["token_type"], &answer["provider"]), (&json!("Bearer"), &json!("iam")));
    for wrong in ["?min_valid=soon", "?min_valid=-1", "?min_valid=99999999", "?audience=a%00b"] {
        ask(&mut lab, wrong).await?.expect(&[400]).context(wrong)?;
    }
    // Anna's own browser and scripts are not her lab: they need the right to see the auth_state.
    ask(&mut anna, "").await?.expect(&[403])?;
    let mut script = anna.with_token(&anna.clone().new_token("anna").await?);
    ask(&mut script, "").await?.expect(&[403])?;
    let mut boss = house.signed_in("boss").await?;
    ask(&mut boss, "").await?.expect(&[200])?;

    // A server that others may use gets none, until it is its owner's alone again.
    house.specola.session()?;
    let body = Body::Json(json!({"user": "boss"}));
    anna.api(Method::POST, "/shares/anna/", body).await?.expect(&[200])?;
    let refused = ask(&mut lab, "").await?.expect(&[403])?;
    assert!(refused.text().contains("shared with others"), "{}", refused.text());
    anna.stop_server("anna").await?;
    anna.start_server("anna").await?;
    let shared = environment(&house)?;
    assert!(shared.contains_key("IAM_SERVER") && !shared.contains_key("ACCESS_TOKEN"), "nor in its environment");
    let mut lab = anna.with_token(shared.get("JUPYTERHUB_API_TOKEN").context("a token")?);
    anna.api(Method::DELETE, "/shares/anna/", Body::Empty).await?.expect(&[204])?;
    ask(&mut lab, "").await?.expect(&[200])?;
    // And a server that has stopped is nobody.
    anna.stop_server("anna").await?;
    ask(&mut lab, "").await?.expect(&[403])?;
    Ok(())
}

/// H1: decided at login, and at every refresh, also for API tokens.
#[tokio::test]
async fn who_is_taken_from_all_groups_is_out_at_the_next_refresh_and_back_at_a_login() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::changed(&installed, &Entry::by_group(), |options| {
        with_agent(options).set("auth", "auth_refresh_age", "1")
    })
    .await?;
    let (mut anna, mut lab, _) = lab_of_anna(&house).await?;
    let secret = anna.new_token("anna").await?;
    let mut script = anna.with_token(&secret);
    house.provider.set_user("anna", json!({"groups": ["users", "users/new"]})).await?;
    until("the new group", PATIENCE, async || {
        let model = anna.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
        Ok(model["groups"].as_array().is_some_and(|groups| groups.contains(&json!("users/new"))).then_some(()))
    })
    .await?;
    house.provider.set_user("anna", json!({"groups": []})).await?;
    until("out", PATIENCE, async || Ok(is_out(&mut anna).await?.then_some(()))).await?;
    script.api(Method::GET, "/user", Body::Empty).await?.expect(&[403])?;
    ask(&mut lab, "").await?.expect(&[403])?;
    assert_eq!(house.specola.mark().labs().len(), 1, "the server itself goes on");
    let mut boss = house.signed_in("boss").await?;
    let audit = boss.api(Method::GET, "/audit?action=user.refuse", Body::Empty).await?.expect(&[200])?.text();
    assert!(audit.contains("user:anna"), "{audit}");

    house.provider.set_user("anna", json!({"groups": ["users"]})).await?;
    house.signed_in("anna").await?;
    script.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
    ask(&mut lab, "").await?.expect(&[200])?;
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_away_changes_nothing_and_one_that_wants_something_is_told() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    house.provider.switch("access_ttl", LIFE).await?;
    let (mut anna, mut lab, _) = lab_of_anna(&house).await?;
    let code = async |lab: &mut Session, status: u16| {
        let what = format!("an answer with {status}");
        until(&what, PATIENCE, async || {
            let answer = ask(lab, "").await?;
            Ok((answer.status == status).then_some(answer))
        })
        .await?
        .json()
    };
    // Away: what is good still is handed out, and then it is said that it is away.
    house.provider.go_down().await?;
    let answer = code(&mut lab, 503).await?;
    assert_eq!(answer["code"], "unreachable", "{answer}");
    anna.get("/hub/home").await?.expect(&[200])?;
    house.provider.come_up().await?;
    code(&mut lab, 200).await?;

    // The usage policy: a sentence with the way to it, for the lab and on the pages; nobody is logged out.
    house.provider.set_user("anna", json!({"aup_signed": false})).await?;
    let answer = code(&mut lab, 409).await?;
    assert_eq!((&answer["code"], answer["link"].as_str()), (&json!("usage_policy"), Some(house.provider.issuer())));
    let home = anna.get("/hub/home").await?.expect(&[200])?.text();
    assert!(home.contains("usage policy") && home.contains(house.provider.issuer()), "{home}");
    house.provider.set_user("anna", json!({"aup_signed": true})).await?;
    code(&mut lab, 200).await?;
    // The agent of the lab tells the hub a moment later that it has its token again.
    until("no word of the usage policy", PATIENCE, async || {
        let home = anna.get("/hub/home").await?.expect(&[200])?.text();
        Ok((!home.contains("usage policy")).then_some(()))
    })
    .await?;

    // The refresh token is worth nothing any more, by the words of either version of IAM: nobody knows whether they are
    // still let in, so the person logs in again, and tokens wait for that. The lab goes on.
    let mut script = anna.with_token(&anna.clone().new_token("anna").await?);
    for word in ["invalid_token", "invalid_grant"] {
        house.provider.switch("bad_refresh_token", word).await?;
        script.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
        house.provider.revoke_tokens_of("anna").await?;
        let answer = code(&mut lab, 409).await?;
        assert_eq!(answer["code"], "sign_in_needed", "{word}: {answer}");
        until("logged out", PATIENCE, async || Ok(is_out(&mut anna).await?.then_some(()))).await?;
        script.api(Method::GET, "/user", Body::Empty).await?.expect(&[403]).context(word)?;
        assert_eq!(house.specola.mark().labs().len(), 1);
        anna = house.signed_in("anna").await?;
        code(&mut lab, 200).await?;
    }

    // Suspended: out, with every token, and so is the lab.
    house.provider.set_user("anna", json!({"suspended": true})).await?;
    until("out", PATIENCE, async || Ok(is_out(&mut anna).await?.then_some(()))).await?;
    script.api(Method::GET, "/user", Body::Empty).await?.expect(&[403])?;
    ask(&mut lab, "").await?.expect(&[403])?;
    let log = house.specola.log();
    for one in house.provider.issued().await? {
        assert!(!log.contains(&one.value), "in the log: {:?}", one.kind);
    }
    Ok(())
}

/// A provider that gives no refresh token: nobody is logged out once in each life of an access token.
#[tokio::test]
async fn without_offline_access_people_stay_and_the_lab_is_told_that_its_token_has_ended() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry = Entry::by_group().with("scope = [\"openid\", \"profile\", \"email\"]").with("optional_scope = []");
    let house = House::changed(&installed, &entry, with_agent).await?;
    house.provider.switch("access_ttl", 3).await?;
    let (mut anna, mut lab, _) = lab_of_anna(&house).await?;
    let mut script = anna.with_token(&anna.clone().new_token("anna").await?);
    assert!(!house.provider.issued().await?.iter().any(|one| one.kind == Kind::RefreshToken), "there is none");
    let ended = until("the end of the token", PATIENCE, async || {
        let answer = ask(&mut lab, "").await?.expect(&[200, 409])?;
        Ok((answer.status == 409).then_some(answer))
    })
    .await?
    .json()?;
    assert_eq!(ended["code"], "token_ended", "{ended}");
    assert!(ended["message"].as_str().is_some_and(|text| text.contains("Log in again for more")), "{ended}");
    for _ in 0..2 {
        anna.get("/hub/home").await?.expect(&[200])?;
        script.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
        ask(&mut lab, "").await?.expect(&[409])?;
    }
    assert_eq!(house.specola.mark().labs().len(), 1);
    assert_eq!(house.provider.counters().await?.user("anna").refused_refreshes, 0);
    // What the next login brings, the lab has too.
    house.provider.switch("access_ttl", 600).await?;
    house.signed_in("anna").await?;
    assert!(is_taken(&house.provider, &token(&mut lab).await?).await?);
    // And who has lost the group is refused there.
    house.provider.set_user("anna", json!({"groups": []})).await?;
    let (_, _, page) = house.visit("anna").await?;
    page.expect(&[403])?;
    script.api(Method::GET, "/user", Body::Empty).await?.expect(&[403])?;
    Ok(())
}

/// What the provider gave is kept before anybody uses it, whoever went away meanwhile.
#[tokio::test]
async fn a_refresh_outlives_who_asked_for_it_and_an_answer_that_was_lost_is_not_the_end() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::changed(&installed, &Entry::by_group(), with_agent_alone).await?;
    let flags = json!({"access_ttl": 600, "reuse_refresh_token": false});
    house.provider.switch_all(flags).await?;
    let (_anna, mut lab, environment) = lab_of_anna(&house).await?;
    // The variables of old images are there by choice alone.
    let old: Vec<String> = serde_json::from_str(EVERY_VARIABLE)?;
    assert!(old.len() == 7 && !old.iter().any(|name| environment.contains_key(name)), "{environment:?}");
    let before = house.provider.counters().await?.user("anna").refreshes;
    house.provider.set_fault("refresh", &Fault::slow(Duration::from_secs(3)).times(1)).await?;
    // The asker leaves in the middle.
    let asking = ask(&mut lab, "?audience=https%3A%2F%2Fstorage.example");
    assert!(tokio::time::timeout(Duration::from_millis(1500), asking).await.is_err(), "it takes longer");
    until("the refresh", PATIENCE, async || {
        Ok((house.provider.counters().await?.user("anna").refreshes > before).then_some(()))
    })
    .await?;
    // The next one uses the refresh token that came with it.
    let other = ask(&mut lab, "?audience=https%3A%2F%2Fother.example").await?.expect(&[200])?.json()?;
    assert!(other["access_token"].is_string());
    let counted = house.provider.counters().await?.user("anna");
    assert_eq!((counted.refused_refreshes, counted.most_refreshes_at_once), (0, 1), "{counted:?}");
    // The provider's own words are in the log, beside what the lab is told to quote.
    let wrong = ask(&mut lab, "?scope=nonsense").await?.expect(&[400])?.json()?["message"].as_str().map(str::to_owned);
    let wrong = wrong.context("a message")?;
    let reference = wrong.split("Test IAM gives no token for this audience or scope. Reference: ").nth(1);
    let reference = reference.with_context(|| wrong.clone())?;
    let log = house.specola.log();
    let line = log.lines().find(|line| line.contains(reference)).context("a line in the log")?;
    assert!(line.contains("invalid_scope"), "{line}");
    ask(&mut lab, "").await?.expect(&[200]).context("a wish of one's own says nothing of the login")?;
    Ok(())
}

/// Programs of old images refresh as if the hub were the provider, with what they take for client and refresh token.
#[tokio::test]
async fn old_programs_refresh_at_the_hub_as_at_the_provider() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = house(&installed).await?;
    let (mut anna, _lab, environment) = lab_of_anna(&house).await?;
    let of = |name: &str| environment.get(name).map(String::as_str).context(name.to_owned());
    assert_eq!((of("USERNAME")?, of("GROUPS")?), ("anna", "users users/cygno"));
    assert!(is_taken(&house.provider, of("ACCESS_TOKEN")?).await?);
    let server = url::Url::parse(of("IAM_SERVER")?)?;
    let mut program = Session::new(&server.origin().ascii_serialization())?;
    let discovery = format!("{}/.well-known/openid-configuration", server.path());
    let said = program.get(&discovery).await?.expect(&[200])?.json()?;
    assert_eq!(said["issuer"].as_str(), Some(server.as_str()));
    assert!(said["userinfo_endpoint"].as_str().context("userinfo")?.starts_with(house.provider.issuer()), "{said}");
    let endpoint = url::Url::parse(said["token_endpoint"].as_str().context("token_endpoint")?)?.path().to_owned();
    let right = [
        ("grant_type", "refresh_token"),
        ("refresh_token", of("REFRESH_TOKEN")?),
        ("client_id", of("IAM_CLIENT_ID")?),
        ("client_secret", of("IAM_CLIENT_SECRET")?),
    ];
    let with = |other: &[(&str, &str)]| {
        let mut fields: BTreeMap<String, String> =
            right.iter().chain(other).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fields.retain(|_, value| !value.is_empty());
        fields.into_iter().collect::<Vec<_>>()
    };
    let answer = program.send(Method::POST, &endpoint, Body::Form(with(&[]))).await?.expect(&[200])?.json()?;
    assert!(is_taken(&house.provider, answer["access_token"].as_str().context("access_token")?).await?);
    assert_eq!(answer["refresh_token"].as_str(), Some(of("REFRESH_TOKEN")?));
    assert!(answer["expires_in"].as_i64().is_some_and(|seconds| seconds > 60), "{answer}");
    // In the address, without client, and for somebody else.
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(with(&[])).finish();
    program.send(Method::POST, &format!("{endpoint}?{query}"), Body::Empty).await?.expect(&[200])?;
    program
        .send(Method::POST, &endpoint, Body::Form(with(&[("client_id", ""), ("client_secret", "")])))
        .await?
        .expect(&[200])?;
    for name in ["aud", "audience", "resource"] {
        let audience = format!("https://{name}.example");
        let answer = program.send(Method::POST, &endpoint, Body::Form(with(&[(name, &audience)]))).await?;
        let token = answer.expect(&[200])?.json()?["access_token"].as_str().context("access_token")?.to_owned();
        assert_eq!(provider::claims(&token)?.get("aud"), Some(&json!(audience)), "{name}");
    }
    // As HTTP has it, with the client in the header; and with another secret than that of the server.
    let without = |secret: &str| {
        let pair = format!("{}:{secret}", of("IAM_CLIENT_ID")?);
        let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        Ok::<Session, anyhow::Error>(Session::new(&server.origin().ascii_serialization())?.authorized(&header))
    };
    let fields = || Body::Form(with(&[("client_id", ""), ("client_secret", "")]));
    without(of("IAM_CLIENT_SECRET")?)?.send(Method::POST, &endpoint, fields()).await?.expect(&[200])?;
    let answer = without("wrong")?.send(Method::POST, &endpoint, fields()).await?.expect(&[401])?;
    assert_eq!(answer.headers["www-authenticate"], "Basic");
    assert_eq!(answer.json()?["error"], "invalid_client");
    for (other, status, error) in [
        (("client_secret", "wrong"), 401, "invalid_client"),
        (("client_id", "hub"), 401, "invalid_client"),
        (("refresh_token", "wrong"), 400, "invalid_grant"),
        (("refresh_token", ""), 400, "invalid_grant"),
        (("grant_type", "authorization_code"), 400, "unsupported_grant_type"),
        (("grant_type", ""), 400, "unsupported_grant_type"),
    ] {
        let answer = program.send(Method::POST, &endpoint, Body::Form(with(&[other]))).await?;
        let said: Value = answer.expect(&[status]).with_context(|| format!("{other:?}"))?.json()?;
        assert_eq!(said["error"], error, "{other:?}");
    }
    // Somebody else's token, or a script's, is no refresh token.
    let script = anna.new_token("anna").await?;
    let fields = with(&[("refresh_token", &script), ("client_secret", &script)]);
    program.send(Method::POST, &endpoint, Body::Form(fields)).await?.expect(&[400])?;
    anna.stop_server("anna").await?;
    program.send(Method::POST, &endpoint, Body::Form(with(&[]))).await?.expect(&[400])?;
    // What the lab was given was never the provider's.
    for one in house.provider.issued().await?.iter().filter(|one| one.kind == Kind::RefreshToken) {
        assert!(environment.values().all(|value| *value != one.value));
    }
    Ok(())
}

/// oidc-agent as the labs of INFN use it: an account made of what the environment gives for a refresh token.
#[tokio::test]
async fn oidc_agent_gets_tokens_of_the_hub_with_what_the_lab_has_for_a_refresh_token() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let _ = need!(place::command("oidc-agent"), "oidc-agent", "SPECOLA_REQUIRE_OIDC_AGENT");
    let house = house(&installed).await?;
    let (_anna, _lab, environment) = lab_of_anna(&house).await?;
    let home = tempfile::tempdir()?;
    let script = r#"
        eval "$(oidc-agent --quiet)" && trap 'oidc-agent --kill >&2' EXIT
        oidc-gen dodas --iss "$IAM_SERVER" --client-id "$IAM_CLIENT_ID" --client-secret "$IAM_CLIENT_SECRET" \
            --rt "$REFRESH_TOKEN" --scope "openid profile email offline_access" --pw-cmd "echo DUMMY" \
            --manual --confirm-default --prompt=none >&2 &&
        oidc-token dodas --time 1200 && oidc-token dodas --aud https://object.example"#;
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", script]).envs(&environment).env("HOME", home.path()).env("TMPDIR", home.path());
    let done = command.stdin(std::process::Stdio::null()).kill_on_drop(true).output();
    let done = tokio::time::timeout(PATIENCE, done).await??;
    let (said, complaints) = (String::from_utf8(done.stdout)?, String::from_utf8_lossy(&done.stderr).into_owned());
    let [plain, object] = said.lines().collect::<Vec<_>>()[..] else { anyhow::bail!("{said} {complaints}") };
    assert_eq!(provider::claims(object)?.get("aud"), Some(&json!("https://object.example")));
    // The later one has ended the one before; asked for again, there is a good one.
    assert!(is_taken(&house.provider, object).await? && !plain.is_empty());
    Ok(())
}

/// With several providers, each has an address of its own at the hub, and a lab's token is good at that of its person's.
#[tokio::test]
async fn the_hub_in_the_place_of_one_provider_gives_no_token_of_another() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = Provider::start(&installed).await?;
    let entry = |name: &str, more: &str| {
        let issuer = provider.issuer();
        format!("{{ name = {name:?}, issuer = {issuer:?}, client_id = \"hub\", client_secret = {SECRET:?}, {more} }}")
    };
    let first = entry("iam", "preset = \"indigo-iam\", allow_all = true, username_prefix = \"\"");
    let second = entry("other", "allow_all = true, username_prefix = \"o-\"");
    let providers = format!("[{first}, {second}]");
    let house =
        House::at(provider, &Entry::by_group(), |options| with_agent(options).set("auth", "providers", &providers))
            .await?;
    let (_anna, _lab, environment) = lab_of_anna(&house).await?;
    let of = |name: &str| environment.get(name).map(String::as_str).context(name.to_owned());
    let server = url::Url::parse(of("IAM_SERVER")?)?;
    assert!(server.path().ends_with("/iam/iam"), "{server}");
    let mut program = Session::new(&server.origin().ascii_serialization())?;
    let fields = || -> Result<Body> {
        let token = of("REFRESH_TOKEN")?.to_owned();
        Ok(Body::Form(vec![("grant_type".into(), "refresh_token".into()), ("refresh_token".into(), token)]))
    };
    let endpoint = |name: &str| server.path().replace("/iam/iam", &format!("/iam/{name}/token"));
    program.send(Method::POST, &endpoint("iam"), fields()?).await?.expect(&[200])?;
    let answer = program.send(Method::POST, &endpoint("other"), fields()?).await?.expect(&[400])?.json()?;
    assert_eq!(answer["error"], "invalid_grant");
    program.send(Method::POST, &endpoint("nobody"), fields()?).await?.expect(&[404])?;
    Ok(())
}
