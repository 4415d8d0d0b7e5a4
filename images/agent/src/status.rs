//! `status.json`: how it stands with each thing the agent keeps, for people and programs in the lab.
//!
//! `ready` is true while everything that is to be had is at hand, and folders that are mounted are well. The hub is told the
//! same.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::folder::Folder;
use crate::folders::Seen;
use crate::hub::Refusal;

const FILE: &str = "status.json";

/// How one thing stands.
#[derive(PartialEq)]
struct Part {
    told: Value,
    is_well: bool,
}

/// Who writes the file.
pub struct Status {
    folder: Folder,
    parts: Mutex<Parts>,
    changed: Notify,
}

#[derive(Default)]
struct Parts {
    token: Option<Part>,
    storage: BTreeMap<String, Option<Part>>,
    folders: BTreeMap<String, Part>,
}

impl Status {
    /// In a folder, for these storages. Nothing is ready yet.
    pub fn new(folder: Folder, storage: &[String]) -> Self {
        let storage = storage.iter().map(|name| (name.clone(), None)).collect();
        let parts = Mutex::new(Parts { storage, ..Parts::default() });
        let status = Self { folder, parts, changed: Notify::new() };
        status.change(|_| {});
        status
    }

    /// There is a token; it ends in so many seconds.
    pub fn token_kept(&self, seconds: Option<u64>) {
        self.change(|parts| parts.token = Some(Part::well(json!(seconds))));
    }

    /// There is none.
    pub fn token_refused(&self, refusal: &Refusal) {
        // A hub that keeps no tokens of this person never will have any.
        let is_well = refusal.status == 404;
        self.change(|parts| parts.token = Some(Part { is_well, ..Part::refused(refusal) }));
    }

    /// There are keys; they end in so many seconds.
    pub fn keys_kept(&self, storage: &str, seconds: u64) {
        self.change(|parts| drop(parts.storage.insert(storage.to_owned(), Some(Part::well(json!(seconds))))));
    }

    /// There are none, or none that last.
    pub fn keys_refused(&self, storage: &str, refusal: &Refusal) {
        self.change(|parts| drop(parts.storage.insert(storage.to_owned(), Some(Part::refused(refusal)))));
    }

    /// How folders are that are mounted in this lab.
    pub fn folders_seen(&self, seen: &[(String, Seen)]) {
        let part = |(path, seen): &(String, Seen)| {
            let (told, is_well) = seen.told();
            (path.clone(), Part { told, is_well })
        };
        let folders: BTreeMap<String, Part> = seen.iter().map(part).collect();
        if self.parts().folders != folders {
            self.change(|parts| parts.folders = folders);
        }
    }

    /// Everything, as the file has it.
    pub fn told(&self) -> Value {
        self.parts().told()
    }

    /// Waits for a change since the last time that somebody waited.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts();
        change(&mut parts);
        self.changed.notify_one();
        if let Err(error) = self.folder.write(FILE, &parts.told().to_string()) {
            eprintln!("specola-lab-agent: {error:#}");
        }
    }
}

impl Parts {
    fn told(&self) -> Value {
        let well = |part: &Option<Part>| part.as_ref().is_some_and(|part| part.is_well);
        let told = |part: &Option<Part>| part.as_ref().map_or(Value::Null, |part| part.told.clone());
        let storage: BTreeMap<&String, Value> = self.storage.iter().map(|(name, part)| (name, told(part))).collect();
        let mut all = json!({
            "ready": well(&self.token)
                && self.storage.values().all(well)
                && self.folders.values().all(|folder| folder.is_well),
            "token": told(&self.token),
            "storage": storage,
        });
        if !self.folders.is_empty() {
            let folders: BTreeMap<&String, &Value> =
                self.folders.iter().map(|(path, part)| (path, &part.told)).collect();
            all["folders"] = json!(folders);
        }
        all
    }
}

impl Part {
    fn well(seconds: Value) -> Self {
        Self { told: json!({ "ok": true, "expires_in": seconds }), is_well: true }
    }

    fn refused(refusal: &Refusal) -> Self {
        let Refusal { status, code, message, link } = refusal;
        let told = json!({ "ok": false, "status": status, "code": code, "message": message, "link": link });
        Self { told, is_well: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_everything_that_is_to_be_had_is_there() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path().join("f")).unwrap();
        let status = Status::new(folder.clone(), &["main".to_owned()]);
        let told = || -> Value { serde_json::from_slice(&std::fs::read(folder.file(FILE)).unwrap()).unwrap() };
        assert_eq!(told(), json!({"ready": false, "token": null, "storage": {"main": null}}));
        status.token_kept(Some(60));
        assert_eq!(told()["ready"], false);
        status.keys_kept("main", 3600);
        assert_eq!((&told()["ready"], &told()["storage"]["main"]["expires_in"]), (&json!(true), &json!(3600)));
        let away = Refusal { status: 503, code: Some("unreachable".to_owned()), ..Refusal::default() };
        status.keys_refused("main", &away);
        assert_eq!((&told()["ready"], &told()["storage"]["main"]["code"]), (&json!(false), &json!("unreachable")));
        status.keys_kept("main", 3600);
        status.token_refused(&Refusal { status: 404, ..Refusal::default() });
        assert_eq!((&told()["ready"], &told()["token"]["ok"]), (&json!(true), &json!(false)));
        status.token_refused(&away);
        assert_eq!(told()["ready"], false);
        status.token_kept(None);
        status.folders_seen(&[("/s3/a".to_owned(), Seen::Ready), ("/s3/b".to_owned(), Seen::Absent)]);
        assert_eq!((&told()["ready"], &told()["folders"]["/s3/a"]), (&json!(false), &json!({"ok": true})));
        assert_eq!(told()["folders"]["/s3/b"]["code"], "absent");
        status.folders_seen(&[("/s3/a".to_owned(), Seen::Ready)]);
        assert_eq!(told()["ready"], true);
    }
}
