//! Stops the servers of a site when its maintenance begins, where that is wanted. One hub does, by intents as any other; no
//! start is taken there meanwhile, and one that was taken a moment before is found by the next look.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::clock;
use hub_core::life::Phase;
use hub_core::site::Closed;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::keeper::failure::Failure;
use crate::sites;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(10);
/// The turn of the look among several hubs.
const TURN: &str = "sites";

/// Runs until told to stop. Ends at once where there are no sites.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    while !app.config.sites.is_empty() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = in_turn(&app) => looked,
        };
        if let Err(error) = looked {
            tracing::warn!("sites under maintenance: {error}");
        }
    }
}

/// Looks once, unless there is nothing to be stopped, or another hub has just looked.
async fn in_turn(app: &App) -> anyhow::Result<()> {
    let now = app.now();
    if !app.sites.all().values().any(|site| site.state.stops_servers(now)) {
        return Ok(());
    }
    // A tenth less than the period: the next look must not come a moment before its turn.
    if app.store.take_turn(TURN, now, now + TimeDelta::from_std(PERIOD * 9 / 10)?).await? {
        once(app).await?;
    }
    Ok(())
}

/// Wants every server stopped that is at a site whose maintenance has begun and stops servers.
pub async fn once(app: &App) -> anyhow::Result<()> {
    // A window may have been called off a moment ago, by another hub.
    app.sites.refresh(&app.store).await?;
    let (said, now, first) = (app.sites.all(), app.now(), sites::first(&app.config));
    for site in &app.config.sites {
        let window = said.get(&site.name).map(|said| &said.state).filter(|state| state.stops_servers(now));
        let Some(window) = window.and_then(|state| state.window.as_ref()) else { continue };
        let sentence = Closed::Maintenance(window).sentence(site.shown());
        let failure = Failure {
            code: "site_maintenance".to_owned(),
            // It did not fail on its way up, whatever it did.
            phase: Phase::Ready,
            message: format!("Your server was stopped: {sentence}"),
            advice: "Your files are kept.".to_owned(),
            log: String::new(),
            at: clock::isoformat(now),
            refused: false,
        };
        let why = serde_json::to_value(&failure)?;
        let mut stopped = 0;
        for id in app.store.wanted_at_site(&site.name, first).await? {
            if !app.store.want_stopped_at(id, (&site.name, first), &why, app.now()).await? {
                continue;
            }
            app.keeper.nudge(id);
            stopped += 1;
            if let Some(server) = app.store.server_by_id(id).await? {
                let object = Object::Server(&server.user_name, &server.name);
                app.audited(&Actor::part("sites"), Act::ServerStop, object, json!({ "why": sentence })).await;
            }
        }
        if stopped > 0 {
            tracing::info!(site = site.name, stopped, "servers were stopped for a maintenance");
        }
    }
    Ok(())
}
