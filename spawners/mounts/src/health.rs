//! How a folder is, as its person is told.

use serde::Serialize;

/// One folder of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Its name.
    pub name: String,
    /// Where the server sees it.
    pub path: String,
    /// How it is.
    #[serde(flatten)]
    pub state: State,
}

/// How a folder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// It is there, and everything written is in the store.
    Ready,
    /// It is there, and so many files are on their way to the store.
    Uploading {
        /// How many.
        files: u64,
    },
    /// It is there, but uploads do not get through; they are tried again.
    Behind {
        /// How many wait.
        files: u64,
    },
    /// It is there, and nothing more can be written: the disk for what is on its way to the store is full.
    Full {
        /// How many files wait.
        files: u64,
    },
    /// It is not there; it is tried again.
    Broken {
        /// A sentence for the person.
        reason: String,
    },
    /// The server has ended, and so many files are still on their way to the store.
    Draining {
        /// How many.
        files: u64,
    },
    /// The server has ended, and these files were not uploaded in time: they are kept for its next start.
    Kept {
        /// How many.
        files: u64,
        /// How many bytes in all.
        bytes: u64,
    },
}
