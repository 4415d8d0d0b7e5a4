//! Specola's server: pages, REST API, OAuth provider and the keeper of people's servers.

pub mod announcements;
pub mod api;
pub mod app;
pub mod audit;
pub mod changes;
pub mod command;
pub mod config;
pub mod control;
pub mod events;
pub mod hook;
pub mod http;
pub mod instance;
pub mod intent;
pub mod keeper;
pub mod login;
pub mod memory;
pub mod metrics;
pub mod oauth;
pub mod page;
pub mod people;
pub mod roles;
pub mod run;
pub mod service;
pub mod sharing;
pub mod start;
pub mod task;
