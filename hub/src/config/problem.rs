//! What is wrong with a configuration: one line a problem, with the place and the remedy.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line, counted from 1, of a file.
    File {
        /// The file as it was named.
        path: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// One problem: the key, what is wrong with it and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The option, with dots: `hub.bind_url`; empty when it concerns the file as a whole.
    pub key: String,
    /// What is wrong, as the rest of a sentence that begins with the key.
    pub what: String,
    /// What to do, as a sentence; may be empty.
    pub remedy: String,
    /// Where the value was written, when it was.
    pub origin: Option<Origin>,
}

impl Problem {
    /// A problem of one key. Its place is looked up afterwards.
    pub fn new(key: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), remedy: remedy.into(), origin: None }
    }

    /// The same with its place.
    pub fn at(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin;
        self
    }

    fn place(&self) -> (u8, &str, usize) {
        match &self.origin {
            Some(Origin::File { path, line }) => (0, path, *line),
            Some(Origin::Environment(name)) => (1, name, 0),
            None => (2, &self.key, 0),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, ". {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, at once, in the order of the file. Never empty.
#[derive(Debug, Clone)]
pub struct ConfigErrors(pub Vec<Problem>);

impl ConfigErrors {
    /// Sorts the problems by place; one key is not blamed twice for the same reason.
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.place().cmp(&b.place()));
        problems.dedup();
        Self(problems)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
