//! Pulls, each once for all who wait for it. A pull goes on when nobody waits any more: the next one wants the image too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use spawners::{StartError, Unreachable};
use tokio::sync::watch;

use crate::engine::{Engine, message};
use crate::layers::{Bytes, Layers};
use crate::login::Logins;
use crate::refusal;

/// How far a pull is.
#[derive(Debug, Clone)]
pub(crate) enum Pull {
    /// Under way.
    Going(Bytes),
    /// Over; an error is told to everybody who waited.
    Over(Result<(), Arc<Failure>>),
}

/// Why a pull did not bring the image.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A code and a sentence.
    Told(&'static str, &'static str),
    /// The engine could not be asked.
    Unreachable(String),
}

impl Failure {
    /// What a start comes to that waited for it.
    pub fn of_start(&self) -> StartError {
        match self {
            Self::Told(code, sentence) => StartError::failed(code, *sentence),
            Self::Unreachable(what) => Unreachable(anyhow::anyhow!("{what}")).into(),
        }
    }
}

/// The pulls under way, by the name of the image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulls {
    going: Arc<Mutex<HashMap<String, watch::Receiver<Pull>>>>,
}

impl Pulls {
    /// Joins the pull of an image, or begins one.
    pub fn join(&self, engine: &Arc<Engine>, logins: &Logins, image: &str, limit: Duration) -> watch::Receiver<Pull> {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pull) = going.get(image) {
            return pull.clone();
        }
        let (sender, receiver) = watch::channel(Pull::Going(Bytes::default()));
        going.insert(image.to_owned(), receiver.clone());
        let (engine, logins, image, pulls) = (Arc::clone(engine), logins.clone(), image.to_owned(), self.clone());
        tokio::spawn(async move {
            let outcome = tokio::time::timeout(limit, pull(&engine, &logins, &image, limit, &sender)).await;
            let outcome = outcome.unwrap_or_else(|_| {
                tracing::warn!(image, "not pulled within {limit:?}");
                Err(Failure::Told("pull_timeout", "Pulling the image took too long. Try again later."))
            });
            // Whoever comes from here on begins anew.
            pulls.going.lock().unwrap_or_else(PoisonError::into_inner).remove(&image);
            sender.send_replace(Pull::Over(outcome.map_err(Arc::new)));
        });
        receiver
    }
}

async fn pull(
    engine: &Engine,
    logins: &Logins,
    image: &str,
    limit: Duration,
    progress: &watch::Sender<Pull>,
) -> Result<(), Failure> {
    let credentials = logins.of(image).map_err(|what| {
        tracing::error!(image, "the login at its registry cannot be read: {what}");
        Failure::Told(
            "login_unreadable",
            "This hub's login at the registry of the image cannot be read. Ask the people who run this hub.",
        )
    })?;
    tracing::info!(image, "pulling");
    let (name, tag) = parts(image);
    let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
    let client = engine.patient(limit).map_err(|error| Failure::Unreachable(error.to_string()))?;
    let mut stream = client.create_image(Some(options), None, credentials);
    let mut layers = Layers::default();
    while let Some(said) = stream.next().await {
        match said {
            Ok(said) => {
                layers.hear(&said);
                progress.send_replace(Pull::Going(layers.bytes()));
            }
            Err(error) => {
                let Some(said) = message(&error) else { return Err(Failure::Unreachable(error.to_string())) };
                let (code, sentence) = refusal::of_pull(said);
                tracing::warn!(image, code, "not pulled: {}", callout::excerpt(said.as_bytes(), 600));
                return Err(Failure::Told(code, sentence));
            }
        }
    }
    tracing::info!(image, "pulled");
    Ok(())
}

/// The name and the tag or digest of an image. Without a tag the engine would pull every one there is.
fn parts(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        // A digest tells more than a tag beside it.
        return (parts(name).0, digest);
    }
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_one_tag() {
        let table = [
            ("debian", ("debian", "latest")),
            ("debian:12", ("debian", "12")),
            ("127.0.0.1:5000/a", ("127.0.0.1:5000/a", "latest")),
            ("127.0.0.1:5000/a:b", ("127.0.0.1:5000/a", "b")),
            ("a/b:c@sha256:00", ("a/b", "sha256:00")),
        ];
        for (image, expected) in table {
            assert_eq!(parts(image), expected);
        }
    }
}
