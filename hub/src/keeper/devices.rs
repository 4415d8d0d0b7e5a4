//! Devices for servers: GPUs, or slices of them, leased before anything of a server is made, so that no two ever have the
//! same. While none is free a server waits in a queue, without a deadline but one of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hub_core::device::about;
use hub_core::life::Phase;
use hub_core::policy::amount::counted;
use hub_store::{DevicePlace, Devices, Leased, Server, Taker};
use serde_json::{Value, json};
use spawners::Plan;

use super::act::{Run, Step};
use super::prepare::granted;
use super::progress::told_under;
use super::{Inner, state_of};

/// A place in the queue is looked at again after so long. What happens in this process is noticed at once.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// What NVIDIA's container runtime takes for no device at all.
const NO_DEVICE: &str = "void";
/// The variables by which a server knows its devices.
const OF_RUNTIME: &str = "NVIDIA_VISIBLE_DEVICES";
const OF_LIBRARY: &str = "CUDA_VISIBLE_DEVICES";
const OF_HUB: &str = "SPECOLA_DEVICES";

/// The devices of the configuration, and how long a server waits for some.
#[derive(Debug, Clone, Default)]
pub struct DeviceSettings {
    /// All there are, by resource. Without any, none is leased.
    pub known: Arc<Devices>,
    /// How long a server waits; nothing for as long as it takes.
    pub timeout: Option<Duration>,
}

/// Whether a start goes on.
pub(crate) enum Lease {
    /// With these devices; none where none are wanted.
    Held(Devices),
    /// Not now; the step that follows.
    Not(Step),
}

impl DeviceSettings {
    /// What a plan with so many GPUs leases: nothing, where no devices are configured.
    pub fn wanted(&self, gpus: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        if self.known.is_empty() {
            return BTreeMap::new();
        }
        gpus.iter().filter(|(_, number)| **number > 0).map(|(resource, number)| (resource.clone(), *number)).collect()
    }

    /// Devices that a server's state or plan tells of, such as those of a server that ran before devices were leased.
    pub fn told_of(&self, server: &Server) -> Devices {
        let mut words = BTreeSet::new();
        collect(state_of(server), &mut words);
        if let Some(plan) = &server.plan {
            collect(plan, &mut words);
        }
        let of = |(resource, devices): (&String, &Vec<String>)| {
            let told: Vec<String> = devices.iter().filter(|device| words.contains(device.as_str())).cloned().collect();
            (!told.is_empty()).then(|| (resource.clone(), told))
        };
        self.known.iter().filter_map(of).collect()
    }

    /// Lets a server know of its devices, and of no others, whatever else was said about them.
    /// `here` tells that it sees the devices of this machine under their numbers, and not its own alone.
    fn tell(&self, plan: &mut Plan, devices: Devices, here: bool) {
        if self.known.is_empty() {
            return;
        }
        let all: Vec<&str> = devices.values().flatten().map(String::as_str).collect();
        let visible: Vec<&str> = all.iter().filter_map(|device| visible(device, here)).collect();
        plan.environment.retain(|(name, _)| ![OF_RUNTIME, OF_LIBRARY, OF_HUB].contains(&name.as_str()));
        let mut set = |name: &str, value: String| plan.environment.push((name.to_owned(), value));
        set(OF_RUNTIME, if visible.is_empty() { NO_DEVICE.to_owned() } else { visible.join(",") });
        // Where only its own are in sight, and by path, the library finds them by itself.
        if all.is_empty() || !visible.is_empty() {
            set(OF_LIBRARY, visible.join(","));
        }
        set(OF_HUB, all.join(","));
        plan.devices = devices;
    }
}

