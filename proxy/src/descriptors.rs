//! How much may be open with so many descriptors, so that clients wait for one another, and nothing fails for want of one.

use crate::options::Limits;

/// What a connection to a server takes; over TLS it is a socket and a pair.
const PLAIN: u64 = 1;
const OVER_TLS: u64 = 3;
/// One idle connection to a server for so many descriptors, at most.
const FOR_IDLE: u64 = 24;
/// What there is beside: listeners of each thread, files, and who asks for status, metrics and changes. Where there is none
/// left for a pipe, a body goes without.
const OTHERS: u64 = 200;

impl Limits {
    /// The same, with no more connections than so many descriptors let there be. `over_tls` is whether servers speak TLS.
    #[must_use]
    pub fn within(mut self, descriptors: u64, over_tls: bool) -> Self {
        let share = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let of_server = if over_tls { OVER_TLS } else { PLAIN };
        let idle = descriptors / FOR_IDLE;
        let rest = descriptors.saturating_sub(idle * of_server + OTHERS);
        self.max_connections = self.max_connections.min(share(rest / (1 + of_server))).max(1);
        self.pool_all = self.pool_all.min(share(idle));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_23_clients_are_as_many_as_there_are_descriptors_for() {
        let limits = || Limits { max_connections: usize::MAX, ..Limits::default() };
        for over_tls in [false, true] {
            let of_server = if over_tls { OVER_TLS } else { PLAIN };
            for descriptors in [1024, 4096, 20_000, 65_536] {
                let limits = limits().within(descriptors, over_tls);
                let (connections, idle) = (limits.max_connections as u64, limits.pool_all as u64);
                let most = connections * (1 + of_server) + idle * of_server + OTHERS;
                assert!(most <= descriptors && most + 4 > descriptors, "{descriptors}: {most}");
            }
        }
        assert_eq!(limits().within(20_000, false).max_connections, 9483);
        assert_eq!(Limits::default().within(65_536, true).max_connections, 8192);
        assert_eq!(Limits::default().within(100, true).max_connections, 1);
    }
}
