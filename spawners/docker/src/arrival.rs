//! What one look at a container comes to.

use spawners::{Sight, Unreachable};

use crate::address;
use crate::container::{Container, Doing};
use crate::driver::Parts;
use crate::ending;

/// So many lines are searched for why a server ended.
const LINES: usize = 40;

impl Parts {
    pub(crate) async fn sight(&self, container: &Container) -> Result<Sight, Unreachable> {
        Ok(match container.doing() {
            // Whoever made it died before starting it, and the next start makes it anew.
            Doing::Created => Sight::Absent,
            _ if container.is_at_rest() => Sight::Absent,
            Doing::Changing => Sight::Coming,
            Doing::Running => match address::of(container, &self.config) {
                Some(url) => Sight::Up { url },
                None => Sight::Coming,
            },
            Doing::Ended => {
                let state = container.0.state.clone().unwrap_or_default();
                let limit = container.0.host_config.as_ref().and_then(|host| host.memory);
                // Without the log there is less to tell, and that is all.
                let tail = self.engine.tail(container.id(), LINES).await.unwrap_or_default();
                let memory = self.engine.ended_by_memory(container.id(), &state).await;
                let (code, reason) = ending::reason(&state, memory.then_some(limit), &tail);
                Sight::Exited { code, reason }
            }
        })
    }
}
