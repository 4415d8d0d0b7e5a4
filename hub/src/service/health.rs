//! Asks the services that have a url whether they answer, notes it, and keeps the board of services fresh.
//!
//! A service that does not answer stops nothing: it is logged and shown. New ones are asked every second until they
//! answer or their `timeout` is over, then all of them once an interval.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub_core::id::ServiceId;
use hub_core::service::prefix;
use hub_store::Service;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::keeper::probe::{Prober, Reply};

/// How often one that is coming up is asked.
const OFTEN: Duration = Duration::from_secs(1);
/// How often the board is refreshed when no service is asked, for what other hubs change.
const SELDOM: Duration = Duration::from_secs(60);

/// What is remembered of one between two looks.
struct Watched {
    url: String,
    since: Instant,
    /// Whether it answered; nothing while it is coming up.
    answers: Option<bool>,
}

/// Runs until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let interval = app.config.hub.service_check_interval;
    let period = if interval.is_zero() { SELDOM } else { interval.duration() };
    let (prober, mut watched) = (prober(&app), HashMap::new());
    let mut all_due = Instant::now();
    loop {
        let now = Instant::now();
        let all = now >= all_due;
        if all {
            all_due = now + period;
        }
        if let Err(error) = look(&app, &prober, &mut watched, all && !interval.is_zero()).await {
            tracing::warn!("services: {error}");
        }
        let coming = !interval.is_zero() && watched.values().any(|watched: &Watched| watched.answers.is_none());
        let wait = if coming { OFTEN } else { all_due.saturating_duration_since(Instant::now()) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.services.nudged() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn prober(app: &App) -> Prober {
    match &app.internal_ssl {
        Some(internal_ssl) => Prober::showing(internal_ssl),
        None => Prober::trusting(app.config.proxy.client_ca_file.clone()),
    }
}

async fn look(
    app: &App,
    prober: &Prober,
    watched: &mut HashMap<ServiceId, Watched>,
    all: bool,
) -> Result<(), hub_store::StoreError> {
    let shown = app.services.refresh(&app.store).await?;
    let mut news = false;
    watched.retain(|id, _| shown.iter().any(|shown| shown.service.id == *id));
    for service in shown.iter().map(|shown| &shown.service) {
        let Some(url) = service.spec.url.clone().filter(|_| !app.config.hub.service_check_interval.is_zero()) else {
            continue;
        };
        let now = Instant::now();
        let known =
            watched.entry(service.id).or_insert_with(|| Watched { url: url.clone(), since: now, answers: None });
        if known.url != url {
            *known = Watched { url, since: now, answers: None };
        }
        if all || known.answers.is_none() {
            let reply = prober.ask_at(&address(service, &app.paths.base)).await;
            news |= judge(app, service, known, reply).await?;
        }
    }
    if news {
        app.services.refresh(&app.store).await?;
    }
    Ok(())
}

/// Notes what a service said; whether that is news.
async fn judge(app: &App, service: &Service, known: &mut Watched, reply: Reply) -> Result<bool, hub_store::StoreError> {
    let detail = match reply {
        Reply::Answers { .. } => None,
        Reply::NotYet(text) => Some(text),
        Reply::Garbage(text) => Some(format!("it does not speak HTTP: {text}")),
    };
    let patience = Duration::from_secs(u64::try_from(service.spec.timeout).unwrap_or_default());
    if detail.is_some() && known.answers.is_none() && known.since.elapsed() < patience {
        return Ok(false);
    }
    let (name, url) = (&service.spec.name, &known.url);
    match &detail {
        Some(detail) if known.answers != Some(false) => {
            tracing::warn!(service = name, url, "does not answer: {detail}")
        }
        Some(detail) => tracing::debug!(service = name, url, "does not answer: {detail}"),
        None if known.answers != Some(true) => tracing::info!(service = name, url, "answers"),
        None => {}
    }
    known.answers = Some(detail.is_none());
    app.store.note_service(service.id, detail.is_none(), detail.as_deref(), app.now()).await
}

/// Where a service is asked: at its own address, with the path it has at the proxy.
fn address(service: &Service, base_url: &str) -> String {
    let url = service.spec.url.as_deref().unwrap_or_default();
    let origin = url::Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization());
    format!("{origin}{}", prefix(base_url, &service.spec.name))
}
