//! `GET /metrics`, below `/hub` and below `/hub/api`.

use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::scope::Scope;

use crate::app::App;
use crate::http::{Answer, Problem, caller, xsrf};
use crate::metrics;

/// Prometheus' text format, in the version that JupyterHub tells.
const KIND: &str = "text/plain; version=1.0.0; charset=utf-8";

/// `GET /metrics`: a page in JupyterHub too, so that errors are pages.
pub async fn show(request: HttpRequest, app: web::Data<App>) -> Answer {
    if app.config.hub.authenticate_prometheus {
        let found = caller::of_api(&request, &app).await?;
        if request.path().starts_with(&app.paths.hub("api/")) {
            xsrf::check_api(&request, &app, found.as_deref())?;
        }
        if let Some(found) = &found {
            caller::remember(&request, found);
        }
        if !found.is_some_and(|caller| caller.rights.holds(Scope::ReadMetrics)) {
            return Err(Problem::forbidden("Access to metrics requires scope 'read:metrics'"));
        }
    }
    let running = app.store.count_ready_servers().await?;
    metrics::watched(app.driver.kind(), app.driver.heard());
    let text = metrics::text(running).map_err(|error| Problem::internal("metrics", format!("{error:#}")))?;
    Ok(HttpResponse::Ok().content_type(KIND).body(text))
}
