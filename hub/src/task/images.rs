//! Has the cluster's machines fetch the images that servers may be started with, those used most first.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use spawner_kubernetes::ImagePuller;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::images;

/// Between two looks: the order follows use.
const PERIOD: Duration = Duration::from_secs(3600);
/// The same while the cluster cannot be asked.
const AGAIN: Duration = Duration::from_secs(60);

/// Runs until told to stop. Every hub does it: all say the same.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let kubernetes = &images::spawner(&app.config).kubernetes;
    let Some(puller) = &kubernetes.image_puller else { return };
    let puller = ImagePuller::new(&kubernetes.driver(""), puller);
    loop {
        let pause = match once(&app, &puller).await {
            Ok(()) => PERIOD,
            Err(error) => {
                tracing::warn!("images are not fetched beforehand as they are used: {error:#}");
                AGAIN
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn once(app: &App, puller: &ImagePuller) -> Result<()> {
    let plans = app.store.plans_by_starts().await?;
    let wanted = images::by_use(images::offered(&app.config, app.rules.as_ref()), &app.config, &plans);
    if puller.fetch(&wanted).await? {
        tracing::info!(images = wanted.len(), first = wanted.first(), "other images are fetched beforehand");
    }
    Ok(())
}
