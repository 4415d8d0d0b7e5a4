//! The table of addresses: path, method, handler. What a handler asks of its caller is in its signature.

use actix_web::web::{self, ServiceConfig, delete, get, head, patch, post, put, resource, scope};
use actix_web::{HttpResponse, Route};
use percent_encoding::percent_decode_str;

use super::Problem;
use super::url::Paths;
use crate::metrics::handlers;
use crate::{api, oauth, page};

/// The largest body of a request to the hub. Uploads go to labs, not here.
const BODY: usize = 1024 * 1024;

/// Registers everything under the hub's paths.
pub fn configure(config: &mut ServiceConfig, paths: &Paths) {
    // Addresses are compared after decoding, so what they are compared with is decoded too.
    let hub = percent_decode_str(paths.hub.trim_end_matches('/')).decode_utf8_lossy();
    config.app_data(web::PayloadConfig::new(BODY));
    config.service(scope(&format!("{hub}/api")).app_data(handlers::UNKNOWN_API).configure(rest));
    config.service(scope(&hub).app_data(handlers::UNKNOWN_PAGE).configure(pages));
    let base = percent_decode_str(&paths.base).decode_utf8_lossy();
    config.configure(|config| announcement_service(config, &base));
    config.default_service(web::to(page::user::outside));
}

/// JupyterHub answers OPTIONS on every path of the API without asking who it is.
fn options() -> Route {
    web::method(actix_web::http::Method::OPTIONS)
        .to(|| async { HttpResponse::Ok().content_type("application/json").finish() })
}

fn other_method() -> Route {
    web::to(|| async { Err::<HttpResponse, _>(Problem::bare(actix_web::http::StatusCode::METHOD_NOT_ALLOWED)) })
}

/// A resource of the API: its methods, OPTIONS, and 405 for the rest.
fn at(path: &str, routes: impl IntoIterator<Item = Route>) -> actix_web::Resource {
    let resource = routes.into_iter().fold(resource(path), actix_web::Resource::route);
    let resource = resource.app_data(handlers::of_api(path));
    resource.route(options()).default_service(other_method())
}

fn rest(config: &mut ServiceConfig) {
    config
        .service(at("", [get().to(api::hub::root)]))
        .service(at("/", [get().to(api::hub::root)]))
        .service(at("/health", [get().to(api::hub::health)]))
        .service(at("/metrics", [get().to(api::metrics::show)]))
        .service(at("/admin/events", [get().to(api::admin::stream)]))
        .service(at("/audit", [get().to(api::audit::list)]))
        .service(at("/info", [get().to(api::hub::info)]))
        .service(at("/shutdown", [post().to(api::hub::shutdown)]))
        .service(at("/user", [get().to(api::users::whoami)]))
        .service(at("/user/access-token", [get().to(api::access_token::get)]))
        .service(at("/user/lab-status", [put().to(api::lab_status::put)]))
        .service(at("/user/storage", [get().to(api::storage::list)]))
        .service(at("/user/storage/{storage}/credentials", [get().to(api::storage::credentials)]))
        .service(at("/iam/{provider}/.well-known/openid-configuration", [get().to(api::facade::discovery)]))
        .service(at("/iam/{provider}/token", [post().to(api::facade::token)]))
        .service(at("/users", [get().to(api::users::list), post().to(api::users::create_many)]))
        .service(at(
            "/users/{user}",
            [
                get().to(api::users::get),
                post().to(api::users::create_one),
                patch().to(api::users::change),
                delete().to(api::users::delete),
            ],
        ))
        .service(at("/users/{user}/activity", [post().to(api::activity::report)]))
        .service(at("/users/{user}/admin-access", [post().to(api::authorizations::admin_access)]))
        .service(at("/users/{user}/spawn-options", [get().to(api::spawn_options::get)]))
        .service(at("/users/{user}/tokens", [get().to(api::tokens::list), post().to(api::tokens::create)]))
        .service(at("/users/{user}/tokens/{token}", [get().to(api::tokens::get), delete().to(api::tokens::delete)]))
        .configure(servers)
        .configure(groups)
        .service(at(
            "/proxy",
            [get().to(api::proxy::list), post().to(api::proxy::check), patch().to(api::proxy::change)],
        ))
        .service(at("/authorizations/token", [post().to(api::authorizations::make)]))
        .service(at(
            "/authorizations/token/{token}",
            [get().to(api::authorizations::token), post().to(api::authorizations::make)],
        ))
        .service(at("/authorizations/cookie/{name}", [get().to(api::authorizations::of_cookie)]))
        .service(at("/authorizations/cookie/{name}/{value}", [get().to(api::authorizations::of_cookie)]))
        .configure(sharing)
        .configure(announcements)
        .service(at("/sites", [get().to(api::sites::list)]))
        .service(at("/sites/{site}", [patch().to(api::sites::change)]))
        .service(at("/services", [get().to(api::services::list)]))
        .service(at(
            "/services/{service}",
            [get().to(api::services::get), post().to(api::services::create), delete().to(api::services::delete)],
        ))
        .service(at("/oauth2/authorize", [get().to(oauth::authorize::ask), post().to(oauth::authorize::agree)]))
        .service(at("/oauth2/token", [post().to(oauth::token::exchange)]))
        .default_service(web::to(|| async { Err::<HttpResponse, _>(Problem::not_found()) }));
}

