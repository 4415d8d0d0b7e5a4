//! What running labs tell of themselves, through the agent in them: remembered for a while, and needed for nothing but to be
//! shown. A hub that was started anew hears it again within a minute. Where there may be several, they know it by the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};
use hub_store::{Server, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The agent tells again every minute.
const LASTS: TimeDelta = TimeDelta::minutes(3);
/// More storages, or folders, has nobody.
const MOST: usize = 64;
/// Longer sentences are cut.
const LONGEST: usize = 300;

/// How a lab is, by its own word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Whether all that is to be had is at hand.
    pub ready: bool,
    /// The access token.
    #[serde(default)]
    pub token: Option<Part>,
    /// Keys, by the name of the storage.
    #[serde(default)]
    pub storage: BTreeMap<String, Option<Part>>,
    /// Folders that are buckets, by their path.
    #[serde(default)]
    pub folders: BTreeMap<String, Part>,
}

/// How one thing is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Part {
    /// Whether it is there.
    pub ok: bool,
    /// What the hub answered, where that is why.
    #[serde(default)]
    pub status: Option<u16>,
    /// Why not, in a sentence.
    #[serde(default)]
    pub message: Option<String>,
}

impl Status {
    /// Reads what a lab sent, which may be anything. The error says what is wrong.
    pub fn read(body: &[u8]) -> Result<Self, &'static str> {
        let mut status: Self = serde_json::from_slice(body)
            .map_err(|_| "The status of a lab has ready, and may have token, storage and folders")?;
        if status.storage.len() > MOST || status.folders.len() > MOST {
            return Err("Those are too many storages or folders");
        }
        let mut names = status.storage.keys().chain(status.folders.keys());
        if names.any(|name| name.len() > LONGEST) {
            return Err("The name of a storage or a folder is too long");
        }
        let storage = status.storage.values_mut().flatten();
        for part in storage.chain(status.folders.values_mut()).chain(&mut status.token) {
            part.message = part.message.take().map(|text| plain(&text));
        }
        Ok(status)
    }
}

/// One line, not too long.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(LONGEST).collect()
}

/// What is known of labs.
#[derive(Debug, Default)]
pub struct Labs(Mutex<HashMap<SpawnerId, Told>>);

#[derive(Debug)]
struct Told {
    generation: Generation,
    at: Time,
    status: Status,
}

impl Labs {
    /// Remembers what a server tells.
    pub async fn tell(&self, store: &Store, server: &Server, status: Status, now: Time) -> Result<(), StoreError> {
        if store.is_shared() {
            return store.put_lab(server.id, server.generation, &json!(status), now).await.map(drop);
        }
        let mut all = self.all();
        // What nobody tells any more goes here: so there are no more than servers that run.
        all.retain(|_, told| now - told.at < LASTS);
        all.insert(server.id, Told { generation: server.generation, at: now, status });
        Ok(())
    }

    /// What servers told of this run of them, not long ago.
    pub async fn of(
        &self,
        store: &Store,
        servers: &[Server],
        now: Time,
    ) -> Result<HashMap<SpawnerId, Status>, StoreError> {
        if store.is_shared() {
            let ids: Vec<SpawnerId> = servers.iter().map(|server| server.id).collect();
            let told = store.labs(&ids, now - LASTS).await?;
            // Hubs of two versions may differ in what they write.
            return Ok(told
                .into_iter()
                .filter_map(|(id, told)| Some((id, serde_json::from_value(told).ok()?)))
                .collect());
        }
        let all = self.all();
        let own = |server: &Server| {
            let told = all.get(&server.id)?;
            let counts = told.generation == server.generation && now - told.at < LASTS;
            counts.then(|| (server.id, told.status.clone()))
        };
        Ok(servers.iter().filter_map(own).collect())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<SpawnerId, Told>> {
        // What is in it is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lab_sends_is_read_within_bounds() {
        let told = br#"{"ready": false, "token": {"ok": true, "expires_in": 5}, "storage": {"main": null},
            "folders": {"/s3/a": {"ok": false, "code": "absent", "message": "not\nthere"}}, "more": [1]}"#;
        let status = Status::read(told).unwrap();
        assert_eq!(status.token, Some(Part { ok: true, ..Part::default() }));
        assert_eq!(status.folders["/s3/a"].message.as_deref(), Some("not there"));
        let many: Vec<String> = (0..=MOST).map(|number| format!("\"/{number}\": {{\"ok\": true}}")).collect();
        for bad in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"ready": 1}"#,
            r#"{"ready": true, "folders": []}"#,
            r#"{"ready": true, "folders": {"/a": null}}"#,
            &format!("{{\"ready\": true, \"folders\": {{{}}}}}", many.join(", ")),
            &format!("{{\"ready\": true, \"folders\": {{\"{}\": {{\"ok\": true}}}}}}", "x".repeat(LONGEST + 1)),
            &"[".repeat(20_000),
        ] {
            Status::read(bad.as_bytes()).unwrap_err();
        }
        let long = format!("{{\"ready\": true, \"token\": {{\"ok\": false, \"message\": \"{}\"}}}}", "ä".repeat(1000));
        let status = Status::read(long.as_bytes()).unwrap();
        assert_eq!(status.token.unwrap().message.unwrap().chars().count(), LONGEST);
    }
}
