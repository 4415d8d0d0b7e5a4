//! Finds a server's processes: by what was noted, by its state, or by the mark in the environment.
//!
//! Anyone can put any mark in the environment of processes of their own. So a mark counts only under the uid that the
//! server's user has.

use std::collections::{HashMap, HashSet};
use std::io;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use spawners::{Identity, Marker};

use crate::process::{self, Environment, Process, Stat};
use crate::run::{Run, Runs};
use crate::{Config, MARKER, account, limit, port};

/// How often all processes of a server are looked for and killed in one go, for those that make others meanwhile.
const ROUNDS: usize = 8;

/// What there is of a server.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Its first process runs.
    Live(Run, Process),
    /// Its first process has ended.
    Ended(Run),
    /// It was intended, and never made.
    Intended(Run),
    /// Nothing.
    Nothing,
}

/// Looks for one server. What was found without a note is noted.
pub fn find(runs: &Runs, config: &Config, server: &Identity, state: &Value) -> io::Result<Found> {
    let boot_id = process::boot_id()?;
    let run = runs.load(&server.marker())?;
    if run.as_ref().is_some_and(|run| run.identity().is_anothers(server)) {
        return Ok(Found::Nothing);
    }
    if let Some(run) = &run
        && let Some(process) = run.process
    {
        let alive = run.boot_id == boot_id && process.alive()?;
        return Ok(if alive { Found::Live(run.clone(), process) } else { Found::Ended(run.clone()) });
    }
    let by_state = by_state(config, server, state, &boot_id)?;
    let Some((stat, url)) = by_state.map_or_else(|| by_mark(config, server), |found| Ok(Some(found)))? else {
        return Ok(run.map_or(Found::Nothing, Found::Intended));
    };
    let mut run = run.unwrap_or_else(|| intention(server, stat.uid, url.clone(), boot_id));
    (run.process, run.uid, run.url) = (Some(stat.process), stat.uid, url);
    run.cgroups = limit::of(stat.process.pid);
    note(runs, &run);
    Ok(Found::Live(run, stat.process))
}

/// Describes a server that is not there yet.
pub fn intention(server: &Identity, uid: u32, url: String, boot_id: String) -> Run {
    Run {
        hub: server.hub.clone(),
        spawner: server.spawner,
        generation: server.generation,
        user: server.user.clone(),
        server: server.server.clone(),
        account: server.account.clone(),
        uid,
        url,
        boot_id,
        process: None,
        ending: None,
        cgroups: Vec::new(),
    }
}

/// Writes a note that a search could replace: on a full disk the server matters more.
pub fn note(runs: &Runs, run: &Run) {
    if let Err(error) = runs.save(run) {
        tracing::warn!(server = %run.marker(), %error, "what is known of a server could not be noted");
    }
}

/// Returns the state the hub stores. `pid` is LocalProcessSpawner's; the other keys it passes over.
pub fn state_of(run: &Run) -> Value {
    let mut state = json!({ "generation": run.generation, "boot_id": run.boot_id, "url": run.url });
    if let (Some(process), Some(keys)) = (run.process, state.as_object_mut()) {
        keys.insert("pid".into(), process.pid.into());
        keys.insert("start_time".into(), process.start_time.into());
    }
    state
}

