//! Black-box tests, one module a way through the house.

mod adoption;
mod advisories;
mod bad_input;
mod bridge;
mod change_of_hands;
mod crash;
mod cull;
mod database;
mod description;
mod fault;
mod flow;
mod hooks;
mod jupyterhub_suite;
mod life;
mod likeness;
mod login;
mod observe;
mod pages;
mod proxy;
mod quickstart;
mod reference;
mod restart;
mod server_proxy;
mod services;
mod sharing;
mod singleuser;
