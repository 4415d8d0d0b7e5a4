//! MinIO, where a machine has it: no role, the person's own claims decide, and the ID token is what tells them.

use anyhow::{Context, Result};
use serde_json::json;
use tests::object_store::{Minio, minio, tools};
use tests::{Provider, need, provider};

use super::{keys, start_lab, storage, with_storage};
use crate::oidc::fresh::with_agent;
use crate::oidc::{Entry, House};

#[tokio::test]
async fn at_minio_the_claims_of_a_person_decide() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let program = need!(minio(), "MinIO (SPECOLA_MINIO)", "SPECOLA_REQUIRE_MINIO");
    let provider = Provider::start(&installed).await?;
    let minio = Minio::start(&program, provider.issuer(), "hub").await?;
    let endpoint = minio.endpoint();
    let by_id = storage("main", &endpoint, &[], "token = \"id\", duration = 900");
    let by_access = storage("access", &endpoint, &[], "duration = 900");
    let house =
        House::at(provider, &Entry::by_group(), |options| with_storage(with_agent(options), &[by_id, by_access]))
            .await?;
    house.provider.set_user("anna", json!({"claims": {"policy": "readwrite"}})).await?;
    house.provider.set_user("boss", json!({"claims": {"policy": "readonly"}})).await?;
    let (_anna, mut client, lab) = start_lab(&house, "anna").await?;
    keys(&mut client, "main").await?.expect(&[200]).with_context(|| minio.log())?;
    // The access token of this provider is for nobody in particular and has no such claim.
    let refused = keys(&mut client, "access").await?.expect(&[403])?;
    assert_eq!(refused.json()?["code"], "denied", "{}", refused.text());
    tools.aws(&lab, &["s3", "mb", "s3://data"]).await?;
    let used = tools.use_with(&lab, "boto3", 3, "data").await?;
    assert!(used.refused.is_empty() && used.done > 5, "{used:?}");

    let (_boss, _client, lab) = start_lab(&house, "boss").await?;
    let used = tools.use_with(&lab, "boto3", 0, "data").await?;
    assert!(used.done == 0 && used.refused[0].contains("AccessDenied"), "{used:?}");
    Ok(())
}
