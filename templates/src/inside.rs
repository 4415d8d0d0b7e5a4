//! What a running server tells of itself, by the agent in it.

use crate::Words;
use crate::words::fill;

/// How a server is from inside.
#[derive(Debug, Clone)]
pub struct Inside {
    /// Whether everything is at hand there.
    pub ready: bool,
    /// What is not, folders left out.
    pub lacks: Vec<Lack>,
}

/// Something that is not at hand in a server.
#[derive(Debug, Clone)]
pub struct Lack {
    /// What.
    pub what: Thing,
    /// Why, in a sentence.
    pub why: String,
}

/// What a server is to have.
#[derive(Debug, Clone)]
pub enum Thing {
    /// The person's access token.
    Token,
    /// Keys of the object store of this name.
    Keys(String),
}

impl Lack {
    /// What it is, in words.
    pub fn name(&self, words: &Words) -> String {
        match &self.what {
            Thing::Token => words.inside_token.to_owned(),
            Thing::Keys(storage) => fill(words.inside_keys, storage),
        }
    }

    /// How it is, in words.
    pub fn says(&self, words: &Words) -> String {
        fill(words.inside_lacks, &self.why)
    }
}
