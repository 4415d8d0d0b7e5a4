//! The hub's own HTTP server: pages, REST and OAuth, behind the proxy and reachable for people's servers.

use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App as Actix, HttpServer, web};
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{dress, routes};
use crate::app::App;

/// The addresses of the hub, each with its handler, dressed.
pub fn application(
    app: Arc<App>,
) -> Actix<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let (data, paths) = (web::Data::from(app.clone()), app.paths.clone());
    Actix::new().app_data(data).wrap(from_fn(dress::dress)).configure(move |config| routes::configure(config, &paths))
}

/// Listens. `drain` is how many seconds requests in flight have when it stops.
pub fn serve(app: Arc<App>, drain: u64) -> anyhow::Result<Server> {
    let (listen, workers) = (app.config.hub.hub_listen(), app.config.hub.worker_threads);
    let tls = app.internal_ssl.clone();
    let server = HttpServer::new(move || {
        // Ends with its thread.
        let measured =
            crate::task::measure::loop_interval(app.clone(), "a thread that answers", CancellationToken::new());
        actix_web::rt::spawn(measured);
        application(app.clone())
    });
    let server = match workers {
        Some(workers) => server.workers(workers),
        None => server,
    };
    let server = server.disable_signals().shutdown_timeout(drain);
    let server = match &tls {
        Some(ssl) => server.bind_rustls_0_23(&listen, ssl.server()?),
        None => server.bind(&listen),
    };
    Ok(server.with_context(|| format!("cannot listen on {listen}"))?.run())
}
