//! The ways a driver says no. What it cannot know is told apart from what it knows to be false.

/// The place where servers run could not be asked. Says nothing about any server.
#[derive(Debug, thiserror::Error)]
#[error("the spawner cannot be reached: {0:#}")]
pub struct Unreachable(pub anyhow::Error);

impl Unreachable {
    /// Wraps what went wrong.
    pub fn new(cause: impl Into<anyhow::Error>) -> Self {
        Self(cause.into())
    }
}

/// The state could not be stored, so nothing may be created.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Another hub, or a newer generation, has taken the server over: the start has to end silently.
    #[error("the server has been taken over")]
    Overtaken,
    /// The database did not take it.
    #[error("the state could not be saved: {0:#}")]
    Failed(anyhow::Error),
}

/// Why a user keeps the old name.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// What they have cannot follow them; a sentence for whoever asked.
    #[error("{0}")]
    Refused(String),
    /// Nobody knows what they have.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// Why a start did not lead to a server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It will not be done, now or later, unless someone changes something. Nothing was created.
    #[error("{sentence}")]
    Refused {
        /// A word for machines, such as `no_system_user`.
        code: &'static str,
        /// A sentence for the user.
        sentence: String,
    },
    /// It was tried and did not work.
    #[error("{sentence}")]
    Failed {
        /// A word for machines, such as `command_not_found`.
        code: &'static str,
        /// A sentence for the user.
        sentence: String,
        /// The end of what the server wrote, for the operator and the server's owner; often empty.
        log: String,
    },
    /// Nobody knows whether it worked; a later look tells.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The state could not be stored; what was to follow was not done.
    #[error(transparent)]
    Unsaved(#[from] SaveError),
}

impl StartError {
    /// A start that will not be done.
    pub fn refused(code: &'static str, sentence: impl Into<String>) -> Self {
        Self::Refused { code, sentence: sentence.into() }
    }

    /// A start that did not work, before the server could write anything.
    pub fn failed(code: &'static str, sentence: impl Into<String>) -> Self {
        Self::Failed { code, sentence: sentence.into(), log: String::new() }
    }
}
