//! The keeper and the survey with a real database, a scripted spawner, a lab that is a real listener, and a clock that
//! only tests move; beside them (`web`) pages and API in process. Whole hubs as processes are in the package `tests`.

// Helpers of tests may panic as the tests themselves do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adoption;
mod cancel;
mod cull;
mod database;
mod devices;
mod driver;
mod failure;
mod harness;
mod lab;
mod life;
// With what the store's own tests need besides.
#[allow(dead_code)]
#[path = "../../store/tests/it/postgres.rs"]
mod postgres;
mod routes;
mod sites;
mod survey;
mod takeover;
mod trouble;
mod volumes;
mod web;
