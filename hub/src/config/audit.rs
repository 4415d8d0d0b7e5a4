//! `[audit]`: how long it is remembered who did what.

use schemars::JsonSchema;
use serde::Deserialize;

/// The record of who did what to whom. It cannot be turned off.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuditConfig {
    /// For how many days acts are kept; 0 means for ever. Nothing else deletes them.
    #[schemars(range(max = 36500))]
    pub keep_days: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { keep_days: 365 }
    }
}
