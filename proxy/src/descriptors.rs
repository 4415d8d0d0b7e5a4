//! How much may be open with so many descriptors, so that clients wait for one another, and nothing fails for want of one.

use crate::{options::Limits, splice};

/// What a client has at most: its connection, and one to a server over TLS, which takes a socket and a pair. Pipes have a
/// part of their own.
const OF_CLIENT: u64 = 4;
/// What an idle connection to a server takes.
const OF_IDLE: u64 = 3;
/// Of all, idle connections take a part at most.
const IDLE_PART: u64 = 8;
/// What there is beside: listeners of each thread, files, and who asks for status, metrics and changes.
const OTHERS: u64 = 200;

impl Limits {
    /// The same, with no more connections than so many descriptors let there be.
    #[must_use]
    pub fn within(mut self, descriptors: u64) -> Self {
        let share = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let idle = descriptors / IDLE_PART;
        let rest = descriptors.saturating_sub(descriptors / splice::PART + idle + OTHERS);
        self.max_connections = self.max_connections.min(share(rest / OF_CLIENT)).max(1);
        self.pool_all = self.pool_all.min(share(idle / OF_IDLE));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_23_clients_are_as_many_as_there_are_descriptors_for() {
        let cases = [(1 << 20, 8192, 4096), (65_536, 8192, 2730), (4096, 718, 170), (1024, 142, 42), (100, 1, 4)];
        for (descriptors, connections, idle) in cases {
            let limits = Limits::default().within(descriptors);
            assert_eq!((limits.max_connections, limits.pool_all), (connections, idle), "{descriptors}");
            let pipes = descriptors / splice::PART;
            let most = connections as u64 * OF_CLIENT + idle as u64 * OF_IDLE + pipes + OTHERS;
            assert!(most <= descriptors.max(OTHERS + 100), "{descriptors}");
        }
    }
}
