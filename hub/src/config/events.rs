//! `[events]`: where starts and stops of servers are told to other programs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Starts and stops of servers for other programs: JupyterHub's event `server-action`, one JSON object a line.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventsConfig {
    /// The file they are appended to; `-` for standard output. Without one, none are written.
    #[schemars(extend("format" = "path"))]
    pub file: Option<PathBuf>,
}