/// A device as CUDA knows it: its UUID as it stands, on this machine the number of `/dev/nvidia0`, else nothing for a path.
fn visible(device: &str, here: bool) -> Option<&str> {
    if !device.starts_with('/') {
        return Some(device);
    }
    device
        .strip_prefix("/dev/nvidia")
        .filter(|rest| here && !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Every text in a value, and the parts of a list with commas.
fn collect<'v>(value: &'v Value, words: &mut BTreeSet<&'v str>) {
    match value {
        Value::String(text) => words.extend(text.split(',').map(str::trim)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(members) => members.values().for_each(|member| collect(member, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// "Waiting for a GPU", and where: "place 2 of 3, about 40 minutes".
fn sentences(place: &DevicePlace) -> (String, String) {
    let what = if place.number == 1 { "a GPU".to_owned() } else { counted(place.number, "GPU") };
    let wait = place.wait.map(|wait| format!(", {}", about(wait))).unwrap_or_default();
    (format!("Waiting for {what}"), format!("place {} of {}{wait}", place.place, place.of))
}

impl Inner {
    /// Leases the devices that a server is to have, or waits for them; what it has already it keeps.
    pub(crate) async fn lease(&self, server: &Server, run: &mut Run) -> Result<Lease> {
        let settings = &self.settings.devices;
        let wanted = granted(server).map(|plan| settings.wanted(&plan.gpus)).unwrap_or_default();
        if wanted.is_empty() {
            return Ok(Lease::Held(Devices::new()));
        }
        let taker = Taker { id: server.id, holder: &self.holder, generation: server.generation };
        match self.store.lease_devices(taker, &wanted, &settings.known, self.now()).await? {
            Leased::Held(devices) => {
                if run.place.take().is_some() {
                    self.tell_place(server, "A GPU is free", "", Value::Null).await;
                    self.wake_waiting().await;
                }
                Ok(Lease::Held(devices))
            }
            Leased::Waits { place, since } => {
                let waited = (self.now() - since).to_std().unwrap_or_default();
                let left = settings.timeout.map_or(LOOK_AGAIN, |timeout| timeout.saturating_sub(waited));
                if left.is_zero() {
                    return self.none_came_free(server).await.map(Lease::Not);
                }
                self.waits(server, &place, run).await?;
                Ok(Lease::Not(Step::Later(left.min(LOOK_AGAIN))))
            }
            Leased::Short { resource, wanted, total } => {
                let sentence = match total {
                    0 => format!("This hub has no devices of the kind {resource}."),
                    _ => format!(
                        "This hub has {} of the kind {resource}, and the server asks for {wanted}.",
                        counted(total, "device")
                    ),
                };
                let failure = self.failure(server, "no_such_device", sentence, String::new(), true);
                self.failed(server, &failure).await.map(Lease::Not)
            }
            Leased::Lost => Ok(Lease::Not(Step::after(false))),
        }
    }

    /// Tells the waiting person the place in the queue, when it is another than was told last.
    async fn waits(&self, server: &Server, place: &DevicePlace, run: &mut Run) -> Result<()> {
        let (what, place_told) = sentences(place);
        let message = format!("{what}: {place_told}");
        if run.place.as_ref() == Some(&message) {
            return Ok(());
        }
        // Another life of this hub may have told it already.
        let told = self.store.events_since(server.id, told_under(server), 0).await?;
        if told.last().is_none_or(|event| event.message != message) {
            let queue = json!({
                "resource": place.resource, "place": place.place, "of": place.of,
                "seconds": place.wait.map(|wait| wait.num_seconds()),
            });
            self.tell_place(server, &message, &place_told, queue).await;
        }
        tracing::info!(user = server.user_name, server = server.name, resource = place.resource, "{message}");
        run.place = Some(message);
        Ok(())
    }

    async fn tell_place(&self, server: &Server, message: &str, detail: &str, queue: Value) {
        let detail = json!({ "detail": detail, "queue": queue });
        self.tell_in_detail(server, 0, Phase::Stopped, message, Some(detail)).await;
    }

    async fn none_came_free(&self, server: &Server) -> Result<Step> {
        let waited = self.settings.devices.timeout.and_then(|timeout| chrono::TimeDelta::from_std(timeout).ok());
        let waited = about(waited.unwrap_or_default());
        let sentence = format!("No GPU became free in {}.", waited.trim_start_matches("about "));
        let mut failure = self.failure(server, "device_timeout", sentence, String::new(), true);
        failure.advice = "Try again later, or choose a size without a GPU.".to_owned();
        let step = self.failed(server, &failure).await?;
        self.wake_waiting().await;
        Ok(step)
    }

    /// Lets a plan and its server know of the devices that are leased.
    pub(crate) fn tell_devices(&self, plan: &mut Plan, devices: Devices) {
        self.settings.devices.tell(plan, devices, self.driver.kind() == "local");
    }

    /// Lets those who wait for a device look again. Hubs beside this one look by themselves.
    pub(crate) async fn wake_waiting(&self) {
        if self.settings.devices.known.is_empty() {
            return;
        }
        match self.store.waiting_for_devices().await {
            Ok(waiting) => waiting.into_iter().for_each(|id| self.signals.server_changed(id)),
            Err(error) => tracing::warn!("those who wait for a device look later: {error}"),
        }
    }

    /// Frees what servers have that do not run, and notes what running ones are known to have.
    pub(crate) async fn settle_devices(&self, rows: &[Server]) -> Result<()> {
        let settings = &self.settings.devices;
        if settings.known.is_empty() {
            return Ok(());
        }
        for server in rows {
            let devices = settings.told_of(server);
            if !devices.is_empty() && server.phase != Phase::Stopped {
                let noted = self.store.note_devices(server.id, server.generation, &devices, self.now()).await?;
                if noted > 0 {
                    tracing::info!(user = server.user_name, server = server.name, noted, "has devices already");
                }
            }
        }
        let freed = self.store.settle_devices().await?;
        if freed > 0 {
            tracing::warn!(freed, "devices were still leased to servers that do not run");
            self.wake_waiting().await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};
    use spawners::Identity;

    fn settings(known: &[(&str, &[&str])]) -> DeviceSettings {
        let own = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        let known = known.iter().map(|(resource, list)| ((*resource).to_owned(), own(list))).collect();
        DeviceSettings { known: Arc::new(known), timeout: None }
    }

    fn plan() -> Plan {
        let identity = Identity {
            hub: "h".into(),
            spawner: SpawnerId(1),
            generation: Generation(1),
            user: "anna".into(),
            server: String::new(),
            account: None,
        };
        let mut plan = Plan::new(identity, "/user/anna/", Vec::new());
        plan.environment = vec![(OF_LIBRARY.into(), "0,1,2".into()), ("A".into(), "b".into())];
        plan
    }

    fn variables(plan: &Plan) -> Vec<(&str, &str)> {
        plan.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn a_server_is_told_its_own_devices_and_no_others() {
        let settings = settings(&[("nvidia.com/gpu", &["GPU-1", "GPU-2", "/dev/nvidia3", "/dev/dri/renderD128"])]);
        let mut plan = plan();
        let leased = ["GPU-2", "/dev/nvidia3", "/dev/dri/renderD128"].map(str::to_owned).to_vec();
        settings.tell(&mut plan, Devices::from([("nvidia.com/gpu".to_owned(), leased.clone())]), true);
        let expected = [
            ("A", "b"),
            (OF_RUNTIME, "GPU-2,3"),
            (OF_LIBRARY, "GPU-2,3"),
            (OF_HUB, "GPU-2,/dev/nvidia3,/dev/dri/renderD128"),
        ];
        assert_eq!(variables(&plan), expected);
        // In a container that has its own devices alone they have other numbers.
        settings.tell(&mut plan, Devices::from([("nvidia.com/gpu".to_owned(), leased[1..2].to_vec())]), false);
        assert_eq!(variables(&plan), [("A", "b"), (OF_RUNTIME, "void"), (OF_HUB, "/dev/nvidia3")]);
        settings.tell(&mut plan, Devices::new(), false);
        assert_eq!(variables(&plan), [("A", "b"), (OF_RUNTIME, "void"), (OF_LIBRARY, ""), (OF_HUB, "")]);
    }

    #[test]
    fn without_devices_nothing_is_said_about_them() {
        let mut plan = plan();
        DeviceSettings::default().tell(&mut plan, Devices::new(), true);
        assert_eq!(variables(&plan), [(OF_LIBRARY, "0,1,2"), ("A", "b")]);
        assert!(DeviceSettings::default().wanted(&BTreeMap::from([("nvidia.com/gpu".to_owned(), 1)])).is_empty());
    }

    #[test]
    fn what_a_server_has_is_found_in_what_is_kept_of_it() {
        let state = json!({ "object_id": "x", "env": ["GPU-2, MIG-7"], "n": 1, "deep": { "d": ["GPU-10"] } });
        let mut words = BTreeSet::new();
        collect(&state, &mut words);
        assert!(words.contains("GPU-2") && words.contains("MIG-7") && !words.contains("GPU-1"));
    }

    #[test]
    fn a_place_is_told_in_words() {
        let place = |number, wait: Option<i64>| DevicePlace {
            resource: "nvidia.com/gpu".into(),
            number,
            place: 2,
            of: 3,
            wait: wait.map(chrono::TimeDelta::minutes),
        };
        let told = |place: DevicePlace| {
            let (what, at) = sentences(&place);
            format!("{what}: {at}")
        };
        assert_eq!(told(place(1, Some(41))), "Waiting for a GPU: place 2 of 3, about 40 minutes");
        assert_eq!(told(place(2, None)), "Waiting for 2 GPUs: place 2 of 3");
    }
}
