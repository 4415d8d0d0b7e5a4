//! Every store function on both databases, and the databases exchanged with the real JupyterHub.

// Helpers of tests may panic as the tests themselves do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;
mod postgres;
mod relay;

mod accounts;
mod after_stop;
mod announcements;
mod audit;
mod census;
mod claims;
mod cull;
mod devices;
mod failover;
mod groups;
mod identities;
mod intents;
mod jupyterhub;
mod labs;
mod lists;
mod login;
mod many;
mod membership;
mod oauth;
mod open;
mod progress;
mod reservations;
mod role_origins;
mod role_sync;
mod roles;
mod routes;
mod servers;
mod services;
mod shares;
mod sites;
mod tokens;
mod trash;
mod trouble;
mod upgrade;
mod upstreams;
mod usage;
mod version;
