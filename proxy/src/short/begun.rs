//! What goes to hyper of a connection, and of a request that was begun.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    budget::Turn,
    dial,
    error_page::Fault,
    pool::{Lease, Line},
    relay,
    rewound::Rewound,
    route::Route,
    state::Shared,
};

/// What was read of the client, and what was begun of its first request.
#[derive(Default)]
pub(crate) struct Rest {
    pub(crate) read: Bytes,
    pub(crate) begun: Option<Box<Begun>>,
}

/// A request that was counted and let in.
pub(crate) struct Begun {
    pub(crate) begin: Instant,
    pub(crate) route: Arc<Route>,
    pub(crate) turn: Option<Turn>,
    pub(crate) way: Way,
}

/// How far it came.
pub(crate) enum Way {
    /// Not to the server; it may be sent.
    Open,
    /// It was sent on a connection, which was used before or not, but for what hyper reads of its body. `bare` is whether it
    /// never had one. So much of the answer was read.
    Sent { line: Line, reused: bool, bare: bool, read: Bytes },
    /// To its end.
    Failed(Fault),
}

/// A connection on which the request was sent.
pub(crate) struct Opened {
    pub(crate) lease: Lease,
    /// Whether it was used before.
    pub(crate) reused: bool,
    /// Whether hyper has all of the request, and may send it again.
    pub(crate) whole: bool,
}

impl Way {
    pub(crate) async fn opened(self, shared: &Shared, route: &Route) -> Result<Option<Opened>, Fault> {
        match self {
            Self::Open => Ok(None),
            Self::Failed(fault) => Err(fault),
            Self::Sent { line, reused, bare, read } => {
                let driven = dial::drive(shared, route, Rewound::asked(line.stream, read)).await;
                let opened = |lease| Some(Opened { lease, reused, whole: bare });
                driven.map(opened).map_err(|error| relay::no_answer(&error))
            }
        }
    }
}