fn servers(config: &mut ServiceConfig) {
    // `servers/` with nothing behind it is the default server.
    for (path, progress) in [
        ("/users/{user}/server", "/users/{user}/server/progress"),
        ("/users/{user}/servers/", "/users/{user}/servers//progress"),
        ("/users/{user}/servers/{server}", "/users/{user}/servers/{server}/progress"),
    ] {
        config
            .service(at(
                path,
                [
                    get().to(api::servers::get),
                    post().to(api::servers::start),
                    put().to(api::servers::put),
                    patch().to(api::servers::change),
                    delete().to(api::servers::stop),
                ],
            ))
            .service(at(progress, [get().to(api::progress::stream)]));
    }
}

fn groups(config: &mut ServiceConfig) {
    config
        .service(at("/groups", [get().to(api::groups::list), post().to(api::groups::create_many)]))
        .service(at(
            "/groups/{group}",
            [get().to(api::groups::get), post().to(api::groups::create_one), delete().to(api::groups::delete)],
        ))
        .service(at(
            "/groups/{group}/users",
            [post().to(api::groups::add_users), delete().to(api::groups::remove_users)],
        ))
        .service(at("/groups/{group}/properties", [put().to(api::groups::set_properties)]));
}

fn sharing(config: &mut ServiceConfig) {
    config
        .service(at(
            "/shares/{user}",
            [
                get().to(api::shares::list_of_owner),
                post().to(api::shares::server_required),
                patch().to(api::shares::server_required),
                delete().to(api::shares::server_required),
            ],
        ))
        .service(at(
            "/share-codes/{user}",
            [
                get().to(api::share_codes::list_of_owner),
                post().to(api::share_codes::server_required),
                delete().to(api::share_codes::server_required),
            ],
        ))
        .service(at("/users/{user}/shared", [get().to(api::shared::list_of_user)]))
        .service(at("/groups/{group}/shared", [get().to(api::shared::list_of_group)]));
    // A path that ends with a slash is about the default server.
    for server in ["", "{server}"] {
        config
            .service(at(
                &format!("/shares/{{user}}/{server}"),
                [
                    get().to(api::shares::list_of_server),
                    post().to(api::shares::grant),
                    patch().to(api::shares::revoke),
                    delete().to(api::shares::revoke_all),
                ],
            ))
            .service(at(
                &format!("/share-codes/{{user}}/{server}"),
                [
                    get().to(api::share_codes::list_of_server),
                    post().to(api::share_codes::create),
                    delete().to(api::share_codes::delete),
                ],
            ))
            .service(at(
                &format!("/users/{{user}}/shared/{{owner}}/{server}"),
                [get().to(api::shared::get_of_user), delete().to(api::shared::leave_by_user)],
            ))
            .service(at(
                &format!("/groups/{{group}}/shared/{{owner}}/{server}"),
                [get().to(api::shared::get_of_group), delete().to(api::shared::leave_by_group)],
            ));
    }
}

fn announcements(config: &mut ServiceConfig) {
    config
        .service(at("/announcements", [get().to(api::announcements::shown), post().to(api::announcements::create)]))
        .service(at("/announcements/all", [get().to(api::announcements::all)]))
        .service(at(
            "/announcements/{announcement}",
            [
                get().to(api::announcements::get),
                patch().to(api::announcements::change),
                delete().to(api::announcements::delete),
            ],
        ));
}

/// Where JupyterHub's example service would be. An operator's own service of that name has a route that goes before.
fn announcement_service(config: &mut ServiceConfig, base: &str) {
    for rest in ["", "latest"] {
        let routes = [
            get().to(api::announcements::service_get),
            post().to(api::announcements::service_post),
            delete().to(api::announcements::service_delete),
        ];
        let resource = at(&format!("{base}services/announcement/{rest}"), routes);
        config.service(resource.app_data(handlers::of_api("/announcements")));
    }
}

