//! JupyterHub's REST API, one file a resource. Shapes are in `view`, rights in the handlers' signatures.

pub mod access_token;
pub mod activity;
pub mod admin;
pub mod announcements;
pub mod audit;
pub mod authorizations;
pub mod body;
pub mod facade;
pub mod groups;
pub mod health;
pub mod hub;
pub mod lab_status;
pub mod listing;
pub mod metrics;
pub mod progress;
pub mod proxy;
pub mod servers;
pub mod services;
pub mod share_codes;
pub mod shared;
pub mod shares;
pub mod spawn_options;
pub mod storage;
pub mod tokens;
pub mod users;
pub mod view;
