//! What a driver saw.

use hub_core::life::Seen;
use serde_json::Value;

use crate::Identity;

/// What one look at a server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// There is no such server, and nothing is left of it.
    Absent,
    /// It is being made, and has no address yet.
    Coming,
    /// It runs under this address, such as `http://127.0.0.1:40123/user/anna/`. Whether it answers is for others to ask.
    Up {
        /// Where the hub and the proxy reach it.
        url: String,
    },
    /// It ended by itself, and left remains that `stop` clears away.
    Exited {
        /// Its exit code, or the negative number of the signal that ended it; absent when nobody saw it end.
        code: Option<i32>,
        /// A sentence for people.
        reason: String,
    },
}

impl Sight {
    /// Returns what the life of a server wants to know of it.
    pub fn seen(&self) -> Seen {
        match self {
            Self::Absent => Seen::Absent,
            Self::Coming => Seen::Coming,
            Self::Up { .. } => Seen::Up,
            Self::Exited { .. } => Seen::Exited,
        }
    }
}

/// A server that has an address.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Where the hub and the proxy reach it, as in [`Sight::Up`].
    pub url: String,
    /// Its state, as it was saved last.
    pub state: Value,
}

/// Something in the world that carries this hub's mark.
#[derive(Debug, Clone, PartialEq)]
pub struct Owned {
    /// Whose it is.
    pub identity: Identity,
    /// A state with which `look` and `stop` find it.
    pub state: Value,
}
