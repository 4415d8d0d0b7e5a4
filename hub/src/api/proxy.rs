//! `/proxy`: the routes in force, and putting them right.
//!
//! Proxies are not told from here where they are: they come to the hub by themselves, over a socket of its own.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use hub_store::Route;
use serde_json::{Value, json};

use super::body;
use super::listing::Window;
use crate::app::App;
use crate::http::guard::{May, rights};
use crate::http::{Answer, Problem};
use crate::task::routes;

fn model(route: &Route) -> Value {
    json!({ "routespec": route.prefix, "target": route.target, "data": route.data })
}

/// `GET /proxy`: pages of routes, by their addresses.
pub async fn list(request: HttpRequest, app: web::Data<App>, _: May<rights::Proxy>) -> Answer {
    let window = Window::of(&request, &app)?;
    let (_, routes) = app.store.routes_snapshot().await?;
    let part = routes.iter().skip(window.offset as usize).take(window.limit as usize);
    let part: BTreeMap<&str, Value> = part.map(|route| (route.prefix.as_str(), model(route))).collect();
    let total = i64::try_from(routes.len()).unwrap_or(i64::MAX);
    Ok(window.answer(&request, &app, &part, total))
}

/// `POST /proxy`: compares routes with servers, and mends what differs.
pub async fn check(app: web::Data<App>, _: May<rights::Proxy>) -> Answer {
    put_right(&app).await
}

/// `PATCH /proxy`: JupyterHub is told here that another proxy is in charge.
///
/// An address cannot be taken: whoever believed it was would wait for routes that never come. Without one, it asks for
/// the same as POST.
pub async fn change(app: web::Data<App>, _: May<rights::Proxy>, bytes: web::Bytes) -> Answer {
    let object = body::object(&bytes)?.ok_or_else(|| Problem::bad("Request body must be JSON dict"))?;
    body::only(&object, &["api_url", "auth_token"])?;
    if !object.is_empty() {
        let message = "Proxies of this hub come to it by themselves: there is no address or token to tell it";
        return Err(Problem::bad(message));
    }
    put_right(&app).await
}

async fn put_right(app: &App) -> Answer {
    routes::reconcile(&app.store, app.keeper.recipe(), app.keeper.signals()).await?;
    Ok(HttpResponse::Ok().content_type("application/json").finish())
}
