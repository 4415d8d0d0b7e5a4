//! `specola await-images`: what the chart's install waits for.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

/// Wait until a daemon set that fetches images is ready on all machines. A hook of the Helm chart
#[derive(Debug, Args)]
pub struct AwaitImages {
    /// Its name.
    #[arg(long, value_name = "NAME")]
    daemon_set: String,
    /// The namespace it is in; without it, that of this pod or of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// The address of the API server, when it is not the one that is found.
    #[arg(long, value_name = "URL")]
    k8s_api_host: Option<String>,
    /// How many seconds to wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// Runs the command.
pub async fn run(arguments: AwaitImages) -> Result<()> {
    let AwaitImages { daemon_set, namespace, k8s_api_host, timeout } = arguments;
    let mut last = String::new();
    let tell = |said: String| {
        println!("{said}");
        last = said;
    };
    let waiting =
        spawner_kubernetes::daemon_set_ready(k8s_api_host.as_deref(), namespace.as_deref(), &daemon_set, tell);
    match tokio::time::timeout(Duration::from_secs(timeout), waiting).await {
        Ok(ended) => ended,
        Err(_) => bail!("not all images were there within {timeout} seconds. {last}"),
    }
}
