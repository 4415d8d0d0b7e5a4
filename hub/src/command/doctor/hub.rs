//! The running hub of this configuration. What a container's health check asks.

use std::time::Duration;

use serde_json::Value;

use super::finding::Finding;
use crate::config::Config;
use crate::login::oidc::http::Client;

const ABOUT: &str = "hub";
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks it whether it is ready.
pub async fn check(config: &Config, asked: bool) -> Vec<Finding> {
    let port = config.hub.hub_port;
    let host = match config.hub.hub_ip.as_str() {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        other => other,
    };
    let origin = format!("http://{}", crate::config::address::join(host, port));
    let url = format!("{origin}{}hub/health/ready", config.hub.base_path().as_str());
    let answer = match Client::new(None, PATIENCE) {
        Ok(client) => client.get(&url, None).await.map_err(|trouble| trouble.to_string()),
        Err(error) => Err(error),
    };
    vec![match answer {
        Ok(answer) if answer.status.is_success() => Finding::good(ABOUT, "is ready"),
        Ok(answer) => {
            let parts: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let missing = ["database", "proxy"].into_iter().filter(|part| parts["parts"][part] == "failed");
            let missing: Vec<&str> = missing.collect();
            let what = if missing.is_empty() {
                format!("answers {}", answer.status)
            } else {
                format!("runs without {}", missing.join(" and "))
            };
            Finding::bad(ABOUT, what, "The hub's log says why")
        }
        Err(trouble) if asked => {
            Finding::bad(ABOUT, format!("does not answer at {origin}: {trouble}"), "Start it: specola serve")
        }
        Err(_) => Finding::skipped(ABOUT, format!("does not run here at {origin}")),
    }]
}
