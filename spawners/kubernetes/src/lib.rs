//! Servers as pods of a Kubernetes cluster, with the options of KubeSpawner.
//!
//! A pod is known by its labels, never by its name. What the cluster was asked and did not answer says nothing about any
//! server.

mod bind;
mod cache;
mod claim;
mod cluster;
mod config;
mod discard;
mod driver;
mod ear;
mod ending;
mod events;
mod executors;
mod going;
#[cfg(test)]
mod golden;
mod hook;
mod judge;
mod label;
mod lay;
mod make;
mod name;
mod papers;
mod pod;
mod puller;
mod refusal;
mod rename;
mod rollout;
mod secret;
mod serve;
mod shape;
mod slug;
mod space;
mod start;
mod stop;
mod tie;
mod together;

pub use bind::NamespaceBinding;
pub use config::{Access, Config};
pub use driver::{ABILITIES, Kubernetes};
pub use executors::{ExecutorNamespaces, Executors};
pub use name::SlugScheme;
pub use puller::{ImagePuller, PullerConfig};
pub use rollout::daemon_set_ready;
pub use secret::SharedSecret;
pub use shape::{Amount, Items, Named, Shape};
pub use space::NamespacePolicy;
