//! Why a server did not start, or ended: kept in its row, shown on pages and told by the API.

use std::time::Duration;

use anyhow::Result;
use hub_core::clock;
use hub_core::life::{Cause, Phase};
use hub_store::Server;
use serde::{Deserialize, Serialize};
use spawners::Sight;

use super::act::{Run, Step};
use super::{Inner, state_of};

/// So many lines of a server's log are kept with its failure.
pub const LOG_LINES: usize = 40;
/// A failure is recorded without a log that takes longer to come.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// A failed start, or a death, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// A word for machines, such as `start_timeout`.
    pub code: String,
    /// The phase it happened in.
    pub phase: Phase,
    /// What happened, one sentence for the user.
    pub message: String,
    /// What the user can do.
    #[serde(default)]
    pub advice: String,
    /// The end of the server's log; may be empty.
    #[serde(default)]
    pub log: String,
    /// When, as JupyterHub writes times.
    pub at: String,
    /// Whether it was refused rather than tried.
    #[serde(default)]
    pub refused: bool,
}

/// Says what a cause means to a person. `seconds` is the length of the deadline that passed, `last` the last reply.
pub fn sentence(cause: Cause, seconds: u64, last: &str) -> (String, &'static str) {
    match cause {
        Cause::StartTimeout => (
            format!("The server was not up after {seconds} seconds."),
            "Try again; if it happens again, tell the people who run this hub.",
        ),
        Cause::NoAnswer if last.is_empty() => (
            format!("The server runs, but gave no answer within {seconds} seconds."),
            "Try again; the log below may tell what it waits for.",
        ),
        Cause::NoAnswer => (
            format!("The server runs, but gave no useful answer within {seconds} seconds: {last}."),
            "Try again; the log below may tell more.",
        ),
        Cause::NoRoute => (
            format!("The server runs, but the proxy did not take its route within {seconds} seconds."),
            "Try again; if it happens again, tell the people who run this hub: the proxy may be down.",
        ),
        Cause::Died => ("The server ended before it was ready.".to_owned(), "The log below may tell why."),
        Cause::Lost => ("The server ended by itself.".to_owned(), "Your files are where they were. Start it again."),
    }
}

/// The word for machines.
pub fn code(cause: Cause) -> &'static str {
    match cause {
        Cause::StartTimeout => "start_timeout",
        Cause::NoAnswer => "no_answer",
        Cause::NoRoute => "no_route",
        Cause::Died => "died",
        Cause::Lost => "lost",
    }
}

/// Counts a failed start, with JupyterHub's words: `failure` for what was refused, `error` for what broke.
fn count(server: &Server, failure: &Failure, now: clock::Time) {
    if server.phase == Phase::Ready {
        // It had started.
        return;
    }
    let took = server.started.and_then(|started| (now - started).to_std().ok()).unwrap_or_default();
    if server.phase == Phase::Routing {
        crate::metrics::route_added(false, took);
    }
    let (status, reason) = match failure.refused {
        true => ("failure", metric_reason(&failure.code)),
        false if failure.code == code(Cause::Died) => ("error", "exited"),
        false => ("error", ""),
    };
    crate::metrics::spawned(status, reason, took);
}

/// A code as the label of a metric. A driver chooses it, and each is a series.
fn metric_reason(code: &str) -> &str {
    let plain =
        code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if plain { code } else { "other" }
}

impl Inner {
    pub(crate) async fn fail(&self, server: &Server, cause: Cause, sight: Option<Sight>, run: &Run) -> Result<Step> {
        // Where there are sites it may have its route before it is asked.
        let asked = !run.last_reply.is_empty() && self.recipe.ways.site_of(server).is_some();
        let cause = if asked && cause == Cause::NoRoute { Cause::NoAnswer } else { cause };
        let limit = match cause {
            Cause::StartTimeout => self.settings.start_timeout,
            _ => self.settings.http_timeout,
        };
        let (mut message, advice) = sentence(cause, limit.as_secs(), &run.last_reply);
        if let Some(Sight::Exited { reason, .. }) = &sight {
            message = format!("{} {reason}", message.trim_end());
        }
        let mut failure = self.failure(server, code(cause), message, self.log_tail(server).await, false);
        failure.advice = advice.to_owned();
        if let (Some(Sight::Absent), Some(site)) = (&sight, self.driver.given_up(state_of(server))) {
            failure.code = "site_given_up".to_owned();
            failure.message = format!("Your server was at {site}, which is out of service.");
            failure.advice = "You can start one at another site. What is stored at that one is not there.".to_owned();
        }
        self.failed(server, &failure).await
    }

    /// Reads the end of what a server wrote; empty when it cannot be had.
    pub(crate) async fn log_tail(&self, server: &Server) -> String {
        let identity = self.identity(server);
        let logs = self.driver.logs(&identity, state_of(server), LOG_LINES);
        tokio::time::timeout(LOG_PATIENCE, logs).await.unwrap_or(Ok(String::new())).unwrap_or_default()
    }

    pub(crate) fn failure(&self, server: &Server, code: &str, message: String, log: String, refused: bool) -> Failure {
        Failure {
            code: code.to_owned(),
            phase: server.phase,
            message,
            advice: String::new(),
            log,
            at: clock::isoformat(self.now()),
            refused,
        }
    }

    /// Records a failure, unless the server is not wanted any more: then nothing has failed.
    pub(crate) async fn failed(&self, server: &Server, failure: &Failure) -> Result<Step> {
        let stored = serde_json::to_value(failure)?;
        let changed = self.store.fail(server.id, &self.holder, server.generation, &stored, self.now()).await?;
        if changed {
            count(server, failure, self.now());
            tracing::warn!(user = server.user_name, server = server.name, code = failure.code, "{}", failure.message);
            self.tell_in_detail(server, 100, Phase::Stopping, &failure.message, None).await;
        }
        Ok(Step::after(changed))
    }
}
