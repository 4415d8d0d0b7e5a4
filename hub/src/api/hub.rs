//! `/`, `/info`, `/health` and `/shutdown`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::body;
use crate::app::{App, JUPYTERHUB_VERSION};
use crate::audit::Actor;
use crate::http::guard::{May, rights};
use crate::http::{Answer, Problem};

/// `GET /`: single-user servers ask this at their start.
pub async fn root() -> Answer {
    Ok(HttpResponse::Ok()
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .json(json!({ "version": JUPYTERHUB_VERSION })))
}

/// `GET /health`: whether the process answers, and means to go on; asks nobody.
pub async fn health(app: web::Data<App>) -> Answer {
    if app.is_leaving() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "This hub is about to stop").retry_after(1));
    }
    Ok(HttpResponse::Ok().content_type("text/html; charset=UTF-8").finish())
}

/// `GET /info`
pub async fn info(app: web::Data<App>, _: May<rights::ReadHub>) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    Ok(HttpResponse::Ok().json(json!({
        "version": JUPYTERHUB_VERSION,
        "python": null,
        "sys_executable": std::env::current_exe().ok(),
        "spawner": { "class": format!("specola.{}", app.driver.kind()), "version": version },
        "authenticator": { "class": format!("specola.{}", app.config.auth.authenticator.as_str()), "version": version },
    })))
}

/// `POST /shutdown`: answers, then stops the hub as a signal would.
pub async fn shutdown(
    request: HttpRequest,
    app: web::Data<App>,
    _: May<rights::Shutdown>,
    bytes: web::Bytes,
) -> Answer {
    let object = body::object(&bytes)?.unwrap_or_default();
    body::only(&object, &["proxy", "servers"])?;
    let flag = |key: &str| match object.get(key) {
        None => Ok(None),
        Some(serde_json::Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(Problem::bad(format!("{key} must be true or false, got {other}"))),
    };
    let how =
        crate::run::Shutdown { proxy: flag("proxy")?.unwrap_or(false), servers: flag("servers")?.unwrap_or(false) };
    stop(&app, Actor::of(&request, &app), how);
    Ok(HttpResponse::Accepted().json(json!({ "message": "Shutting down Hub" })))
}

/// Stops the hub, once what is being answered is answered; the admin panel takes the same road.
pub fn stop(app: &App, by: Actor, how: crate::run::Shutdown) {
    app.shutdown.send_replace(Some((how, by)));
}
