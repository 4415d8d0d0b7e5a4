//! Buckets as folders, with real rclone, real FUSE and an object store (moto) over real HTTP. Needs root.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod folders;
mod full;
mod ground;
mod uploads;