/// A page: its methods, and 405 for the rest.
fn page(path: &str, routes: impl IntoIterator<Item = Route>) -> actix_web::Resource {
    let resource = routes.into_iter().fold(resource(path), actix_web::Resource::route);
    resource.app_data(handlers::of_page(path)).default_service(other_method())
}

fn pages(config: &mut ServiceConfig) {
    config
        .service(page("", [get().to(page::login::with_slash)]))
        .service(page("/", [get().to(page::login::front)]))
        .service(page("/health", [get().to(api::hub::health)]))
        .service(page("/health/ready", [get().to(api::health::ready)]))
        .service(page("/metrics", [get().to(api::metrics::show)]))
        .service(page("/login", [get().to(page::login::form), post().to(page::login::submit)]))
        .service(page("/oauth_login", [get().to(page::oauth_login::begin)]))
        .service(page("/oauth_callback", [get().to(page::oauth_login::callback)]))
        .service(page("/logout", [get().to(page::logout::logout)]))
        .service(page("/logout-everywhere", [post().to(page::logout::everywhere)]))
        .service(page("/change-password", [get().to(page::password::form), post().to(page::password::change)]))
        .service(page("/invite", [get().to(page::password::invitation), post().to(page::password::accept)]))
        .service(page("/home", [get().to(page::home::show_home), post().to(page::home::act)]))
        .service(page("/token", [get().to(page::token::get), post().to(page::token::post)]))
        .service(page("/announcements", [get().to(page::announcements::get), post().to(page::announcements::post)]))
        .service(page("/groups", [get().to(page::groups::get), post().to(page::groups::post)]))
        .service(page("/groups/{group}", [get().to(page::group::get), post().to(page::group::post)]))
        .service(page("/accept-share", [get().to(page::accept_share::get), post().to(page::accept_share::post)]))
        .configure(admin)
        .configure(starting)
        .service(page("/security/csp-report", [post().to(page::error::csp_report)]))
        .service(page("/error/{code}", [get().to(page::error::of_proxy)]))
        .service(page("/logo", [get().to(page::statics::logo), head().to(page::statics::logo)]))
        .service(page("/accent.css", [get().to(page::statics::accent), head().to(page::statics::accent)]))
        .service(page("/extra.css", [get().to(page::statics::extra), head().to(page::statics::extra)]))
        .service(page("/static/{path:.*}", [get().to(page::statics::file), head().to(page::statics::file)]))
        .service(page("/user-redirect", [get().to(page::user::redirect)]))
        .service(page("/user-redirect/{path:.*}", [get().to(page::user::redirect)]))
        .configure(without_route)
        .default_service(web::to(|| async { Err::<HttpResponse, _>(Problem::not_found()) }));
}

fn admin(config: &mut ServiceConfig) {
    use page::admin::{act, audit, people, person, roles, services, sites, usage};
    config
        .service(page("/admin", [get().to(people::get), post().to(act::post)]))
        .service(page("/admin/users/{user}", [get().to(person::get), post().to(person::post)]))
        .service(page("/admin/services", [get().to(services::get), post().to(services::post)]))
        .service(page("/admin/roles", [get().to(roles::get)]))
        .service(page("/admin/sites", [get().to(sites::get), post().to(sites::post)]))
        .service(page("/admin/usage", [get().to(usage::get)]))
        .service(page("/admin/audit", [get().to(audit::get)]));
}

/// Any method: what was meant for a server that is not there.
fn without_route(config: &mut ServiceConfig) {
    for path in ["/user/{user}", "/user/{user}/{rest:.*}"] {
        let resource = resource(path).app_data(handlers::of_page(path));
        config.service(resource.route(web::to(page::user::without_route)));
    }
}

fn starting(config: &mut ServiceConfig) {
    for path in ["/spawn", "/spawn/{user}", "/spawn/{user}/{server}"] {
        config.service(page(path, [get().to(page::spawn::get), post().to(page::spawn::post)]));
    }
    for path in ["/share/{user}", "/share/{user}/{server}"] {
        config.service(page(path, [get().to(page::share::get), post().to(page::share::post)]));
    }
    for path in ["/spawn-pending/{user}", "/spawn-pending/{user}/{server}"] {
        config.service(page(path, [get().to(page::pending::get), post().to(page::pending::post)]));
    }
}
