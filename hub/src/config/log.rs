//! `[log]`: how much is written to standard error, and in which form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is written to standard error.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or parts apart: `info,specola::keeper=debug`.
    pub level: String,
    /// Lines for people, or one JSON object a line for machines.
    pub format: LogFormat,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}
