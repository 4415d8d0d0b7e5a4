//! The ways a question stays without an answer, in words for the operator. People are told another sentence.

use std::time::Duration;

/// Why there is no answer. It says nothing of what the answer would have been.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The program is not there, or may not be run.
    #[error("{program} cannot be started: {cause}")]
    NotStarted {
        /// The program.
        program: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The time was over. A program was killed then, with all it had started.
    #[error("no answer within {} seconds", .0.as_secs_f64())]
    Late(Duration),
    /// The answer went on beyond its bound, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooMuch(usize),
    /// The program ended, and not with exit status 0.
    #[error("it ended with {status}{}", said(.stderr))]
    Failed {
        /// Its exit status or the signal that ended it.
        status: std::process::ExitStatus,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// The answer is not one JSON object.
    #[error("the answer is not understood ({why}){}", said(.end))]
    Garbage {
        /// What is wrong with it.
        why: String,
        /// Its end.
        end: String,
    },
    /// So many questions are being asked already.
    #[error("{0} questions are being asked already, and none was answered in time")]
    Busy(usize),
    /// The address gives no answer.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It answered with another status than 200 or 204.
    #[error("it answered with status {status}{}{}", hint(*.status), said(.body))]
    Status {
        /// The status.
        status: u16,
        /// The end of its body.
        body: String,
    },
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn hint(status: u16) -> &'static str {
    if (300..400).contains(&status) { " (redirects are not followed)" } else { "" }
}
