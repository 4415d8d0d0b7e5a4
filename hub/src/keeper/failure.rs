//! Why a server did not start, or ended: kept in its row, shown on pages and told by the API.

use hub_core::life::{Cause, Phase};
use serde::{Deserialize, Serialize};

/// So many lines of a server's log are kept with its failure.
pub const LOG_LINES: usize = 40;

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
