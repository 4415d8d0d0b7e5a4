//! A driver whose servers exist in memory only, with faults on demand, for tests of those who call drivers.
//!
//! Several [`Fake`]s may share one [`World`], as several hubs share one machine.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hub_core::id::SpawnerId;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{Identity, Marker, News, Owned, Plan, Record, Sight, Spawner, StartError, Started, Stop, Unreachable};

/// How a server of one row behaves when it is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Script {
    /// It is up at once, under an address nobody listens on.
    #[default]
    Obedient,
    /// It is up at once, under the address of a real test server.
    At(String),
    /// It is made, and comes up when [`World::release`] is called.
    Slow,
    /// It is made, and never gets an address.
    NeverAnAddress,
    /// It is made, and ends at once with this exit code.
    Dies(i32),
    /// It is refused before anything is made.
    Refused,
    /// The first `stop` is ignored; only force ends it.
    Stubborn,
}

#[derive(Debug, Clone)]
struct Thing {
    identity: Identity,
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    Coming,
    Up(String),
    Exited(i32),
}

#[derive(Default)]
struct Inside {
    scripts: HashMap<SpawnerId, Script>,
    things: BTreeMap<String, Thing>,
    unreachable: bool,
    /// Every verb that was called, in order, such as `start h:1:1`.
    calls: Vec<String>,
    created: usize,
}

/// What the fake drivers' servers live in.
#[derive(Clone, Default)]
pub struct World {
    inside: Arc<Mutex<Inside>>,
    changed: Arc<Notify>,
    listeners: Arc<Mutex<Vec<mpsc::Sender<News>>>>,
}

impl World {
    /// An empty world, in which everything is obedient.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides how the servers of a row behave from their next start on.
    pub fn script(&self, spawner: SpawnerId, script: Script) {
        self.inside().scripts.insert(spawner, script);
    }

    /// Makes every call fail, or ends that.
    pub fn unreachable(&self, unreachable: bool) {
        self.inside().unreachable = unreachable;
    }

    /// Lets a slow server come up.
    pub fn release(&self, spawner: SpawnerId) {
        self.set(spawner, |identity| Condition::Up(usual_url(identity)));
    }

    /// Ends a server by itself, as a crash does.
    pub fn kill(&self, spawner: SpawnerId, code: i32) {
        self.set(spawner, |_| Condition::Exited(code));
        self.tell(News::Look(spawner));
    }

    /// Tells something to whoever watches.
    pub fn tell(&self, news: News) {
        for listener in lock(&self.listeners).iter() {
            listener.try_send(news.clone()).ok();
        }
    }

    /// Takes a server away without a trace, as an operator does.
    pub fn remove(&self, spawner: SpawnerId) {
        self.inside().things.retain(|_, thing| thing.identity.spawner != spawner);
        self.changed.notify_waiters();
    }

    /// Lists the verbs called so far, such as `stop h:1:1`.
    pub fn calls(&self) -> Vec<String> {
        self.inside().calls.clone()
    }

    /// How many servers were made, adopted ones not counted.
    pub fn created(&self) -> usize {
        self.inside().created
    }

    /// How many servers exist, exited ones included.
    pub fn len(&self) -> usize {
        self.inside().things.len()
    }

    /// Whether nothing exists.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    fn set(&self, spawner: SpawnerId, condition: impl Fn(&Identity) -> Condition) {
        for thing in self.inside().things.values_mut().filter(|thing| thing.identity.spawner == spawner) {
            thing.condition = condition(&thing.identity);
        }
        self.changed.notify_waiters();
    }

    fn enter(&self, verb: &str, marker: &Marker) -> Result<MutexGuard<'_, Inside>, Unreachable> {
        let mut inside = self.inside();
        inside.calls.push(format!("{verb} {marker}"));
        if inside.unreachable { Err(out_of_reach()) } else { Ok(inside) }
    }
}

/// A driver on a [`World`].
#[derive(Clone, Default)]
pub struct Fake {
    world: World,
}

impl Fake {
    /// A driver on a world that others may share.
    pub fn new(world: &World) -> Self {
        Self { world: world.clone() }
    }

    /// Makes the server unless it is there; the url when it is up already.
    fn create(&self, identity: &Identity, script: &Script) -> Result<(), Unreachable> {
        let mut inside = self.world.enter("create", &identity.marker())?;
        let condition = match script {
            Script::Slow | Script::NeverAnAddress => Condition::Coming,
            Script::Dies(code) => Condition::Exited(*code),
            Script::At(url) => Condition::Up(url.clone()),
            Script::Obedient | Script::Refused | Script::Stubborn => Condition::Up(usual_url(identity)),
        };
        inside.created += 1;
        inside.things.insert(identity.marker().to_string(), Thing { identity: identity.clone(), condition });
        Ok(())
    }
}

