//! The objects that there are, and what has changed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// Kind, namespace, name.
pub(crate) type Key = (String, String, String);

/// So many changes are remembered for those who come back. Who comes later has to list anew.
const REMEMBERED: usize = 10_000;
/// So many changes wait for one who follows. Who is slower is cut off.
const WAITING: usize = 4096;

/// A change of one object.
pub(crate) struct Change {
    version: u64,
    kind: String,
    what: &'static str,
    object: Arc<Value>,
    line: OnceLock<Bytes>,
}

impl Change {
    pub fn kind(&self) -> &str {
        &self.kind
    }

    pub fn object(&self) -> &Value {
        &self.object
    }

    /// As a watch tells it.
    pub fn line(&self) -> Bytes {
        self.line.get_or_init(|| line(self.what, &self.object)).clone()
    }
}

/// One line of a watch.
pub(crate) fn line(what: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": what, "object": object })))
}

/// What somebody gets who follows: what they have missed, and what comes.
pub(crate) struct Followed {
    pub missed: Vec<Arc<Change>>,
    pub next: broadcast::Receiver<Arc<Change>>,
}

pub(crate) struct Store {
    state: Mutex<State>,
    changes: broadcast::Sender<Arc<Change>>,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<Arc<Change>>,
    /// What came before this version is forgotten.
    oldest: u64,
    /// What there was when it was remembered, and its version.
    before: (BTreeMap<Key, Arc<Value>>, u64),
    /// What pods wrote, by their names.
    written: HashMap<String, String>,
}

impl Default for Store {
    fn default() -> Self {
        let state = State { version: 100, ..State::default() };
        Self { state: Mutex::new(state), changes: broadcast::Sender::new(WAITING) }
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// The objects of a kind that are wanted, and the version of all there is.
    pub fn list(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> (Vec<Arc<Value>>, u64) {
        let state = self.lock();
        (among(&state.objects, kind, wanted), state.version)
    }

    /// The same as it was when it was remembered.
    pub fn list_of_before(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> (Vec<Arc<Value>>, u64) {
        let state = self.lock();
        (among(&state.before.0, kind, wanted), state.before.1)
    }

    /// Remembers what there is.
    pub fn remember(&self) {
        let mut state = self.lock();
        state.before = (state.objects.clone(), state.version);
    }

    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Puts something there, unless something of that name is.
    pub fn create(&self, key: &Key, object: Value) -> Option<Arc<Value>> {
        let mut state = self.lock();
        (!state.objects.contains_key(key)).then(|| self.insert(&mut state, key, object))
    }

    /// Puts something there, in place of what has that name.
    pub fn put(&self, key: &Key, object: Value) -> Arc<Value> {
        self.insert(&mut self.lock(), key, object)
    }

    fn insert(&self, state: &mut State, key: &Key, mut object: Value) -> Arc<Value> {
        state.version += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(state.version.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", state.version));
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = json!(now());
        }
        if !key.1.is_empty() {
            metadata["namespace"] = json!(key.1);
        }
        if key.0 == "pods" && object["status"].is_null() {
            object["status"] = json!({ "phase": "Pending" });
        }
        let object = Arc::new(object);
        state.objects.insert(key.clone(), Arc::clone(&object));
        self.tell(state, &key.0, "ADDED", &object);
        object
    }

    /// Changes something, if it is there and still that of which the change is one. Returns it as it is then.
    pub fn change(&self, key: &Key, change: impl FnOnce(&mut Value) -> bool) -> Option<Arc<Value>> {
        let mut state = self.lock();
        let mut object = Value::clone(state.objects.get(key)?);
        if !change(&mut object) {
            return None;
        }
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let object = Arc::new(object);
        state.objects.insert(key.clone(), Arc::clone(&object));
        self.tell(&mut state, &key.0, "MODIFIED", &object);
        Some(object)
    }

    /// Takes something away, with what it owns, and a namespace with all that is in it. Returns all that has gone.
    pub fn remove(&self, key: &Key, uid: Option<&Value>) -> Vec<Arc<Value>> {
        let mut state = self.lock();
        match state.objects.get(key) {
            Some(object) if uid.is_none_or(|uid| *uid == object["metadata"]["uid"]) => {}
            _ => return Vec::new(),
        }
        let (mut doomed, mut gone) = (vec![key.clone()], Vec::new());
        while let Some(key) = doomed.pop() {
            let Some(object) = state.objects.remove(&key) else { continue };
            let mut object = Arc::unwrap_or_clone(object);
            state.version += 1;
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let object = Arc::new(object);
            self.tell(&mut state, &key.0, "DELETED", &object);
            let uid = &object["metadata"]["uid"];
            let owned = |other: &Value| {
                let owners = other["metadata"]["ownerReferences"].as_array();
                owners.into_iter().flatten().any(|owner| owner["uid"] == *uid)
            };
            if key.0 == "namespaces" {
                doomed.extend(state.objects.keys().filter(|(_, namespace, _)| *namespace == key.2).cloned());
            }
            doomed.extend(state.objects.iter().filter(|(_, other)| owned(other)).map(|(key, _)| key.clone()));
            gone.push(object);
        }
        gone
    }

    fn tell(&self, state: &mut State, kind: &str, what: &'static str, object: &Arc<Value>) {
        let (version, kind, object) = (state.version, kind.to_owned(), Arc::clone(object));
        let change = Arc::new(Change { version, kind, what, object, line: OnceLock::new() });
        state.log.push_back(Arc::clone(&change));
        if state.log.len() > REMEMBERED
            && let Some(forgotten) = state.log.pop_front()
        {
            state.oldest = forgotten.version;
        }
        // Nobody may be following.
        let _ = self.changes.send(change);
    }

    /// What came after a version; `None` when that is forgotten.
    pub fn follow(&self, since: u64) -> Option<Followed> {
        let state = self.lock();
        if since < state.oldest {
            return None;
        }
        let missed = state.log.iter().filter(|change| change.version > since).cloned().collect();
        Some(Followed { missed, next: self.changes.subscribe() })
    }

    /// Forgets what has changed so far.
    pub fn forget(&self) {
        let mut state = self.lock();
        state.version += 1;
        state.oldest = state.version;
        state.log.clear();
    }

    pub fn write(&self, pod: &str, text: &str) {
        self.lock().written.insert(pod.to_owned(), text.to_owned());
    }

    pub fn written(&self, pod: &str) -> String {
        self.lock().written.get(pod).cloned().unwrap_or_default()
    }
}

fn among(objects: &BTreeMap<Key, Arc<Value>>, kind: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Arc<Value>> {
    let from = (kind.to_owned(), String::new(), String::new());
    let of_kind = objects.range(from..).take_while(|((found, ..), _)| found == kind);
    of_kind.map(|(_, object)| object).filter(|object| wanted(object)).cloned().collect()
}

/// As Kubernetes writes times.
pub(crate) fn now() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// RFC 7396.
pub(crate) fn merge(below: &mut Value, above: &Value) {
    let Value::Object(above) = above else {
        *below = above.clone();
        return;
    };
    if !below.is_object() {
        *below = json!({});
    }
    for (name, value) in above {
        match below.as_object_mut() {
            Some(below) if value.is_null() => {
                below.remove(name);
            }
            _ => merge(&mut below[name.as_str()], value),
        }
    }
}
