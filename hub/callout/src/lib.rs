//! Asks a program or an address that the operator chose: one JSON object there, one JSON object back.
//!
//! It knows nothing of what is asked. Whatever is at the other end may be missing, slow, broken or hostile: every
//! question has a time limit, every answer a size, and there is room for so many at once. Nothing is asked twice.

mod answer;
pub mod command;
mod excerpt;
mod sign;
mod trouble;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use hub_core::secret::Secret;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub use answer::object;
pub use excerpt::excerpt;
pub use sign::{HEADER, signature};
pub use trouble::Trouble;

/// The version of the questions, told in each as `specola`.
pub const VERSION: u8 = 1;

/// Who is asked.
#[derive(Debug, Clone)]
pub enum Target {
    /// A program with its arguments; no shell. It reads the question and writes the answer.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Its whole environment, beside a search path and a locale.
        environment: BTreeMap<String, String>,
    },
    /// An address the question is posted to.
    Webhook {
        /// `http://` or `https://`.
        url: String,
        /// What the question is signed with.
        secret: Option<Secret>,
    },
}

/// How long, how much, how many.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From the question to the whole answer, waiting for room included.
    pub limit: Duration,
    /// The largest answer, in bytes.
    pub answer_bytes: usize,
    /// So many questions at once; others wait.
    pub at_once: usize,
}

/// The largest answer without a reason for another bound.
pub const ANSWER_BYTES: usize = 1 << 20;

/// Somebody who can be asked.
#[derive(Debug)]
pub struct Callout {
    target: Target,
    bounds: Bounds,
    room: Semaphore,
    client: webhook::Client,
}

impl Callout {
    /// Nothing is started or connected yet.
    pub fn new(target: Target, bounds: Bounds) -> Self {
        Self { target, bounds, room: Semaphore::new(bounds.at_once.max(1)), client: webhook::Client::default() }
    }

    /// Who is asked.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The bounds of each question.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Asks, and returns the object that was answered; one without members when nothing was said.
    ///
    /// Dropping the future kills the program and what it started, as the time limit does.
    pub async fn ask(&self, question: &Value) -> Result<Map<String, Value>, Trouble> {
        self.ask_within(question, self.bounds.limit).await
    }

    /// The same with a shorter time limit.
    pub async fn ask_within(&self, question: &Value, limit: Duration) -> Result<Map<String, Value>, Trouble> {
        let deadline = Instant::now() + limit.min(self.bounds.limit);
        let _room = match timeout_at(deadline, self.room.acquire()).await {
            Ok(Ok(room)) => room,
            _ => return Err(Trouble::Busy(self.bounds.at_once)),
        };
        let asked = async {
            match &self.target {
                Target::Command { argv, environment } => {
                    command::ask(argv, environment, question, self.bounds.answer_bytes).await
                }
                Target::Webhook { url, secret } => {
                    self.client.ask(url, secret.as_ref(), question, self.bounds.answer_bytes).await
                }
            }
        };
        let bytes = timeout_at(deadline, asked).await.map_err(|_| Trouble::Late(limit.min(self.bounds.limit)))??;
        object(&bytes)
    }
}
