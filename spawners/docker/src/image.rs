//! Makes sure that the engine has the image of a server, and tells what is in it.

use std::time::{Duration, Instant};

use bollard::models::ImageInspect;
use spawners::{Record, StartError};

use crate::driver::Parts;
use crate::engine::status;
use crate::pull::Pull;
use crate::refusal;
use crate::shape::PullPolicy;

/// People are told how far a pull is so often.
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// The part of a start's progress that is the pull: from, and how much.
const SPAN: (u8, u8) = (10, 60);

/// What matters of an image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    /// Its digest.
    pub id: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
}

impl From<ImageInspect> for Image {
    fn from(image: ImageInspect) -> Self {
        let config = image.config.unwrap_or_default();
        Self {
            id: image.id.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
        }
    }
}

impl Parts {
    /// The image, pulled where that is the policy; `None` where the engine is not to be asked.
    pub(crate) async fn image(
        &self,
        name: &str,
        policy: PullPolicy,
        record: &dyn Record,
    ) -> Result<Option<Image>, StartError> {
        if policy == PullPolicy::Skip {
            return Ok(None);
        }
        let there = if policy == PullPolicy::Always { None } else { self.inspect_image(name).await? };
        match (there, policy) {
            (Some(image), _) => return Ok(Some(image)),
            (None, PullPolicy::Never) => return Err(absent()),
            (None, _) => {}
        }
        self.pull(name, record).await?;
        self.inspect_image(name).await?.map(Some).ok_or_else(absent)
    }

    async fn inspect_image(&self, name: &str) -> Result<Option<Image>, StartError> {
        let inspected = match self.engine.client() {
            Ok(client) => client.inspect_image(name).await,
            Err(error) => Err(error),
        };
        match inspected {
            Ok(image) => Ok(Some(image.into())),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(refusal::of(error, "inspect the image")),
        }
    }

    async fn pull(&self, name: &str, record: &dyn Record) -> Result<(), StartError> {
        let limit = self.config.pull_timeout;
        let mut pull = self.pulls.join(&self.engine, &self.config.logins, name, limit);
        record.patience(limit).await;
        record.progress(SPAN.0, &format!("Pulling the image {name}")).await;
        let mut told = (Instant::now(), String::new());
        loop {
            let now = pull.borrow_and_update().clone();
            match now {
                Pull::Over(Ok(())) => break,
                Pull::Over(Err(failure)) => return Err(failure.of_start()),
                Pull::Going(bytes) if bytes.total > 0 => {
                    let sentence = format!("Pulling the image {name}: {bytes}");
                    if sentence != told.1 && (told.1.is_empty() || told.0.elapsed() >= TOLD_EVERY) {
                        let percent = u16::from(SPAN.1) * u16::from(bytes.percent()) / 100;
                        record.progress(SPAN.0 + u8::try_from(percent).unwrap_or(SPAN.1), &sentence).await;
                        told = (Instant::now(), sentence);
                    }
                }
                Pull::Going(_) => {}
            }
            if pull.changed().await.is_err() {
                return Err(StartError::failed("pull_failed", "Pulling the image was broken off. Try again."));
            }
        }
        // The start has its usual time from here on.
        record.patience(Duration::ZERO).await;
        Ok(())
    }
}

fn absent() -> StartError {
    StartError::refused(
        "image_absent",
        "The image of this server is not on the machine that runs servers, and is not to be pulled.",
    )
}
