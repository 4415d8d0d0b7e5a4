//! `specola-lab-agent COMMAND …`: runs a lab, keeps its person's access token current in a file beside it, and serves keys
//! of object stores to the programs in it. The hub is told how it stands with all this.
//!
//! The lab's own environment says where the hub is and by which token it asks (`JUPYTERHUB_API_URL`,
//! `JUPYTERHUB_API_TOKEN`). Programs in the lab find the file by `BEARER_TOKEN_FILE`, as WLCG's token discovery has it,
//! and the keys by the variables that programs of AWS know. Signals go on to the lab, and its exit is the agent's own; as
//! the first process of a container it takes leave of orphans. Without a command the agent only keeps, for a container
//! beside the lab's, or beside an executor of Spark's or Dask's, to which it serves keys at an address that was chosen for
//! it, and with which it ends where it sees it (`SPECOLA_PROCESSES`). A hub without tokens, or none at all, keeps no lab from running.

mod ask;
mod beside;
mod child;
mod folder;
mod folders;
mod hub;
mod keep;
mod keys;
mod profiles;
mod report;
mod serve;
mod status;
mod tls;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::child::Signals;
use crate::folder::Folder;
use crate::folders::Folders;
use crate::hub::Hub;
use crate::keep::Keeper;
use crate::keys::KeyRing;
use crate::serve::Counter;
use crate::status::Status;

/// How long a lab waits for what it finds when it starts.
const FIRST: Duration = Duration::from_secs(5);

const USAGE: &str = "\
usage: specola-lab-agent [--] COMMAND [ARGUMENT …]
       specola-lab-agent credentials [--storage NAME]

Runs a lab, keeps its access token current in the file that BEARER_TOKEN_FILE names, and serves keys of object stores to
programs of AWS. `credentials` prints such keys, for credential_process.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.strip_prefix(&["--".to_owned()]).map_or(arguments.clone(), <[String]>::to_vec);
    let first = arguments.first().map(String::as_str);
    if matches!(first, Some("--help" | "-h")) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let work = async {
        match first {
            Some("credentials") => ask::run(&arguments[1..]).await,
            _ => run(&command).await,
        }
    };
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(work)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("specola-lab-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &[String]) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let (hub, folder) = match (Hub::of_environment(), Folder::of_environment()) {
        (Ok(hub), Ok(folder)) => (Arc::new(hub), folder),
        // Said once; the lab is what people wait for.
        (hub, folder) => {
            for error in [hub.err(), folder.err()].into_iter().flatten() {
                eprintln!("specola-lab-agent: no access token is kept: {error:#}");
            }
            return stay(&mut signals, command, &[]).await;
        }
    };
    let mut tasks = JoinSet::new();
    let variables = tokio::select! {
        variables = begin(&hub, &folder, &mut tasks) => variables,
        code = signals.end() => {
            end(tasks, &folder).await;
            return Ok(code);
        }
    };
    let code = stay(&mut signals, command, &variables).await;
    end(tasks, &folder).await;
    code
}

/// Stays as long as the lab, or without one as those beside it.
async fn stay(signals: &mut Signals, command: &[String], variables: &[(String, String)]) -> Result<ExitCode> {
    tokio::select! {
        code = signals.run(command, variables) => code,
        () = beside::alone(), if command.is_empty() => Ok(ExitCode::SUCCESS),
    }
}

/// Sets everything going, and waits for what is to be there when the lab starts. Returns the variables by which it finds
/// all this.
async fn begin(hub: &Arc<Hub>, folder: &Folder, tasks: &mut JoinSet<()>) -> Vec<(String, String)> {
    let names = ask::names();
    let status = Arc::new(Status::new(folder.clone(), &names));
    let keeper = Keeper::new(hub.clone(), folder.clone(), status.clone());
    let mut variables = vec![("BEARER_TOKEN_FILE".to_owned(), keeper.file().display().to_string())];
    let (first, told) = tokio::sync::oneshot::channel();
    tasks.spawn(async move { keeper.run(first).await });
    let rings: Vec<_> =
        names.iter().map(|name| Arc::new(KeyRing::new(name.clone(), hub.clone(), status.clone()))).collect();
    for ring in &rings {
        let ring = Arc::clone(ring);
        tasks.spawn(async move { ring.run().await });
    }
    match serve(&rings, folder, tasks).await {
        Ok(more) => variables.extend(more),
        Err(error) => eprintln!("specola-lab-agent: no keys are served: {error:#}"),
    }
    let everything = async {
        let asked = rings.iter().map(|ring| ring.asked());
        let (_, profiles, _) = tokio::join!(told, profiles(hub, folder, &names), futures_util::future::join_all(asked));
        profiles
    };
    variables.extend(tokio::time::timeout(FIRST, everything).await.unwrap_or_default());
    if !serve::is_beside_an_executor() {
        tasks.spawn(report::run(hub.clone(), status, Folders::of_environment()));
    }
    variables
}

/// Opens the counter for keys, if there are any.
async fn serve(rings: &[Arc<KeyRing>], folder: &Folder, tasks: &mut JoinSet<()>) -> Result<Vec<(String, String)>> {
    const TOKEN: &str = "storage_token";
    let Some(first) = rings.first() else { return Ok(Vec::new()) };
    let counter = Counter::open(rings.to_vec()).await?;
    folder.write(TOKEN, counter.token())?;
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", counter.url(&first.name)),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", folder.file(TOKEN).display().to_string()),
        // For programs that know no such file.
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", counter.token().to_owned()),
        (ask::URL, counter.url("")),
        (ask::TOKEN, counter.token().to_owned()),
    ];
    tasks.spawn(counter.run());
    Ok(variables.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The files for several storages and for those with certificates of their own.
async fn profiles(hub: &Hub, folder: &Folder, names: &[String]) -> Vec<(String, String)> {
    if names.is_empty() {
        return Vec::new();
    }
    let written = match hub.storage().await {
        Ok(mut storage) => {
            storage.retain(|one| names.contains(&one.name));
            profiles::write(folder, &storage, profiles::has_own_config())
        }
        Err(refusal) => Err(anyhow::anyhow!("{}", refusal.message.unwrap_or_default())),
    };
    written.unwrap_or_else(|error| {
        eprintln!("specola-lab-agent: there are no profiles of the storages: {error:#}");
        Vec::new()
    })
}

/// Ends everything for good before what it would write is taken away.
async fn end(mut tasks: JoinSet<()>, folder: &Folder) {
    tasks.shutdown().await;
    folder.clear();
}
