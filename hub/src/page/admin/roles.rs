//! `/admin/roles`: the roles in force, what each allows, and who holds it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use hub_core::role::DEFAULTS;
use hub_core::scope::Target;
use hub_store::Held;
use pages::Link;
use pages::admin::roles::{Role, Roles};
use pages::token::Scope;
use pages::words::ENGLISH;

use super::{opened, require};
use crate::app::App;
use crate::http::Answer;
use crate::http::guard::rights;
use crate::page::{groups, href, show, surround};

/// `GET /admin/roles`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match opened(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    require::<rights::ReadRoles>(&caller, &Target::Hub)?;
    let mut held = app.store.holders_of_roles().await?;
    let roles = app.store.list_roles().await?.into_iter().map(|role| {
        let Held { users, groups: names, services } = held.remove(&role.id).unwrap_or_default();
        let link = |name: String| {
            let url = href(&groups::path(&app, &name));
            Link::new(name, url)
        };
        Role {
            origin: origin(&app, &role).to_owned(),
            description: role.description.unwrap_or_default(),
            scopes: role.scopes.iter().map(|scope| Scope::explained(&ENGLISH, scope.as_str())).collect(),
            name: role.name,
            users,
            groups: names.into_iter().map(link).collect(),
            services,
        }
    });
    let roles = roles.collect();
    let (frame, cookie) = surround(&request, &app, Some(&caller), "admin").parts();
    show(&Roles { frame, roles }, StatusCode::OK, cookie)
}

/// Where a role comes from.
fn origin(app: &App, role: &hub_store::Role) -> &'static str {
    let words = &ENGLISH;
    let configured = app.config.hub.load_roles.iter().any(|known| known.name == role.name);
    match role.managed_by_auth {
        true => words.origin_login,
        false if configured => words.origin_config,
        false if DEFAULTS.iter().any(|known| known.name == role.name) => words.origin_default,
        false => words.origin_hand,
    }
}
