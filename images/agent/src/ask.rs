//! `specola-lab-agent credentials`: keys on the standard output, in the form of AWS's `credential_process`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use crate::hub::{Hub, Refusal};
use crate::keys::Keys;

/// Where a running agent serves keys, without a storage's name at the end, and what it wants to be told.
pub const URL: &str = "SPECOLA_STORAGE_URL";
pub const TOKEN: &str = "SPECOLA_STORAGE_TOKEN";
/// The names of all storages, from the hub.
pub const NAMES: &str = "SPECOLA_STORAGE_NAMES";

/// The storages of this lab, by the hub's word.
pub fn names() -> Vec<String> {
    std::env::var(NAMES).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Prints keys of the storage, or of the first one.
pub async fn run(arguments: &[String]) -> Result<ExitCode> {
    let storage = match arguments {
        [] => names().into_iter().next().context("this lab has no storage")?,
        [option, name] if option == "--storage" => name.clone(),
        [option] if option.starts_with("--storage=") => option.trim_start_matches("--storage=").to_owned(),
        _ => bail!("usage: specola-lab-agent credentials [--storage NAME]"),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if storage.is_empty() || !storage.chars().all(plain) {
        bail!("{storage:?} is no name of a storage");
    }
    let keys = match (std::env::var(URL), std::env::var(TOKEN)) {
        (Ok(url), Ok(token)) => of_agent(&url, &token, &storage).await?,
        // Without an agent beside it the hub is asked.
        _ => Hub::of_environment()?.keys(&storage).await,
    };
    match keys {
        Ok(Keys { access_key_id, secret_access_key, token, expiration }) => {
            let said = json!({
                "Version": 1,
                "AccessKeyId": access_key_id,
                "SecretAccessKey": secret_access_key,
                "SessionToken": token,
                "Expiration": expiration,
            });
            println!("{said}");
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) => bail!("{}", refusal.message.unwrap_or_else(|| "the hub gives no keys".to_owned())),
    }
}

async fn of_agent(url: &str, token: &str, storage: &str) -> Result<std::result::Result<Keys, Refusal>> {
    let request = Request::get(format!("{url}{storage}")).header(header::AUTHORIZATION, token);
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Empty::new())?).await.context("the agent is not reached")?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), 1 << 20).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the agent's answer breaks off: {error}"))?.to_bytes();
    if status == StatusCode::OK {
        return Ok(Ok(serde_json::from_slice(&body).context("the agent's answer is not understood")?));
    }
    Ok(Err(serde_json::from_slice(&body).unwrap_or_default()))
}
