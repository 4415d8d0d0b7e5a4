//! Devices of servers: never shared, in the order of who asked, and free again whatever happens.

use crate::harness::{Database, at, both, server, user};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::{Generation, SpawnerId};
use hub_store::{DevicePlace, Devices, Leased, StartLimits, Store, Taker, WantRunning, WantStopped};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const HOLDER: &str = "hub-1";
const GPU: &str = "nvidia.com/gpu";
const SLICE: &str = "nvidia.com/mig-1g.10gb";

fn known(of: &[(&str, &[&str])]) -> Devices {
    let own = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    of.iter().map(|(resource, list)| ((*resource).to_owned(), own(list))).collect()
}

fn wanted(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(resource, number)| ((*resource).to_owned(), *number)).collect()
}

/// Asks for a server to run with devices.
async fn want(store: &Store, id: SpawnerId, devices: &[(&str, u64)], now: Time) {
    let limits = StartLimits { devices: wanted(devices), ..StartLimits::default() };
    let answer = store.want_running(id, None, &json!({}), limits, now).await.unwrap();
    assert_eq!(answer, WantRunning::Accepted);
}

/// Holds a server, and takes devices for it.
async fn lease(store: &Store, id: SpawnerId, devices: &[(&str, u64)], known: &Devices, now: Time) -> Leased {
    let Some(row) = store.claim(id, HOLDER, now, TimeDelta::seconds(30)).await.unwrap() else { return Leased::Lost };
    let taker = Taker { id, holder: HOLDER, generation: row.generation };
    store.lease_devices(taker, &wanted(devices), known, now).await.unwrap()
}

async fn people(store: &Store, count: usize) -> Vec<SpawnerId> {
    let mut servers = Vec::new();
    for number in 0..count {
        let person = user(store, &format!("person-{number:02}")).await.id;
        servers.push(server(store, person, "").await.id);
    }
    servers
}

fn held(leased: Leased) -> Vec<String> {
    match leased {
        Leased::Held(devices) => devices.into_values().flatten().collect(),
        other => panic!("{other:?}"),
    }
}

fn place(leased: &Leased) -> (u64, u64) {
    match leased {
        Leased::Waits { place, .. } => (place.place, place.of),
        other => panic!("{other:?}"),
    }
}

/// Hazard H8 of deployments that take the first slice no container has: two starts at once took the same.
async fn twelve_who_take_five_devices_at_once_never_share_one(Database { store, .. }: Database) {
    let known = known(&[(GPU, &["GPU-1", "GPU-2", "GPU-3", "GPU-4", "GPU-5"])]);
    let mut waiting: BTreeSet<SpawnerId> = people(&store, 12).await.into_iter().collect();
    for (second, id) in waiting.iter().enumerate() {
        want(&store, *id, &[(GPU, 1)], at(second as i64)).await;
    }
    let mut had = 0;
    for round in 0..3 {
        let now = at(100 + 100 * round);
        let takers: Vec<_> = waiting
            .iter()
            .map(|id| {
                let (store, known, id) = (store.clone(), known.clone(), *id);
                tokio::spawn(async move { (id, lease(&store, id, &[(GPU, 1)], &known, now).await) })
            })
            .collect();
        let mut got: BTreeMap<String, SpawnerId> = BTreeMap::new();
        for taker in takers {
            let (id, leased) = taker.await.unwrap();
            if let Leased::Held(devices) = leased {
                let device = devices[GPU][0].clone();
                assert_eq!(devices[GPU].len(), 1);
                assert_eq!(got.insert(device.clone(), id), None, "{device} was given twice");
            }
        }
        assert_eq!(got.len(), waiting.len().min(5), "no device is left while somebody waits");
        // Those who came first are those who got one.
        let first: BTreeSet<SpawnerId> = waiting.iter().take(5).copied().collect();
        assert_eq!(got.values().copied().collect::<BTreeSet<_>>(), first);
        had += got.len();
        for id in first {
            assert_eq!(store.want_stopped(id, now).await.unwrap(), WantStopped::Accepted);
            waiting.remove(&id);
        }
    }
    assert_eq!((had, store.device_use().await.unwrap().taken.len()), (12, 0));
}