/// Follows the pid in a state, if the process is the server's beyond doubt.
fn by_state(config: &Config, server: &Identity, state: &Value, boot_id: &str) -> io::Result<Option<(Stat, String)>> {
    let differs = |key: &str, value: &Value| state.get(key).is_some_and(|known| known != value);
    if differs("generation", &json!(server.generation)) || differs("boot_id", &json!(boot_id)) {
        return Ok(None);
    }
    let pid = state.get("pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 1);
    let Some(stat) = pid.map_or(Ok(None), process::stat)? else { return Ok(None) };
    if differs("start_time", &json!(stat.process.start_time))
        || account::uid_of(&server.user, config)? != Some(stat.uid.into())
    {
        return Ok(None);
    }
    // JupyterHub leaves a bare pid. Whose process that is, the environment tells that it gave to it.
    let environment = Environment::of(stat.process)?;
    let claimed = match environment.get(MARKER) {
        Some(marker) => marker == server.marker().to_string(),
        None => names(&environment, server),
    };
    Ok(if claimed { address(&environment).map(|url| (stat, url)) } else { None })
}

fn names(environment: &Environment, server: &Identity) -> bool {
    environment.get("JUPYTERHUB_USER") == Some(server.user.as_str())
        && environment.get("JUPYTERHUB_SERVER_NAME").unwrap_or_default() == server.server
}

fn address(environment: &Environment) -> Option<String> {
    environment.get("JUPYTERHUB_SERVICE_URL").and_then(port::reach).map(|(url, _)| url)
}

/// Looks through all processes for the server's mark. The first one is the oldest that leads a session; kernels lead
/// sessions too, and inherit the mark.
fn by_mark(config: &Config, server: &Identity) -> io::Result<Option<(Stat, String)>> {
    let marker = server.marker().to_string();
    let Some(uid) = account::uid_of(&server.user, config)? else { return Ok(None) };
    let mut oldest: Option<(Stat, String)> = None;
    for stat in process::all()?.into_iter().filter(|stat| leads(stat) && uid == stat.uid.into()) {
        let environment = Environment::of(stat.process)?;
        if environment.get(MARKER) == Some(marker.as_str())
            && oldest.as_ref().is_none_or(|(other, _)| stat.process < other.process)
            && let Some(url) = address(&environment)
        {
            oldest = Some((stat, url));
        }
    }
    Ok(oldest)
}

fn leads(stat: &Stat) -> bool {
    stat.session == stat.process.pid
}

/// Lists every server of a hub that was noted or carries its mark; those only intended are left out.
pub fn owned(runs: &Runs, config: &Config, hub: &str) -> io::Result<Vec<Run>> {
    let noted: Vec<Run> = runs.all()?.into_iter().filter(|run| run.hub == hub).collect();
    let mut known: HashSet<Marker> = noted.iter().filter(|run| run.process.is_some()).map(Run::marker).collect();
    let mut all: Vec<Run> = noted.into_iter().filter(|run| run.process.is_some()).collect();
    let mut strays: Vec<(Stat, Environment)> = Vec::new();
    for stat in process::all()?.into_iter().filter(leads) {
        strays.push((stat, Environment::of(stat.process)?));
    }
    strays.sort_by_key(|(stat, _)| stat.process);
    let mut uids: HashMap<String, bool> = HashMap::new();
    for (stat, environment) in strays {
        let Some(marker) = environment.get(MARKER).and_then(|text| text.parse::<Marker>().ok()) else { continue };
        let Some(user) = environment.get("JUPYTERHUB_USER") else { continue };
        if marker.hub != hub || known.contains(&marker) {
            continue;
        }
        let key = format!("{}:{user}", stat.uid);
        if !uids.contains_key(&key) {
            uids.insert(key.clone(), account::uid_of(user, config)? == Some(stat.uid.into()));
        }
        if uids.get(&key) != Some(&true) {
            continue;
        }
        let Marker { hub, spawner, generation } = marker.clone();
        let server = environment.get("JUPYTERHUB_SERVER_NAME").unwrap_or_default().to_owned();
        let server = Identity { hub, spawner, generation, user: user.to_owned(), server, account: None };
        if let Found::Live(run, _) = find(runs, config, &server, &Value::Null)? {
            known.insert(marker);
            all.push(run);
        }
    }
    Ok(all)
}

/// Lists all living processes of a server: those of its session, with its mark, in its control groups, and theirs.
pub fn crowd(run: &Run) -> io::Result<Vec<Process>> {
    if run.boot_id != process::boot_id()? {
        return Ok(Vec::new());
    }
    let all = process::all()?;
    let members = limit::members(&run.cgroups);
    let mut chosen: HashSet<i32> = HashSet::new();
    for stat in &all {
        if members.contains(&stat.process.pid) || (stat.uid == run.uid && belongs(stat, run, &all)?) {
            chosen.insert(stat.process.pid);
        }
    }
    loop {
        let before = chosen.len();
        let children: Vec<i32> =
            all.iter().filter(|stat| chosen.contains(&stat.parent)).map(|stat| stat.process.pid).collect();
        chosen.extend(children);
        if chosen.len() == before {
            break;
        }
    }
    Ok(all.iter().map(|stat| stat.process).filter(|process| chosen.contains(&process.pid)).collect())
}

fn belongs(stat: &Stat, run: &Run, all: &[Stat]) -> io::Result<bool> {
    let Some(first) = run.process else { return marked(stat, run) };
    if stat.process.start_time < first.start_time {
        return Ok(false);
    }
    if stat.session == first.pid {
        // While a session has members its number is not given away. A leader that is not ours means ours is over.
        let leader = all.iter().find(|other| other.process.pid == first.pid);
        return Ok(leader.is_none_or(|leader| leader.process == first));
    }
    marked(stat, run)
}

fn marked(stat: &Stat, run: &Run) -> io::Result<bool> {
    let environment = Environment::of(stat.process)?;
    Ok(match environment.get(MARKER) {
        Some(marker) => marker == run.marker().to_string(),
        // Servers that JupyterHub started carry no mark, but no two of them share an address.
        None => address(&environment).is_some_and(|url| url == run.url),
    })
}

/// Sends a signal to all of a server's processes; whether there were any.
pub fn signal_all(run: &Run, signal: Signal) -> io::Result<bool> {
    let crowd = crowd(run)?;
    for process in &crowd {
        if let Err(error) = process.signal(signal) {
            tracing::warn!(server = %run.marker(), pid = process.pid, %error, "a process could not be signalled");
        }
    }
    Ok(!crowd.is_empty())
}

/// Kills all of a server's processes, and those they make meanwhile.
pub fn kill_all(run: &Run) -> io::Result<()> {
    for _ in 0..ROUNDS {
        if !signal_all(run, Signal::SIGKILL)? {
            break;
        }
    }
    Ok(())
}
