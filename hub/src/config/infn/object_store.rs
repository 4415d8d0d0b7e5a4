//! From the variables to an object store: keys for people, and buckets as folders that the hub mounts beside servers.

use serde_json::{Value, json};

use super::PROVIDER;
use super::read::{Reading, words};

/// What the store is called, and the folder that its buckets are in.
const NAME: &str = "s3";

impl Reading<'_> {
    /// The object store, when its address is told.
    pub(super) fn object_store(&mut self) {
        let (endpoint, buckets) = (self.get("S3_ENDPOINT"), self.get("S3_BUCKET"));
        let fuse = self.flag("WITH_S3FUSE") == Some(true);
        let names = buckets.map(|given| words(&given.text)).unwrap_or_default();
        let Some(endpoint) = endpoint else {
            if let Some(buckets) = buckets {
                self.note(format!("{} counts only with S3_ENDPOINT, which is not set", buckets.from));
            }
            if fuse && self.ground.has_containers() {
                self.note(
                    "WITH_S3FUSE gives servers neither /dev/fuse nor SYS_ADMIN: the hub mounts the buckets of S3_BUCKET at S3_ENDPOINT beside them",
                );
            }
            return;
        };
        let folders: Vec<Value> =
            names.iter().map(|name| json!({ "bucket": name, "folder": format!("/{NAME}/{name}") })).collect();
        let store = json!({
            "name": NAME, "dialect": "minio", "endpoint": endpoint.text, "provider": PROVIDER, "buckets": folders,
        });
        self.set("storage", vec![store], &endpoint.from);
        self.set("spawner.environment.S3_ENDPOINT", endpoint.text.clone(), &endpoint.from);
        if let Some(buckets) = buckets {
            self.set("spawner.environment.S3_BUCKETS", names.join(" "), &buckets.from);
        }
        match (fuse, names.is_empty()) {
            (true, false) => self.set("spawner.mounts.enabled", true, "WITH_S3FUSE"),
            (true, true) => self.note("WITH_S3FUSE mounts nothing: S3_BUCKET names no bucket"),
            (false, _) => {}
        }
    }
}
