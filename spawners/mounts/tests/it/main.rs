//! Buckets as folders, with real rclone, real FUSE and an object store (moto) over real HTTP. Needs root.

mod folders;
mod ground;
mod uploads;
