//! Who gets no keys, and what becomes of labs when an object store is away or a group is lost.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;
use tests::object_store::tools;
use tests::{Body, need, provider, until};

use super::{LIFE, PATIENCE, furnish, keys, offered, start_lab, storage, with_storage, world};
use crate::oidc::fresh::with_agent;
use crate::oidc::{Entry, House};

#[tokio::test]
async fn the_role_goes_with_the_group_and_so_do_the_keys() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let (provider, moto, roles) = world(&tools, &installed).await?;
    let by_group = [("\"users/cygno/**\"", roles["cygno"].as_str()), ("\"users\"", roles["users"].as_str())];
    let sections = [
        storage("main", &moto.endpoint(), &by_group, "duration = 3600"),
        storage("cygno", &moto.endpoint(), &by_group[..1], "duration = 3600"),
        storage("staff", &moto.endpoint(), &[("\"staff\"", roles["users"].as_str())], ""),
    ];
    let house = House::at(provider, &Entry::by_group(), |options| {
        with_storage(with_agent(options), &sections).set("auth", "auth_refresh_age", "1")
    })
    .await?;
    let (_anna, mut client, lab) = start_lab(&house, "anna").await?;
    assert_eq!(offered(&mut client).await?, ["main", "cygno"]);
    assert_eq!(lab.variable("SPECOLA_STORAGE_NAMES"), Some("main cygno"));
    assert!(tools.whoami(&lab, &moto.endpoint()).await?.ends_with("assumed-role/cygno/anna"), "the first that fits");
    let first = keys(&mut client, "main").await?.expect(&[200])?.json()?;
    let again = keys(&mut client, "main").await?.expect(&[200])?.json()?;
    assert_eq!(first, again, "from memory, for half of their life");
    keys(&mut client, "cygno").await?.expect(&[200])?;
    let refused = keys(&mut client, "staff").await?.expect(&[403])?;
    assert_eq!(refused.json()?["code"], "no_role", "{}", refused.text());
    keys(&mut client, "nothing").await?.expect(&[404])?;

    // The group is lost: the next keys are of another role, and of the storage of the group there are none.
    house.provider.set_user("anna", json!({"groups": ["users"]})).await?;
    let refused = until("a refusal", PATIENCE, async || {
        let answer = keys(&mut client, "cygno").await?;
        Ok((answer.status == 403).then_some(answer))
    })
    .await?;
    assert_eq!(refused.json()?["code"], "no_role", "{}", refused.text());
    let other = keys(&mut client, "main").await?.expect(&[200])?.json()?;
    assert_ne!(first["AccessKeyId"], other["AccessKeyId"], "what was at hand was of the other role");
    assert_eq!(offered(&mut client).await?, ["main"]);
    // Out altogether.
    house.provider.set_user("anna", json!({"groups": []})).await?;
    until("out", PATIENCE, async || Ok((keys(&mut client, "main").await?.status == 403).then_some(()))).await?;
    Ok(())
}

#[tokio::test]
async fn an_object_store_that_is_away_is_told_and_waited_for() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let (provider, mut moto, roles) = world(&tools, &installed).await?;
    let main = storage("main", &moto.endpoint(), &[("", &roles["users"])], &format!("duration = {}", 4 * LIFE));
    let house = House::at(provider, &Entry::by_group(), |options| with_storage(with_agent(options), &[main])).await?;
    let (_anna, mut client, lab) = start_lab(&house, "anna").await?;
    let before = keys(&mut client, "main").await?.expect(&[200])?.json()?;
    moto.go_down();
    // What is good is handed out until it ends, also after it would have been renewed.
    let refused = until("a refusal", PATIENCE, async || {
        let answer = keys(&mut client, "main").await?;
        if answer.status == 200 {
            assert_eq!(answer.json()?, before);
            return Ok(None);
        }
        Ok(Some(answer))
    })
    .await?
    .expect(&[503])?;
    assert_eq!(refused.json()?["code"], "unreachable", "{}", refused.text());
    assert!(refused.headers.contains_key("retry-after"));
    let status = lab.variable("BEARER_TOKEN_FILE").context("the agent's file")?.replace("access_token", "status.json");
    until("the agent's word", PATIENCE, async || {
        let status: serde_json::Value = serde_json::from_slice(&std::fs::read(&status)?)?;
        // It asks no more than programs do: one that asks makes it find out.
        let _ = tools.aws(&lab, &["s3", "ls"]).await;
        Ok((status["storage"]["main"]["code"] == "unreachable" && status["ready"] == false).then_some(()))
    })
    .await?;

    moto.come_up().await?;
    furnish(&tools, &moto, &house.provider)?;
    until("keys", PATIENCE, async || Ok((keys(&mut client, "main").await?.status == 200).then_some(()))).await?;
    let used = tools.use_with(&lab, "boto3", LIFE, "data").await?;
    assert!(used.refused.is_empty() && used.done > 5, "{used:?}");
    Ok(())
}

#[tokio::test]
async fn keys_are_for_a_persons_own_lab_alone() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let (provider, moto, roles) = world(&tools, &installed).await?;
    let main = storage("main", &moto.endpoint(), &[("", &roles["users"])], "");
    let house = House::at(provider, &Entry::by_group(), |options| {
        let sharers = r#"[{ name = "sharers", scopes = ["shares!user", "read:users:name"], users = ["anna"] }]"#;
        with_storage(with_agent(options), &[main]).set("hub", "load_roles", sharers)
    })
    .await?;
    let (mut anna, mut client, _lab) = start_lab(&house, "anna").await?;
    let answer = keys(&mut client, "main").await?.expect(&[200])?;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let given = answer.json()?;
    let mut names: Vec<&String> = given.as_object().context("an object")?.keys().collect();
    names.sort();
    assert_eq!(names, ["AccessKeyId", "Expiration", "SecretAccessKey", "Token"], "the names that programs of AWS read");
    // Her browser and her scripts are not her lab.
    keys(&mut anna, "main").await?.expect(&[403])?;
    let mut script = anna.with_token(&anna.clone().new_token("anna").await?);
    keys(&mut script, "main").await?.expect(&[403])?;
    let mut nobody = house.specola.session()?;
    keys(&mut nobody, "main").await?.expect(&[403])?;
    // What reaches a server that others may use, they could read.
    house.signed_in("boss").await?;
    anna.api(Method::POST, "/shares/anna/", Body::Json(json!({"user": "boss"}))).await?.expect(&[200])?;
    let refused = keys(&mut client, "main").await?.expect(&[403])?;
    assert!(refused.text().contains("shared with others"), "{}", refused.text());
    anna.api(Method::DELETE, "/shares/anna/", Body::Empty).await?.expect(&[204])?;
    keys(&mut client, "main").await?.expect(&[200])?;
    anna.stop_server("anna").await?;
    keys(&mut client, "main").await?.expect(&[403])?;
    let secret = given["SecretAccessKey"].as_str().context("a key")?;
    assert!(!house.specola.log().contains(secret));
    Ok(())
}
