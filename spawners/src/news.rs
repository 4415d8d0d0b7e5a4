//! What a driver tells of servers without being asked.

use hub_core::clock::Time;
use hub_core::id::SpawnerId;

use crate::Identity;

/// One thing that a driver noticed. It may be lost, and may come twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This server is worth a fresh look: it may have died.
    Look(SpawnerId),
    /// Some news were lost: any server may be worth a look.
    Missed,
    /// The memory of a server was full.
    MemoryFull(MemoryFull),
}

/// The memory of a server was full, and the kernel ended one of its processes. The server itself may well run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryFull {
    /// Whose it is.
    pub server: Identity,
    /// Whether it is started again as it is, so that the generation in its identity is that of its first start.
    pub kept: bool,
    /// When, by the clock of the machine where it runs.
    pub at: Time,
    /// How much memory it may have, in bytes; absent where the machine's is the limit.
    pub limit: Option<u64>,
}
