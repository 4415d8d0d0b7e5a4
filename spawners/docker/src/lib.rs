//! Servers as containers of a Docker engine, with the options of DockerSpawner.
//!
//! A container is known by its labels, never by its name. What the engine was asked and did not answer says nothing
//! about any server.

mod about;
mod address;
mod agent;
mod arrival;
mod command;
mod config;
mod container;
mod docker_py;
mod driver;
mod ending;
mod engine;
mod extra;
mod gate;
mod image;
mod label;
mod layers;
mod login;
mod logs;
mod make;
mod memory;
mod mount;
mod name;
mod network;
mod part;
mod pull;
mod refusal;
mod risk;
mod shape;
mod start;
mod stop;
mod volume;
mod watch;

pub use config::{Config, Endpoint, Tls};
pub use driver::{ABILITIES, Docker};
pub use login::{Login, Logins};
pub use name::Escape;
pub use risk::Risk;
pub use shape::{PullPolicy, Shape};