async fn nobody_is_overtaken_and_places_are_told(Database { store, .. }: Database) {
    let known = known(&[(GPU, &["GPU-1", "GPU-2"]), (SLICE, &["MIG-1"])]);
    let servers = people(&store, 5).await;
    for (second, (id, number)) in servers.iter().zip([1, 2, 1, 1]).enumerate() {
        want(&store, *id, &[(GPU, number)], at(second as i64)).await;
    }
    assert_eq!(store.device_use().await.unwrap().waiting, BTreeMap::from([(GPU.to_owned(), 4)]));
    // The last one asks first, and is the last all the same.
    assert_eq!(place(&lease(&store, servers[3], &[(GPU, 1)], &known, at(9)).await), (4, 4));
    assert_eq!(held(lease(&store, servers[0], &[(GPU, 1)], &known, at(10)).await), ["GPU-1"]);
    let second = lease(&store, servers[1], &[(GPU, 2)], &known, at(11)).await;
    let expected = DevicePlace { resource: GPU.to_owned(), number: 2, place: 1, of: 3, wait: None };
    assert_eq!(second, Leased::Waits { place: expected, since: at(1) });
    assert_eq!(place(&lease(&store, servers[2], &[(GPU, 1)], &known, at(12)).await), (2, 3), "one is free, not for it");
    // Another kind has a queue of its own.
    want(&store, servers[4], &[(SLICE, 1)], at(13)).await;
    assert_eq!(held(lease(&store, servers[4], &[(SLICE, 1)], &known, at(13)).await), ["MIG-1"]);
    // The one who wanted two gives up: those behind move on.
    store.want_stopped(servers[1], at(14)).await.unwrap();
    assert_eq!(held(lease(&store, servers[2], &[(GPU, 1)], &known, at(15)).await), ["GPU-2"]);
    assert_eq!(place(&lease(&store, servers[3], &[(GPU, 1)], &known, at(16)).await), (1, 1));
    let usage = store.device_use().await.unwrap();
    assert_eq!(usage.taken, ["GPU-1", "GPU-2", "MIG-1"].map(str::to_owned).into());
    assert_eq!(usage.waiting, BTreeMap::from([(GPU.to_owned(), 1)]));
}

