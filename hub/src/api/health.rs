//! `GET /health/ready`: whether the hub can do its work. `GET /health`, in `hub.rs`, asks nobody.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::app::App;
use crate::http::Answer;

/// Where servers run has failed when nothing was heard of it for longer: a watch is begun anew every minute.
const SILENCE: Duration = Duration::from_secs(150);

/// A part that says nothing for longer is not ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// `GET /health/ready`: 200, or 503 with the part that is missing. Says nothing about what is the matter with it: that is
/// in the log, and anybody may ask here.
pub async fn ready(app: web::Data<App>) -> Answer {
    // One after the other: whether a proxy is there is in the database.
    let database = in_time(app.store.ping()).await;
    let proxy = database && in_time(has_proxy(&app)).await;
    let mut parts = json!({ "database": word(database), "proxy": if database { word(proxy) } else { "unknown" } });
    // People reach their servers, and the hub's pages, also while it is away: it is only told.
    if let Some(ago) = app.driver.heard() {
        parts["cluster"] = word(is_heard(ago)).into();
    }
    let status = if database && proxy && !app.is_leaving() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(HttpResponse::build(status).insert_header(("Cache-Control", "no-store")).json(json!({
        "ready": status == StatusCode::OK,
        "parts": parts,
    })))
}

fn word(well: bool) -> &'static str {
    if well { "ok" } else { "failed" }
}

/// Whether where servers run was heard of lately.
fn is_heard(ago: Duration) -> bool {
    ago <= SILENCE
}

/// Whether a proxy has been heard lately.
async fn has_proxy(app: &App) -> anyhow::Result<()> {
    let connected = app.keeper.proxies().await?;
    anyhow::ensure!(!connected.is_empty(), "no proxy has been heard");
    Ok(())
}

async fn in_time<E: std::fmt::Display>(answer: impl Future<Output = Result<(), E>>) -> bool {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!("not ready: {error}");
            false
        }
        Err(_) => {
            tracing::warn!("not ready: no answer within {PATIENCE:?}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_is_begun_anew_each_minute_is_heard_of() {
        let minutes = |minutes: u64| is_heard(Duration::from_secs(60 * minutes));
        assert_eq!((minutes(0), minutes(2), minutes(3)), (true, true, false));
    }
}
