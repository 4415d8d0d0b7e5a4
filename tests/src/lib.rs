//! What the black-box tests are made of: the real binary, a real JupyterHub, an HTTP session, a kernel client, a browser.
//!
//! Nothing here links to the hub. A `Specola` and a `JupyterHub` are met through the same `Session`, `Kernel` and
//! `Browser`, because serving the same clients the same way is what the product promises.

pub mod account;
pub mod browser;
pub mod docker;
pub mod dockerd;
pub mod elsewhere;
pub mod fake_kubernetes;
pub mod jupyterhub;
pub mod kernel;
pub mod keycloak;
pub mod kubernetes;
pub mod mark;
pub mod object_store;
pub mod pebble;
pub mod place;
pub mod postgres;
pub mod provider;
pub mod registry;
pub mod replicas;
pub mod session;
pub mod sites;
pub mod slapd;
pub mod slurm;
pub mod specola;
pub mod wait;

pub use browser::Browser;
pub use fake_kubernetes::FakeKubernetes;
pub use jupyterhub::JupyterHub;
pub use kernel::Kernel;
pub use keycloak::Keycloak;
pub use mark::Mark;
pub use provider::Provider;
pub use replicas::Replicas;
pub use session::{Answer, Body, Session};
pub use sites::TwoSites;
pub use specola::Specola;
pub use wait::until;