#[async_trait]
impl Spawner for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn abilities(&self) -> crate::Abilities {
        crate::Abilities::ALL
    }

    async fn start(&self, plan: &Plan, _state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        let (identity, marker) = (&plan.identity, plan.identity.marker());
        let (script, there) = {
            let mut inside = self.world.enter("start", &marker)?;
            let older = |thing: &Thing| {
                thing.identity.marker().same_server(&marker) && thing.identity.generation < marker.generation
            };
            inside.things.retain(|_, thing| !older(thing));
            let script = inside.scripts.get(&identity.spawner).cloned().unwrap_or_default();
            (script, inside.things.contains_key(&marker.to_string()))
        };
        if script == Script::Refused {
            return Err(StartError::refused("scripted", "This server is not to be started."));
        }
        let state = json!({ "name": marker.to_string(), "generation": marker.generation });
        record.save(&state).await?;
        if !there {
            record.progress(20, "Creating the server").await;
            self.create(identity, &script)?;
        }
        loop {
            let changed = self.world.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.look(identity, &state).await? {
                Sight::Up { url } => return Ok(Started { url, state }),
                Sight::Coming => changed.await,
                Sight::Absent => return Err(StartError::failed("gone", "The server was removed while it started.")),
                Sight::Exited { reason, .. } => return Err(StartError::failed("died", reason)),
            }
        }
    }

    async fn look(&self, server: &Identity, _state: &Value) -> Result<Sight, Unreachable> {
        let marker = server.marker();
        let inside = self.world.enter("look", &marker)?;
        Ok(match inside.things.get(&marker.to_string()).map(|thing| &thing.condition) {
            None => Sight::Absent,
            Some(Condition::Coming) => Sight::Coming,
            Some(Condition::Up(url)) => Sight::Up { url: url.clone() },
            Some(Condition::Exited(code)) => {
                Sight::Exited { code: Some(*code), reason: format!("The server ended with exit code {code}.") }
            }
        })
    }

    async fn stop(&self, server: &Identity, _state: &Value, how: Stop) -> Result<(), Unreachable> {
        let marker = server.marker();
        let mut inside = self.world.enter(if how.force { "kill" } else { "stop" }, &marker)?;
        let stubborn = inside.scripts.get(&server.spawner) == Some(&Script::Stubborn);
        if how.force || !stubborn {
            inside.things.remove(&marker.to_string());
        }
        drop(inside);
        self.world.changed.notify_waiters();
        Ok(())
    }

    async fn forget(&self, server: &Identity, _state: &Value) -> Result<(), Unreachable> {
        self.world.enter("forget", &server.marker()).map(drop)
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        let inside = self.world.inside();
        if inside.unreachable {
            return Err(out_of_reach());
        }
        let owned = |(name, thing): (&String, &Thing)| Owned {
            identity: thing.identity.clone(),
            state: json!({ "name": name, "generation": thing.identity.generation }),
        };
        Ok(inside.things.iter().map(owned).collect())
    }

    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken) {
        lock(&self.world.listeners).push(news.clone());
        stop.cancelled().await;
        lock(&self.world.listeners).retain(|other| !other.same_channel(&news));
    }

    async fn logs(&self, server: &Identity, _state: &Value, _lines: usize) -> Result<String, Unreachable> {
        self.world.enter("logs", &server.marker()).map(|_| String::new())
    }
}

/// Port 9 discards: whoever asks there is refused.
fn usual_url(identity: &Identity) -> String {
    format!("http://127.0.0.1:9/user/{}/", identity.user)
}

fn out_of_reach() -> Unreachable {
    Unreachable::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
}

/// A poisoned lock only means that a test has failed elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{self, Paper};
    use hub_core::id::Generation;

    fn plan(spawner: i64, generation: i64) -> Plan {
        let identity = Identity {
            hub: "h".into(),
            spawner: SpawnerId(spawner),
            generation: Generation(generation),
            user: "anna".into(),
            server: String::new(),
            account: None,
        };
        Plan::new(identity, "/user/anna/", vec!["lab".into()])
    }

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let world = World::new();
        contract::all(&|| Box::new(Fake::new(&world)), &plan).await;
    }

    #[tokio::test]
    async fn a_slow_server_comes_up_when_released() {
        let (world, one) = (World::new(), SpawnerId(1));
        world.script(one, Script::Slow);
        let (fake, paper, plan) = (Fake::new(&world), Paper::default(), plan(1, 1));
        let start = fake.start(&plan, &Value::Null, &paper);
        let release = async {
            while fake.look(&plan.identity, &Value::Null).await.unwrap() != Sight::Coming {
                tokio::task::yield_now().await;
            }
            world.release(one);
        };
        let (started, ()) = tokio::join!(start, release);
        assert_eq!(started.unwrap().url, "http://127.0.0.1:9/user/anna/");
    }

    #[tokio::test]
    async fn faults_come_as_scripted() {
        let (world, paper, plan) = (World::new(), Paper::default(), plan(1, 1));
        let fake = Fake::new(&world);
        world.script(SpawnerId(1), Script::Refused);
        let refused = fake.start(&plan, &Value::Null, &paper).await;
        assert!(matches!(refused, Err(StartError::Refused { code: "scripted", .. })), "{refused:?}");
        world.script(SpawnerId(1), Script::Dies(3));
        let died = fake.start(&plan, &Value::Null, &paper).await;
        assert!(matches!(died, Err(StartError::Failed { code: "died", .. })), "{died:?}");
        world.unreachable(true);
        assert!(fake.look(&plan.identity, &Value::Null).await.is_err());
        assert!(fake.list_owned().await.is_err());
        world.unreachable(false);
        assert_eq!(fake.look(&plan.identity, &Value::Null).await.unwrap().seen(), hub_core::life::Seen::Exited);
    }
}
