//! Stores whose certificate is of an authority of the house: believed where it is named, and refused with a reason elsewhere.

use anyhow::Result;
use tests::object_store::{Lab, Veil, tools};
use tests::{need, place, provider};

use super::{keys, start_lab, storage, with_storage, world};
use crate::doctor::{about, doctor};
use crate::oidc::fresh::with_agent;
use crate::oidc::{Entry, House};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_believed_by_the_authority_that_is_named_and_by_no_other() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let rclone = need!(place::command("rclone"), "rclone", "SPECOLA_REQUIRE_RCLONE");
    let (provider, moto, roles) = world(&tools, &installed).await?;
    let (veil, other) = (Veil::over(&moto.endpoint()).await?, Veil::over(&moto.endpoint()).await?);
    let of_users = [("\"users\"", roles["users"].as_str())];
    let section = |name: &str, more: &str| storage(name, &veil.endpoint(), &of_users, more);
    let sections = [
        section("main", &format!("ca_file = {:?}", veil.ca_file().display().to_string())),
        section("stranger", ""),
        section("misled", &format!("ca_file = {:?}", other.ca_file().display().to_string())),
        // Keys come from elsewhere than objects.
        section("apart", &format!("sts_endpoint = {:?}", moto.endpoint())),
    ];
    let house = House::at(provider, &Entry::by_group(), |options| with_storage(with_agent(options), &sections)).await?;
    let (_anna, mut client, lab) = start_lab(&house, "anna").await?;
    for name in ["stranger", "misled"] {
        let refused = keys(&mut client, name).await?.expect(&[502])?.json()?;
        assert_eq!(refused["code"], "untrusted", "{refused}");
        let sentence = format!("The hub does not trust the certificate of the storage {name}. Tell the operator");
        assert_eq!(refused["message"], sentence.as_str(), "{refused}");
    }
    assert!(house.specola.log().contains("its certificate is not trusted"), "{}", house.specola.log());

    // Programs in the lab believe what the hub does, and look.
    keys(&mut client, "main").await?.expect(&[200])?;
    for kind in ["boto3", "s3fs"] {
        let used = tools.use_with(&lab, kind, 0, "data").await?;
        assert!(used.done == 1 && used.refused.is_empty(), "{kind}: {used:?}");
    }
    let listed = tools.aws(&lab, &["s3", "ls", "s3://data/boto3/"]).await?;
    assert!(listed.contains("object"), "{listed}");
    let list = ["lsf", "main:data/boto3", "--retries=1", "--low-level-retries=1"].map(str::to_owned);
    assert_eq!(lab.run(&rclone, &list).await?.trim(), "object");
    let untold = |what: &str| Lab(lab.0.clone().into_iter().filter(|(name, _)| name != what).collect());
    let used = tools.use_with(&untold("AWS_CONFIG_FILE"), "boto3", 0, "data").await?;
    assert!(used.done == 0 && used.refused.iter().all(|what| what.contains("SSL")), "{used:?}");
    let unknown = untold("RCLONE_CA_CERT").run(&rclone, &list).await.map(drop).unwrap_err().to_string();
    assert!(unknown.contains("certificate signed by unknown authority"), "{unknown}");

    // The operator is told what to do about it.
    let config = house.specola.ground.folder.join("specola.toml");
    let (said, well) = doctor(&config, &["--only", "storage", "--only", "certificate"], &[])?;
    assert!(!well && about(&said, "authorities of the storage main").0 == "ok", "{said:#}");
    for name in ["users at stranger", "users at misled", "objects of apart"] {
        let (level, text) = about(&said, name);
        assert!(level == "bad" && text.contains("not trusted") && text.contains("Name its authorities"), "{said:#}");
    }
    // moto, which believes every token, is reached.
    assert!(about(&said, "users at main").1.contains("a token that nobody signed"), "{said:#}");
    Ok(())
}
