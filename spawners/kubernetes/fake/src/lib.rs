//! An API server for tests, which keeps objects, tells of changes, and fails as it is told to; with a kubelet that brings
//! pods up, and labs that answer in their place. Tests of the driver have it in their own process, those of the whole hub
//! as a program (`tests/src/bin/fake-kubernetes`). The same tests against a real cluster keep it honest.
//!
//! | Part | What it has |
//! |---|---|
//! | `fake.rs` | what tests do with it |
//! | `serve.rs`, `question.rs`, `watch.rs` | requests: what they ask for, and what they get |
//! | `store.rs` | the objects, and what has changed |
//! | `kubelet.rs` | what a node does with a pod |
//! | `lab.rs` | the servers in pods |
//! | `fault.rs` | what goes wrong |
//! | `control.rs` | the same for another process, over HTTP |

mod control;
mod fake;
mod fault;
mod kubelet;
mod lab;
mod question;
mod serve;
mod store;
mod watch;

pub use fake::{Fake, Options};
pub use fault::{Fault, How};
pub use kubelet::Pace;
