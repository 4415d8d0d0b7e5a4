//! An API server with a kubelet and labs, in a process of its own, for hubs under test. One line of JSON says where it
//! listens. It ends when its standard input closes, so that a test which dies leaves nothing. `control.rs` of the package
//! has what it can be asked for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use fake_kubernetes::{Fake, Options, Pace};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// Where the API server listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where it is told what goes wrong.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// The port of all servers, each at an address of its own in 127.0.0.0/8; 0 is any that is free.
    #[arg(long, default_value_t = 0)]
    lab_port: u16,
    /// The version of JupyterHub that servers tell of.
    #[arg(long, default_value = "6.1.1")]
    jupyterhub_version: String,
    /// The kubeconfig is written here.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The namespace of the kubeconfig.
    #[arg(long, default_value = "labs")]
    namespace: String,
    /// How many milliseconds pass until a pod has a node.
    #[arg(long, default_value_t = 0)]
    placing: u64,
    /// How many milliseconds pass from there until it is ready.
    #[arg(long, default_value_t = 0)]
    starting: u64,
    /// How many milliseconds pass from the wish until it has ended.
    #[arg(long, default_value_t = 20)]
    ending: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_millis;
    let pace =
        Pace { placing: time(arguments.placing), starting: time(arguments.starting), ending: time(arguments.ending) };
    let labs = Some(arguments.jupyterhub_version);
    let options = Options { pace, listen: Some(arguments.listen), labs, lab_port: arguments.lab_port };
    let fake = Fake::begin(options).await?;
    let control = fake.control(arguments.control).await?;
    let file = &arguments.kubeconfig;
    let kubeconfig = fake.kubeconfig(&arguments.namespace).to_string();
    std::fs::write(file, kubeconfig).with_context(|| format!("writing {}", file.display()))?;
    println!("{}", json!({ "api": fake.address, "control": control, "lab_port": fake.lab_port() }));
    // Nothing is said to it.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}
