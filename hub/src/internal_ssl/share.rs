//! Gives proxies of a cluster what they show and believe: the files of the hub's own proxy, in a secret that theirs mount.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use spawner_kubernetes::SharedSecret;
use tokio_util::sync::CancellationToken;

use super::files_of_proxy;
use crate::app::App;

/// Between two tries while the cluster cannot be asked.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes them once, however long it takes. Of several hubs each has signed some, and all are good.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let Some(name) = app.config.proxy.internal_ssl_secret.as_ref().filter(|_| app.config.hub.internal_ssl) else {
        return;
    };
    let secret = SharedSecret::new(&crate::images::spawner(&app.config).kubernetes.driver(""), name);
    loop {
        match once(&app, &secret).await {
            Ok(true) => return,
            Ok(false) => continue,
            Err(error) => tracing::warn!("proxies have no new certificates yet: {error:#}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Whether nobody was quicker.
async fn once(app: &App, secret: &SharedSecret) -> Result<bool> {
    let files = files_of_proxy(&app.config.hub.data_dir.join("proxy"));
    let entries = files.iter().map(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, std::fs::read(file).with_context(|| file.display().to_string())?))
    });
    let entries = entries.collect::<Result<_>>()?;
    let (version, _) = secret.read().await?;
    Ok(secret.write(&version, entries).await?.is_some())
}
