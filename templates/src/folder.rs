//! A folder of a server that is a bucket of an object store, and how it is.

use hub_core::policy::amount;

use crate::Words;
use crate::words::fill;

/// A folder as the home page shows it.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where the server sees it: `/s3/anna`.
    pub path: String,
    /// How it is.
    pub state: FolderState,
    /// Why the server does not see it, though it is there.
    pub unseen: Option<String>,
}

/// How a folder is.
#[derive(Debug, Clone)]
pub enum FolderState {
    /// All that was written is in the store.
    Ready,
    /// So many files are on their way.
    Uploading(u64),
    /// So many files wait, and do not get through.
    Behind(u64),
    /// Nothing more can be written, and so many files wait: there is no room for them.
    Full(u64),
    /// It is not there, for this reason.
    Broken(String),
    /// The server has ended, and so many files are on their way.
    Draining(u64),
    /// So many files, of so many bytes, are kept for the next start.
    Kept(u64, u64),
}

impl Folder {
    /// The name of its style and of `data-state`.
    pub fn style(&self) -> &'static str {
        match self.state {
            _ if self.unseen.is_some() => "failed",
            FolderState::Ready => "ready",
            FolderState::Uploading(_) | FolderState::Draining(_) => "working",
            FolderState::Behind(_) | FolderState::Kept(..) => "warning",
            FolderState::Full(_) | FolderState::Broken(_) => "failed",
        }
    }

    /// Whether it will be another soon.
    pub fn moves(&self) -> bool {
        matches!(self.state, FolderState::Uploading(_) | FolderState::Draining(_))
    }

    /// How it is, in words.
    pub fn says(&self, words: &Words) -> String {
        let files = |files: u64| match files {
            1 => words.folder_file.to_owned(),
            files => fill(words.folder_files, files),
        };
        if let Some(why) = &self.unseen {
            return fill(words.folder_unseen, why);
        }
        match &self.state {
            FolderState::Ready => words.folder_ready.to_owned(),
            FolderState::Uploading(number) => fill(words.folder_uploading, files(*number)),
            FolderState::Behind(number) => fill(words.folder_behind, files(*number)),
            FolderState::Full(number) => fill(words.folder_full, files(*number)),
            FolderState::Broken(reason) => fill(words.folder_broken, reason),
            FolderState::Draining(number) => fill(words.folder_draining, files(*number)),
            FolderState::Kept(number, bytes) => fill(&fill(words.folder_kept, files(*number)), amount::bytes(*bytes)),
        }
    }
}
