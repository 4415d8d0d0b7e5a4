//! What is to be mounted for a server, as it is kept on disk: the one truth for whichever hub looks after it.

use std::fs;
use std::io;

use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};
use serde::{Deserialize, Serialize};
use spawners::{Identity, Mount};

use crate::place::{self, Place};

/// One server's folders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    hub: String,
    spawner: SpawnerId,
    generation: Generation,
    user: String,
    server: String,
    /// Whose the files are.
    pub owner: (u32, u32),
    /// What the server has, or had.
    pub mounts: Vec<Mount>,
    /// What it had at an earlier start and has no more, and that is not wholly uploaded.
    #[serde(default)]
    pub left: Vec<Mount>,
    /// How far it is.
    pub stage: Stage,
    /// The server was deleted: there is no next start.
    #[serde(default)]
    pub forgotten: bool,
}

/// How far a server's folders are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The server runs, or is about to.
    Up,
    /// The server has ended; its uploads go on.
    Draining {
        /// When it was seen that it has ended.
        since: Time,
    },
    /// The time was up; the cache waits for the next start.
    Kept,
}

impl Note {
    pub fn new(server: &Identity, owner: (u32, u32), mounts: Vec<Mount>) -> Self {
        Self {
            hub: server.hub.clone(),
            spawner: server.spawner,
            generation: server.generation,
            user: server.user.clone(),
            server: server.server.clone(),
            owner,
            mounts,
            left: Vec::new(),
            stage: Stage::Up,
            forgotten: false,
        }
    }

    pub fn identity(&self) -> Identity {
        Identity {
            hub: self.hub.clone(),
            spawner: self.spawner,
            generation: self.generation,
            user: self.user.clone(),
            server: self.server.clone(),
            account: None,
        }
    }

    /// Reads a server's note.
    pub fn load(place: &Place) -> io::Result<Option<Self>> {
        let Some(text) = place::absent_is_none(fs::read(place.note()))? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(io::Error::from)
    }

    pub fn save(&self, place: &Place) -> io::Result<()> {
        place::write(&place.note(), &serde_json::to_vec(self)?)
    }
}
