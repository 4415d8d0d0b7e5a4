//! `specola serve`: the hub.

use anyhow::Result;
use clap::Args;

use super::database::Hub;
use crate::config::Config;
use crate::instance::Instance;
use crate::keeper::breakpoint;
use crate::start;

/// Serve the hub: pages, REST API, and the keeper of people's servers; starts the proxy if it does not run.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where the configuration is.
    #[command(flatten)]
    pub hub: Hub,
    /// Stop the running hub and its proxy, then exit. People's servers go on.
    #[arg(long)]
    pub stop_all: bool,
    /// Be the proxy of this configuration and nothing else, for who keeps its process themselves (proxy.should_start
    /// = false): in a container or a unit of its own.
    #[arg(long, conflicts_with = "stop_all")]
    pub proxy: bool,
    /// Name the places at which tests can make the hub die, then exit.
    #[arg(long, hide = true)]
    pub list_breakpoints: bool,
}

/// Runs the command.
pub async fn run(arguments: Serve) -> Result<()> {
    if arguments.list_breakpoints {
        breakpoint::NAMES.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let config = arguments.hub.load()?;
    if arguments.proxy {
        match start::proxy_process(&config).become_it()? {}
    }
    super::init_log(&config);
    if arguments.stop_all {
        return stop_all(&config).await;
    }
    serve(config, |app| {
        tracing::info!("ready at {}{}", app.config.hub.bind_url.local_url(), app.paths.base);
    })
    .await
}

/// Stops the hub first: it would start the proxy again.
async fn stop_all(config: &Config) -> Result<()> {
    let was_running = Instance::stop_running(&config.hub.data_dir).await?;
    let proxy = start::proxy_process(config);
    let had_proxy = proxy.status().await.is_ok();
    proxy.stop().await;
    let said = |yes: bool| if yes { "stopped" } else { "was not running" };
    println!("Hub: {}. Proxy: {}.", said(was_running), said(had_proxy));
    Ok(())
}

/// Serves a configuration until it is stopped. `announce` is called once everything answers.
pub async fn serve(mut config: Config, announce: impl FnOnce(&crate::app::App)) -> Result<()> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    crate::login::oidc::claim::complete(&mut config).await?;
    match start::assemble(config).await? {
        Some(parts) => parts.run(announce).await,
        None => {
            tracing::info!("stopped before the database was there");
            Ok(())
        }
    }
}
