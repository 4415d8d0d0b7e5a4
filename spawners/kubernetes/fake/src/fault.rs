//! What goes wrong with requests.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What goes wrong with the next requests of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The beginning of `METHOD path`; of a watch, of `WATCH GET path`.
    pub of: String,
    /// How often.
    pub times: usize,
    /// What happens.
    pub how: How,
}

/// How a request goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is answered so, and not done: status, reason, message.
    Says(u16, String, String),
    /// It is done, and answered with a failure.
    Loses,
    /// It is never answered.
    Hangs,
    /// It is done after so many milliseconds.
    Late(u64),
    /// A list is as it was when [`crate::Fake::remember`] was called, as by an API server that lags behind. What is begun with
    /// it tells what came after.
    Stale,
    /// Nothing goes wrong.
    Passes,
}

impl Fault {
    /// The same in one line.
    pub fn new(of: impl Into<String>, times: usize, how: How) -> Self {
        Self { of: of.into(), times, how }
    }
}

impl How {
    /// An answer that is no success.
    pub fn says(code: u16, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Says(code, reason.into(), message.into())
    }
}

/// What is still to go wrong; the first that fits a request counts.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What goes wrong with a request; it has happened then.
    pub fn take(&self, line: &str) -> How {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = faults.iter().position(|fault| fault.times > 0 && line.starts_with(&fault.of)) else {
            return How::Passes;
        };
        let Some(fault) = faults.get_mut(at) else { return How::Passes };
        fault.times -= 1;
        let how = fault.how.clone();
        faults.retain(|fault| fault.times > 0);
        how
    }
}
