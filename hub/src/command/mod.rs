//! The command line: one file a command.

pub mod adopt;
pub mod audit;
pub mod await_images;
pub mod bridge;
pub mod check_config;
pub mod chp;
mod chp_log;
pub mod database;
pub mod doctor;
pub mod explain;
pub mod images;
pub mod import_config;
pub mod import_values;
mod log;
pub mod proxy;
pub(crate) mod proxy_life;
mod proxy_tls;
pub mod quickstart;
pub mod register_client;
pub mod serve;
pub mod token;
pub mod trash;
pub mod user;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::config::log::LogFormat;

/// A hub that starts notebooks for people, compatible with JupyterHub.
#[derive(Debug, Parser)]
#[command(name = "specola", version, about, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Quickstart),
    Serve(serve::Serve),
    CheckConfig(check_config::CheckConfig),
    Doctor(doctor::Doctor),
    Explain(explain::Explain),
    Images(images::Images),
    User(user::User),
    Token(token::Token),
    Trash(trash::Trash),
    Adopt(adopt::Adopt),
    ImportConfig(import_config::ImportConfig),
    ImportValues(import_values::ImportValues),
    Audit(audit::Audit),
    #[command(hide = true)]
    AwaitImages(await_images::AwaitImages),
    RegisterClient(register_client::RegisterClient),
    Bridge(bridge::Bridge),
    Proxy(Box<proxy::Proxy>),
    #[command(name = chp::NAME)]
    Chp(Box<chp::Chp>),
}

/// Reads the arguments and runs the command.
pub fn main() -> ExitCode {
    let mut called = std::env::args_os();
    let as_chp = chp::is_called(called.next().as_deref());
    let parsed = match as_chp {
        true => chp::Chp::try_parse().map(|arguments| Command::Chp(Box::new(arguments))),
        false => CommandLine::try_parse().map(|line| line.command),
    };
    let command = match parsed {
        Ok(command) => command,
        // What configurable-http-proxy ends with.
        Err(problem) if problem.use_stderr() && (as_chp || called.next().is_some_and(|first| first == chp::NAME)) => {
            // Nobody is left to tell when this fails.
            let _ = problem.print();
            return ExitCode::FAILURE;
        }
        Err(problem) => problem.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let done = runtime.block_on(async {
        let done = match command {
            Command::Chp(arguments) => return chp::run(*arguments).await,
            Command::Quickstart(arguments) => quickstart::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::CheckConfig(arguments) => check_config::run(&arguments),
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Explain(arguments) => explain::run(arguments).await,
            Command::Images(arguments) => images::run(arguments).await,
            Command::User(arguments) => user::run(arguments).await,
            Command::Token(arguments) => token::run(arguments).await,
            Command::Trash(arguments) => trash::run(arguments).await,
            Command::Adopt(arguments) => adopt::run(arguments).await,
            Command::ImportConfig(arguments) => import_config::run(arguments).await,
            Command::ImportValues(arguments) => import_values::run(&arguments),
            Command::Audit(arguments) => audit::run(arguments).await,
            Command::AwaitImages(arguments) => await_images::run(arguments).await,
            Command::RegisterClient(arguments) => register_client::run(arguments).await,
            Command::Bridge(arguments) => bridge::run(&arguments),
            Command::Proxy(arguments) => proxy::run(*arguments).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    });
    match done {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("specola: {error:#}");
    ExitCode::FAILURE
}

/// Loads the configuration; every problem is a line.
pub fn load(path: Option<&Path>) -> Result<Config> {
    Config::load(path, &crate::config::environment::of_process()).map_err(|errors| anyhow!("{errors}"))
}

/// Begins to log to standard error as configured. `RUST_LOG` wins.
pub fn init_log(config: &Config) {
    // The web server's own lines about its threads help nobody who runs a hub.
    // Whoever asks an API server says himself what failed, and for whom.
    let others = "actix_server=warn,kube_client::client::builder=off";
    let configured = || EnvFilter::new(format!("{others},{}", config.log.level));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| configured());
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_env_filter(filter);
    // A second call, as in tests, keeps the first.
    let _ = match config.log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.event_format(log::Lines).try_init(),
    };
}

/// Begins to log for the proxy, which reads no configuration.
pub fn init_proxy_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_env_filter(filter).try_init();
}