async fn a_device_is_free_again_when_the_stop_is_confirmed_and_not_before(Database { store, .. }: Database) {
    let known = known(&[(GPU, &["GPU-1"])]);
    let servers = people(&store, 2).await;
    want(&store, servers[0], &[(GPU, 1)], at(0)).await;
    want(&store, servers[1], &[(GPU, 1)], at(1)).await;
    assert_eq!(held(lease(&store, servers[0], &[(GPU, 1)], &known, at(2)).await), ["GPU-1"]);
    assert_eq!(held(lease(&store, servers[0], &[(GPU, 1)], &known, at(3)).await), ["GPU-1"], "it keeps what it has");
    let up = crate::servers::bring_up(&store, servers[0]).await;
    assert_eq!(store.devices_of(servers[0]).await.unwrap(), known);
    store.want_stopped(servers[0], at(1200)).await.unwrap();
    store.claim(servers[0], HOLDER, at(1200), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert!(store.begin_stop(servers[0], HOLDER, up.generation, at(1260), at(1200)).await.unwrap());
    let waits = lease(&store, servers[1], &[(GPU, 1)], &known, at(1201)).await;
    assert_eq!(place(&waits), (1, 1), "it is still being stopped");
    assert_eq!(store.settle_devices().await.unwrap(), 0);
    assert!(store.finish(servers[0], HOLDER, up.generation, None, at(1202)).await.unwrap());
    assert_eq!(store.devices_of(servers[0]).await.unwrap(), Devices::new());
    assert_eq!(held(lease(&store, servers[1], &[(GPU, 1)], &known, at(1203)).await), ["GPU-1"]);
    // The next one is told how long that was: 1200 seconds, of which three have passed.
    want(&store, servers[0], &[(GPU, 1)], at(1204)).await;
    let Leased::Waits { place, .. } = lease(&store, servers[0], &[(GPU, 1)], &known, at(1206)).await else { panic!() };
    assert_eq!(place.wait, Some(TimeDelta::seconds(1197)));
}

async fn what_a_crash_or_jupyterhub_left_is_free_after_the_next_look(Database { store, url, directory }: Database) {
    let known = known(&[(GPU, &["GPU-1", "GPU-2"])]);
    let servers = people(&store, 3).await;
    for id in &servers[..2] {
        want(&store, *id, &[(GPU, 1)], at(0)).await;
        held(lease(&store, *id, &[(GPU, 1)], &known, at(1)).await);
    }
    crate::servers::bring_up(&store, servers[0]).await;
    let database = Database { store, url, directory };
    // As JupyterHub stops a server, and as no hub leaves one: stopped with its lease.
    database.hand("UPDATE spawners SET server_id = NULL").await;
    database
        .hand("UPDATE specola_servers SET desired = 'stopped', phase = 'stopped', url = NULL, deadline_at = NULL, token_id = NULL")
        .await;
    let store = &database.store;
    assert_eq!(store.device_use().await.unwrap().taken.len(), 0, "they do not count");
    assert_eq!(store.settle_devices().await.unwrap(), 2);
    assert_eq!(store.settle_devices().await.unwrap(), 0);
    want(store, servers[2], &[(GPU, 2)], at(5)).await;
    assert_eq!(held(lease(store, servers[2], &[(GPU, 2)], &known, at(6)).await), ["GPU-1", "GPU-2"]);
    // A server that is deleted takes nothing along.
    store.want_stopped(servers[2], at(7)).await.unwrap();
    assert!(store.delete_server(servers[2]).await.unwrap());
    assert_eq!(store.settle_devices().await.unwrap(), 0);
}

async fn who_is_late_gets_nothing(Database { store, .. }: Database) {
    let known = known(&[(GPU, &["GPU-1"])]);
    let servers = people(&store, 2).await;
    want(&store, servers[0], &[(GPU, 1)], at(0)).await;
    store.claim(servers[0], "another hub", at(1), TimeDelta::seconds(30)).await.unwrap().unwrap();
    let ask = async |generation, now| {
        let taker = Taker { id: servers[0], holder: HOLDER, generation };
        store.lease_devices(taker, &wanted(&[(GPU, 1)]), &known, now).await.unwrap()
    };
    assert_eq!(ask(Generation(0), at(2)).await, Leased::Lost, "another hub has it");
    store.claim(servers[0], HOLDER, at(60), TimeDelta::seconds(30)).await.unwrap().unwrap();
    assert_eq!(ask(Generation(7), at(61)).await, Leased::Lost, "it is in another generation");
    store.want_stopped(servers[0], at(62)).await.unwrap();
    assert_eq!(ask(Generation(0), at(63)).await, Leased::Lost, "nobody wants it");
    assert_eq!(store.device_use().await.unwrap(), hub_store::DeviceUse::default());
}

async fn more_than_there_are_is_told_and_is_in_nobodys_way(Database { store, .. }: Database) {
    let few = known(&[(GPU, &["GPU-1"])]);
    let servers = people(&store, 2).await;
    want(&store, servers[0], &[(GPU, 2)], at(0)).await;
    want(&store, servers[1], &[(GPU, 1)], at(1)).await;
    assert_eq!(held(lease(&store, servers[1], &[(GPU, 1)], &few, at(2)).await), ["GPU-1"]);
    let short = Leased::Short { resource: GPU.to_owned(), wanted: 2, total: 1 };
    assert_eq!(lease(&store, servers[0], &[(GPU, 2)], &few, at(3)).await, short);
    let none = Leased::Short { resource: SLICE.to_owned(), wanted: 1, total: 0 };
    assert_eq!(lease(&store, servers[0], &[(SLICE, 1)], &few, at(4)).await, none);
    assert_eq!(store.device_use().await.unwrap().waiting, BTreeMap::new());
    // A device that is not configured any more is given back for another one.
    let other = known(&[(GPU, &["GPU-9"])]);
    assert_eq!(held(lease(&store, servers[1], &[(GPU, 1)], &other, at(5)).await), ["GPU-9"]);
    assert_eq!(store.device_use().await.unwrap().taken, BTreeSet::from(["GPU-9".to_owned()]));
}

async fn two_kinds_are_had_together_or_not_at_all(Database { store, .. }: Database) {
    let known = known(&[(GPU, &["GPU-1"]), (SLICE, &["MIG-1"])]);
    let both_kinds = [(GPU, 1), (SLICE, 1)];
    let servers = people(&store, 3).await;
    want(&store, servers[0], &[(SLICE, 1)], at(0)).await;
    held(lease(&store, servers[0], &[(SLICE, 1)], &known, at(1)).await);
    want(&store, servers[1], &both_kinds, at(2)).await;
    want(&store, servers[2], &[(GPU, 1)], at(3)).await;
    assert_eq!(place(&lease(&store, servers[1], &both_kinds, &known, at(4)).await), (1, 1));
    assert_eq!(store.devices_of(servers[1]).await.unwrap(), Devices::new());
    assert_eq!(place(&lease(&store, servers[2], &[(GPU, 1)], &known, at(5)).await), (2, 2));
    store.want_stopped(servers[0], at(6)).await.unwrap();
    assert_eq!(held(lease(&store, servers[1], &both_kinds, &known, at(7)).await), ["GPU-1", "MIG-1"]);
}

async fn what_runs_already_keeps_what_it_is_known_to_have(Database { store, .. }: Database) {
    let known = known(&[(GPU, &["GPU-1", "GPU-2"])]);
    let servers = people(&store, 2).await;
    want(&store, servers[0], &[], at(0)).await;
    let up = crate::servers::bring_up(&store, servers[0]).await;
    let found = self::known(&[(GPU, &["GPU-1"])]);
    assert_eq!(store.note_devices(servers[0], Generation(99), &found, at(3)).await.unwrap(), 0, "of another start");
    assert_eq!(store.note_devices(servers[0], up.generation, &found, at(3)).await.unwrap(), 1);
    assert_eq!(store.note_devices(servers[0], up.generation, &found, at(4)).await.unwrap(), 0, "it is noted");
    assert_eq!(store.note_devices(servers[1], Generation(0), &found, at(4)).await.unwrap(), 0, "it does not run");
    want(&store, servers[1], &[(GPU, 1)], at(5)).await;
    assert_eq!(held(lease(&store, servers[1], &[(GPU, 1)], &known, at(6)).await), ["GPU-2"]);
}

async fn who_waits_for_a_device_keeps_nobody_from_starting(Database { store, .. }: Database) {
    let servers = people(&store, 3).await;
    want(&store, servers[0], &[(GPU, 1)], at(0)).await;
    let one = || StartLimits { concurrent: Some(1), ..StartLimits::default() };
    let answer = store.want_running(servers[1], None, &json!({}), one(), at(1)).await.unwrap();
    assert_eq!(answer, WantRunning::Accepted);
    let answer = store.want_running(servers[2], None, &json!({}), one(), at(2)).await.unwrap();
    assert_eq!(answer, WantRunning::TooManyStarting);
}

both!(
    twelve_who_take_five_devices_at_once_never_share_one,
    nobody_is_overtaken_and_places_are_told,
    a_device_is_free_again_when_the_stop_is_confirmed_and_not_before,
    what_a_crash_or_jupyterhub_left_is_free_after_the_next_look,
    who_is_late_gets_nothing,
    more_than_there_are_is_told_and_is_in_nobodys_way,
    two_kinds_are_had_together_or_not_at_all,
    what_runs_already_keeps_what_it_is_known_to_have,
    who_waits_for_a_device_keeps_nobody_from_starting,
);
