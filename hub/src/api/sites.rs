//! `/sites`, which JupyterHub does not have: where servers run, and what operators say of each place.
//!
//! Changing takes `shutdown`: who may stop the hub may stop what runs at one of its sites. A scope of our own would be in
//! the way of going back (`announcements.rs`).

use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::scope::Target;
use hub_core::site::Window;
use serde_json::{Map, Value, json};

use super::audit::instant;
use super::body;
use crate::app::App;
use crate::audit::Actor;
use crate::config::SiteConfig;
use crate::http::guard::{self, Anyone, May, Right, rights};
use crate::http::{Answer, Caller, Problem, url};
use crate::sites::{self, Change};

/// Whether the caller may change what is said of sites.
pub fn may_change(caller: &Caller) -> Result<(), Problem> {
    let scopes = rights::Sites::ANY_OF;
    guard::require(caller.rights.may_any(scopes, &Target::Hub), scopes)
}

/// What everybody with an account may know.
fn public(app: &App, site: &SiteConfig) -> Map<String, Value> {
    let (said, now) = (app.sites.all(), app.now());
    let state = said.get(&site.name).map(|said| &said.state);
    let closed = state.and_then(|state| state.closed(now));
    let window = state.and_then(|state| state.window_ahead(now));
    let model = json!({
        "name": site.name,
        "display_name": site.shown(),
        "description": site.description,
        "takes_starts": closed.is_none(),
        "reason": closed.map(|closed| closed.sentence(site.shown())),
        "maintenance": window.map(sites::window_view),
    });
    match model {
        Value::Object(model) => model,
        _ => Map::new(),
    }
}

/// The same with what is for who may change it.
async fn whole(app: &App, site: &SiteConfig) -> Result<Value, Problem> {
    let servers = app.store.servers_by_site(sites::first(&app.config)).await?;
    Ok(with_state(app, site, servers.get(&site.name).copied().unwrap_or(0)))
}

fn with_state(app: &App, site: &SiteConfig, servers: u64) -> Value {
    let said = app.sites.all();
    let said = said.get(&site.name);
    let more = json!({
        "drained": said.is_some_and(|said| said.state.drained),
        "lost": said.is_some_and(|said| said.state.lost),
        "servers": servers,
        "changed_by": said.map(|said| &said.author),
        "changed": said.map(|said| hub_core::clock::isoformat(said.changed_at)),
    });
    let mut model = public(app, site);
    model.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(model)
}

/// `GET /sites`: in the order of the configuration.
pub async fn list(app: web::Data<App>, who: Anyone) -> Answer {
    let models: Vec<Value> = match may_change(&who.0) {
        Ok(()) => {
            let servers = app.store.servers_by_site(sites::first(&app.config)).await?;
            let count = |site: &SiteConfig| servers.get(&site.name).copied().unwrap_or(0);
            app.config.sites.iter().map(|site| with_state(&app, site, count(site))).collect()
        }
        Err(_) => app.config.sites.iter().map(|site| Value::Object(public(&app, site))).collect(),
    };
    Ok(HttpResponse::Ok().json(models))
}

/// `PATCH /sites/{site}`: what is not named stays.
pub async fn change(request: HttpRequest, app: web::Data<App>, who: May<rights::Sites>, bytes: web::Bytes) -> Answer {
    let name = url::piece(&request, "site")?;
    let object = body::object(&bytes)?.ok_or_else(|| Problem::bad("Must specify what to change"))?;
    let wanted = read(&object)?;
    let site = sites::find_to_change(&app, &name, &wanted).await?;
    sites::change(&app, &Actor::of(&request, &app), &who.0, &name, &wanted).await?;
    Ok(HttpResponse::Ok().json(whole(&app, &site).await?))
}

fn read(object: &Map<String, Value>) -> Result<Change, Problem> {
    body::only(object, &["drained", "lost", "maintenance"])?;
    let window = match object.get("maintenance") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(Value::Object(window)) => Some(Some(read_window(window)?)),
        Some(_) => return Err(Problem::bad("Site.maintenance must be an object or null")),
    };
    let (drained, lost) = (body::flag(object, "Site", "drained")?, body::flag(object, "Site", "lost")?);
    let change = Change { drained, lost, window };
    if change == Change::default() {
        return Err(Problem::bad("Must specify what to change"));
    }
    Ok(change)
}

fn read_window(object: &Map<String, Value>) -> Result<Window, Problem> {
    body::only(object, &["begins", "ends", "text", "stops_servers"])?;
    let at = |key: &'static str| -> Result<_, Problem> {
        let text = body::text(object, "Maintenance", key)?;
        let text = text.ok_or_else(|| Problem::bad(format!("Maintenance.{key} is needed")))?;
        instant(key, &text)
    };
    Ok(Window {
        begins: at("begins")?,
        ends: at("ends")?,
        text: body::text(object, "Maintenance", "text")?.unwrap_or_default().trim().to_owned(),
        stops_servers: body::flag(object, "Maintenance", "stops_servers")?.unwrap_or(false),
    })
}
