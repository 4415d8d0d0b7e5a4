//! The running proxy of this configuration. What a container's health check asks.

use super::finding::Finding;
use crate::config::Config;
use crate::start;

const ABOUT: &str = "proxy";

/// Asks it for its status.
pub async fn check(config: &Config, asked: bool) -> Vec<Finding> {
    let proxy = start::proxy_process(config);
    vec![match proxy.status().await {
        Ok(status) => Finding::good(ABOUT, format!("listens on {}", status.listen.join(", "))),
        Err(error) if asked => Finding::bad(
            ABOUT,
            format!("does not answer: {error:#}"),
            "Start it: specola serve, or specola serve --proxy",
        ),
        Err(_) => Finding::skipped(ABOUT, "does not run here"),
    }]
}
