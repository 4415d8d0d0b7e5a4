//! The hub's own HTTP server: pages, REST and OAuth, behind the proxy and reachable for people's servers.

use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App as Actix, HttpServer, web};
use anyhow::Context;

use super::{dress, routes};
use crate::app::App;

/// Listens. `drain` is how many seconds requests in flight have when it stops.
pub fn serve(app: Arc<App>, drain: u64) -> anyhow::Result<Server> {
    let (listen, workers) = (app.config.hub.hub_listen(), app.config.hub.worker_threads);
    let server = HttpServer::new(move || {
        let (data, paths) = (web::Data::from(app.clone()), app.paths.clone());
        Actix::new()
            .app_data(data)
            .wrap(from_fn(dress::dress))
            .configure(move |config| routes::configure(config, &paths))
    });
    let server = match workers {
        Some(workers) => server.workers(workers),
        None => server,
    };
    let server = server.disable_signals().shutdown_timeout(drain).bind(&listen);
    Ok(server.with_context(|| format!("cannot listen on {listen}"))?.run())
}
