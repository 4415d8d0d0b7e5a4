//! Whose server something is, and how that is written on it so that any hub can read it again.

use hub_core::id::{Generation, SpawnerId};

/// One start of one server of one user, on one hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The hub's own mark, made with its database: letters, digits, `-` and `_`.
    pub hub: String,
    /// The row of the server.
    pub spawner: SpawnerId,
    /// Which start of it.
    pub generation: Generation,
    /// The user's name.
    pub user: String,
    /// The server's name; empty for the default one.
    pub server: String,
    /// The user's account, whatever its name is by now: letters, digits and `-`. No two accounts of a hub ever have the same.
    /// The hub always knows it; what a driver reads back may lack it.
    pub account: Option<String>,
}

/// A user who is about to get another name.
#[derive(Debug, Clone, Copy)]
pub struct Renaming<'a> {
    /// The account.
    pub account: &'a str,
    /// Its name so far.
    pub user: &'a str,
    /// Its name from now on.
    pub name: &'a str,
    /// Its servers, as they are known so far. None of them runs.
    pub servers: &'a [Identity],
}

impl Identity {
    /// Returns the part of the identity that is written on what a driver makes.
    pub fn marker(&self) -> Marker {
        Marker { hub: self.hub.clone(), spawner: self.spawner, generation: self.generation }
    }

    /// Whether both are known to be of different accounts. A database that was restored gives the numbers of servers and of
    /// their starts out again.
    pub fn is_anothers(&self, other: &Identity) -> bool {
        matches!((&self.account, &other.account), (Some(own), Some(others)) if own != others)
    }
}

/// What tells a server's processes, containers and pods from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Marker {
    /// The hub's mark.
    pub hub: String,
    /// The row of the server.
    pub spawner: SpawnerId,
    /// Which start of it.
    pub generation: Generation,
}

impl Marker {
    /// Whether both belong to the same server of the same hub, whatever the start.
    pub fn same_server(&self, other: &Marker) -> bool {
        self.hub == other.hub && self.spawner == other.spawner
    }
}

impl std::fmt::Display for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.hub, self.spawner, self.generation)
    }
}

/// The text is no marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form hub:spawner:generation")]
pub struct NoMarker;

impl std::str::FromStr for Marker {
    type Err = NoMarker;

    fn from_str(text: &str) -> Result<Self, NoMarker> {
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).ok_or(NoMarker);
        let (generation, spawner) = (Generation(number()?), SpawnerId(number()?));
        let hub = parts.next().filter(|hub| !hub.is_empty()).ok_or(NoMarker)?;
        Ok(Self { hub: hub.to_owned(), spawner, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_being_written() {
        let marker = Marker { hub: "a:b".into(), spawner: SpawnerId(7), generation: Generation(3) };
        assert_eq!(marker.to_string().parse(), Ok(marker));
    }

    #[test]
    fn what_is_no_marker_is_refused() {
        for text in ["", "::", ":1:2", "hub:1", "hub:1:x", "hub::1", "hub:1:99999999999999999999"] {
            assert_eq!(text.parse::<Marker>(), Err(NoMarker), "{text}");
        }
    }
}
