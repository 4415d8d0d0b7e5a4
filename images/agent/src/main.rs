//! `specola-lab-agent COMMAND …`: runs a lab, and keeps its person's access token current in a file beside it.
//!
//! The lab's own environment says where the hub is and by which token it asks (`JUPYTERHUB_API_URL`,
//! `JUPYTERHUB_API_TOKEN`). Programs in the lab find the file by `BEARER_TOKEN_FILE`, as WLCG's token discovery has it.
//! Signals go on to the lab, and its exit is the agent's own. Without a command the agent only keeps the file, for a
//! container beside the lab's. A hub without tokens, or none at all, keeps no lab from running.

mod child;
mod folder;
mod hub;
mod keep;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::folder::Folder;
use crate::hub::Hub;
use crate::keep::Keeper;

/// How long a lab waits for its first token.
const FIRST: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let command = command.strip_prefix(&["--".to_owned()]).map_or(command.clone(), <[String]>::to_vec);
    if matches!(command.first().map(String::as_str), Some("--help" | "-h")) {
        println!(
            "usage: specola-lab-agent [--] COMMAND [ARGUMENT …]\n\nRuns a lab, and keeps its access token current in the file that BEARER_TOKEN_FILE names."
        );
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&command))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("specola-lab-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &[String]) -> Result<ExitCode> {
    let keeper = match (Hub::of_environment(), Folder::of_environment()) {
        (Ok(hub), Ok(folder)) => Some(Keeper::new(hub, folder)),
        // Said once; the lab is what people wait for.
        (hub, folder) => {
            for error in [hub.err(), folder.err()].into_iter().flatten() {
                eprintln!("specola-lab-agent: no access token is kept: {error:#}");
            }
            None
        }
    };
    let Some(keeper) = keeper else { return child::run(command, None).await };
    let (file, folder) = (keeper.file(), keeper.folder().clone());
    let (first, told) = tokio::sync::oneshot::channel();
    let keeping = tokio::spawn(async move { keeper.run(first).await });
    let _ = tokio::time::timeout(FIRST, told).await;
    let code = child::run(command, Some(&file)).await;
    keeping.abort();
    // Aborted for good before what it would write is taken away.
    let _ = keeping.await;
    folder.clear();
    code
}
