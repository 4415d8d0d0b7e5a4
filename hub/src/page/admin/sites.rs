//! `/admin/sites`: the sites with what runs there, and what operators say of them. The same road as REST.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::site::{Closed, Window};
use pages::admin::Hidden;
use pages::admin::confirm::Confirm;
use pages::admin::sites::{Site, Sites, State, WindowForm};
use pages::words::{ENGLISH, fill};

use super::{incomplete, opened};
use crate::api::sites::may_change;
use crate::app::App;
use crate::audit::Actor;
use crate::config::SiteConfig;
use crate::http::{Answer, Caller, Problem};
use crate::page::announcements::instant;
use crate::page::{Form, href, see_other, show, surround};
use crate::sites::{self, Change};

const PLACE: &str = "admin/sites";

/// `GET /admin/sites`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    match opened(&request, &app, None).await? {
        Ok(caller) => page(&request, &app, &caller, None).await,
        Err(login) => Ok(login),
    }
}

/// `POST /admin/sites`
pub async fn post(request: HttpRequest, app: web::Data<App>, bytes: web::Bytes) -> Answer {
    let form = Form::read(&bytes);
    let caller = match opened(&request, &app, Some(&form)).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    may_change(&caller)?;
    match act(&request, &app, &caller, &form).await {
        Ok(Some(question)) => Ok(question),
        Ok(None) => Ok(see_other(&app.paths.hub(PLACE))),
        Err(problem) if problem.status().is_client_error() => {
            page(&request, &app, &caller, Some((&form, problem))).await
        }
        Err(problem) => Err(problem),
    }
}

/// Does it, or asks before.
async fn act(request: &HttpRequest, app: &App, caller: &Caller, form: &Form) -> Result<Option<HttpResponse>, Problem> {
    let name = form.get("site").unwrap_or_default();
    let site = sites::find(&app.config, name)?;
    let change = match form.get("action").unwrap_or_default() {
        "drain" => Change { drained: Some(true), ..Change::default() },
        "undrain" => Change { drained: Some(false), ..Change::default() },
        "maintain" => Change { window: Some(Some(window(form)?)), ..Change::default() },
        "end" => Change { window: Some(None), ..Change::default() },
        "restore" => Change { lost: Some(false), ..Change::default() },
        "lose" if form.get("confirmed") == Some("1") => Change { lost: Some(true), ..Change::default() },
        "lose" => return ask(request, app, caller, site).await.map(Some),
        _ => return Err(incomplete()),
    };
    sites::change(app, &Actor::of(request, app), caller, name, &change).await?;
    Ok(None)
}

fn window(form: &Form) -> Result<Window, Problem> {
    let at =
        |name: &str| instant(form, name)?.ok_or_else(|| Problem::bad("A maintenance needs a beginning and an end"));
    Ok(Window {
        begins: at("begins")?,
        ends: at("ends")?,
        text: form.get("text").unwrap_or_default().trim().to_owned(),
        stops_servers: form.get("stops_servers").is_some(),
    })
}

/// Asks before a site is given up.
async fn ask(request: &HttpRequest, app: &App, caller: &Caller, site: &SiteConfig) -> Answer {
    let servers = app.store.servers_by_site(sites::first(&app.config)).await?.get(&site.name).copied().unwrap_or(0);
    let (frame, cookie) = surround(request, app, Some(caller), "admin").parts();
    let page = Confirm {
        frame,
        title: fill(ENGLISH.site_lose_ask, site.shown()),
        consequence: fill(ENGLISH.site_lose_what, Site::counted(&ENGLISH, servers)),
        names: Vec::new(),
        more: 0,
        left_out: Vec::new(),
        action: href(&app.paths.hub(PLACE)),
        fields: vec![Hidden::new("site", site.name.clone()), Hidden::new("action", "lose")],
        choices: Vec::new(),
        yes: Some(fill(ENGLISH.site_lose_yes, site.shown())),
        back: href(&app.paths.hub(PLACE)),
    };
    show(&page, StatusCode::OK, cookie)
}

async fn page(request: &HttpRequest, app: &App, caller: &Caller, refused: Option<(&Form, Problem)>) -> Answer {
    let servers = app.store.servers_by_site(sites::first(&app.config)).await?;
    app.sites.refresh(&app.store).await?;
    let typed = |site: &SiteConfig| {
        let (form, _) = refused.as_ref()?;
        let is_this = form.get("site") == Some(&site.name) && form.get("action") == Some("maintain");
        is_this.then(|| typed(form))
    };
    let shown = |site: &SiteConfig| {
        let mut shown = shown(app, site, servers.get(&site.name).copied().unwrap_or(0));
        if let Some(typed) = typed(site) {
            shown.form = typed;
        }
        shown
    };
    let (frame, cookie) = surround(request, app, Some(caller), "admin").parts();
    let page = Sites {
        frame,
        action: href(&app.paths.hub(PLACE)),
        sites: app.config.sites.iter().map(shown).collect(),
        may_change: may_change(caller).is_ok(),
        error: refused.as_ref().and_then(|(_, problem)| problem.message()).map(str::to_owned),
    };
    show(&page, refused.map_or(StatusCode::OK, |(_, problem)| problem.status()), cookie)
}

fn shown(app: &App, site: &SiteConfig, servers: u64) -> Site {
    let (said, now) = (app.sites.all(), app.now());
    let said = said.get(&site.name);
    let window = said.and_then(|said| said.state.window_ahead(now));
    Site {
        name: site.name.clone(),
        display_name: site.shown().to_owned(),
        description: site.description.clone(),
        servers,
        state: match said.and_then(|said| said.state.closed(now)) {
            None => State::Open,
            Some(Closed::Drained) => State::Drained,
            Some(Closed::Maintenance(_)) => State::Maintained,
            Some(Closed::Lost) => State::Lost,
        },
        drained: said.is_some_and(|said| said.state.drained),
        lost: said.is_some_and(|said| said.state.lost),
        window: window.map(|window| (window.begins, window.ends, window.text.clone(), window.stops_servers)),
        form: window.map(filled).unwrap_or_default(),
        changed: said.map(|said| (said.author.clone(), said.changed_at)),
    }
}

fn filled(window: &Window) -> WindowForm {
    WindowForm {
        begins: pages::Announcements::typed(window.begins),
        ends: pages::Announcements::typed(window.ends),
        text: window.text.clone(),
        stops_servers: window.stops_servers,
        open: false,
    }
}

fn typed(form: &Form) -> WindowForm {
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    WindowForm {
        begins: text("begins"),
        ends: text("ends"),
        text: text("text"),
        stops_servers: form.get("stops_servers").is_some(),
        open: true,
    }
}
