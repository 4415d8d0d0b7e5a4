//! Which routes there should be, and putting right what is not so.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hub_core::id::SpawnerId;
use hub_core::life::{Desired, Phase};
use hub_store::{Route, Server, Service, Store, StoreError};
use serde_json::json;

use crate::app::App;
use crate::http::url::Paths;
use crate::keeper::prepare::Recipe;
use crate::keeper::signals::Signals;

/// The route of a server that answers.
pub fn route_of(server: &Server, recipe: &Recipe) -> Route {
    let mut data = json!({ "user": server.user_name, "server_name": server.name, "jupyterhub": true });
    if let Some(site) = recipe.ways.site_of(server) {
        data["site"] = site.into();
    }
    Route {
        prefix: recipe.paths.server_route(&server.user_name, &server.name),
        target: target_of(server.url.as_deref().unwrap_or_default()),
        data,
        revision: 0,
    }
}

/// The route of a service that has a url.
pub fn route_of_service(service: &Service, paths: &Paths) -> Option<Route> {
    let spec = &service.spec;
    Some(Route {
        prefix: paths.service_route(&spec.name),
        target: target_of(spec.url.as_deref()?),
        data: json!({ "service": spec.name, "jupyterhub": true }),
        revision: 0,
    })
}

/// Gives a service its route, and waits a little until the proxies have it: whoever made the service opens it next.
pub async fn put_service(app: &App, service: &Service) -> Result<(), StoreError> {
    let (keeper, signals) = (&app.keeper, app.keeper.signals());
    let Some(route) = route_of_service(service, &keeper.recipe().paths) else { return Ok(()) };
    let mut acknowledged = signals.follow_acknowledgements();
    let revision = app.store.put_route(&route.prefix, &route.target, &route.data).await?;
    signals.routes_changed();
    let wait = async {
        while !keeper.is_in_force(revision).await? {
            let _ = tokio::time::timeout(AGAIN, acknowledged.changed()).await;
        }
        Ok(())
    };
    // A proxy that is away gets the route when it is back.
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or(Ok(()))
}

/// Takes the route of a service away at once.
pub async fn delete_service(store: &Store, recipe: &Recipe, signals: &Signals, name: &str) -> Result<(), StoreError> {
    store.delete_route(&recipe.paths.service_route(name)).await?;
    signals.routes_changed();
    Ok(())
}

/// Scheme, host and port of a server's address: the path is the browser's own.
fn target_of(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(parsed) => parsed.origin().ascii_serialization(),
        Err(_) => url.to_owned(),
    }
}

/// For so long a new service waits for the proxies.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the rows are asked whether the proxies have it, which another hub may have heard.
const AGAIN: Duration = Duration::from_millis(250);
/// So often a difference is looked for and put right before the next survey does it.
const ROUNDS: usize = 3;

/// What differs between routes and what should have one.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    put: Vec<Route>,
    /// Prefixes.
    delete: Vec<String>,
}

/// Gives each server that can be used and each service with a url its route, and takes away those that belong to none.
///
/// For what happened before a crash, for servers that JupyterHub started, and for what an operator's hand changed. Gives the
/// servers in use, as they were read last: it is done by every hub at every survey.
pub async fn reconcile(store: &Store, recipe: &Recipe, signals: &Signals) -> Result<Vec<Server>, StoreError> {
    let begun = std::time::Instant::now();
    let mut servers = Vec::new();
    // A server may stop or start between the reading and the writing. What was written too late shows in the next
    // round: whoever changes a row first, writes its route before or after that round, and is right either way.
    for _ in 0..ROUNDS {
        // Routes first: a server that becomes ready between the two queries keeps its route.
        let asked = std::time::Instant::now();
        let (_, routes) = store.routes_snapshot().await?;
        crate::metrics::routes_read(asked.elapsed());
        servers = store.active_servers().await?;
        let services = store.list_services().await?;
        let difference = difference(&routes, &servers, &services, recipe);
        if difference == Difference::default() {
            break;
        }
        for route in &difference.put {
            tracing::info!(prefix = route.prefix, "putting a route in place");
            store.put_route(&route.prefix, &route.target, &route.data).await?;
        }
        for prefix in &difference.delete {
            tracing::info!(prefix, "removing a route that belongs to no running server and no service");
            store.delete_route(prefix).await?;
        }
        signals.routes_changed();
    }
    crate::metrics::routes_checked(begun.elapsed());
    Ok(servers)
}

/// Puts the routes of services right before the hub serves, so that it begins with those of its configuration.
pub async fn reconcile_services(store: &Store, paths: &Paths) -> Result<(), StoreError> {
    let (_, routes) = store.routes_snapshot().await?;
    let services = store.list_services().await?;
    let wanted: Vec<Route> = services.iter().filter_map(|service| route_of_service(service, paths)).collect();
    for route in wanted.iter().filter(|route| !routes.iter().any(|there| is_same(there, route))) {
        store.put_route(&route.prefix, &route.target, &route.data).await?;
    }
    let of_service = |route: &&Route| is_ours(route) && route.data.get("service").is_some();
    for route in routes.iter().filter(of_service) {
        if !wanted.iter().any(|wanted| wanted.prefix == route.prefix) {
            store.delete_route(&route.prefix).await?;
        }
    }
    Ok(())
}

/// The hub's own route, and any that others have made, are not the concern of servers and services.
fn is_ours(route: &Route) -> bool {
    route.data.get("jupyterhub").is_some_and(|mark| mark == true)
}

fn is_same(one: &Route, other: &Route) -> bool {
    one.prefix == other.prefix && one.target == other.target && one.data == other.data
}

fn difference(routes: &[Route], servers: &[Server], services: &[Service], recipe: &Recipe) -> Difference {
    let of_servers = servers.iter().filter(|server| is_wanted(server)).map(|server| route_of(server, recipe));
    let of_services = services.iter().filter_map(|service| route_of_service(service, &recipe.paths));
    compare(routes, &of_servers.chain(of_services).collect::<Vec<_>>())
}

/// By prefix, which is the key of routes: this is done for every server there is, by every hub at every survey.
fn compare(routes: &[Route], wanted: &[Route]) -> Difference {
    let there: HashMap<&str, &Route> = routes.iter().map(|route| (route.prefix.as_str(), route)).collect();
    let belong: HashSet<&str> = wanted.iter().map(|route| route.prefix.as_str()).collect();
    let is_there = |route: &Route| there.get(route.prefix.as_str()).is_some_and(|there| is_same(there, route));
    let strays = routes.iter().filter(|route| is_ours(route) && !belong.contains(route.prefix.as_str()));
    let delete = strays.map(|route| route.prefix.clone()).collect();
    Difference { put: wanted.iter().filter(|route| !is_there(route)).cloned().collect(), delete }
}

/// Whether a server should have a route; a route stands before its server is ready.
fn is_wanted(server: &Server) -> bool {
    server.desired == Desired::Running && matches!(server.phase, Phase::Ready | Phase::Routing)
}

/// Puts the route of one server right, as its row tells.
pub async fn settle(store: &Store, recipe: &Recipe, server: SpawnerId) -> Result<(), StoreError> {
    let mut row = store.server_by_id(server).await?;
    for _ in 0..ROUNDS {
        // Without a row nothing tells the prefix; the survey finds such a route.
        let Some(server) = &row else { return Ok(()) };
        let route = route_of(server, recipe);
        if is_wanted(server) {
            store.put_route(&route.prefix, &route.target, &route.data).await?;
        } else {
            store.delete_route(&route.prefix).await?;
        }
        // As in `reconcile`: what was written too late is written once more.
        let fresh = store.server_by_id(server.id).await?;
        let agrees = |fresh: &Server| is_wanted(fresh) == is_wanted(server) && fresh.url == server.url;
        if fresh.as_ref().is_some_and(agrees) {
            return Ok(());
        }
        row = fresh;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition that `compare` has to agree with.
    fn defined(routes: &[Route], wanted: &[Route]) -> Difference {
        let is_stray = |route: &&Route| is_ours(route) && !wanted.iter().any(|wanted| wanted.prefix == route.prefix);
        let is_missing = |route: &&Route| !routes.iter().any(|there| is_same(there, route));
        Difference {
            put: wanted.iter().filter(is_missing).cloned().collect(),
            delete: routes.iter().filter(is_stray).map(|route| route.prefix.clone()).collect(),
        }
    }

    fn route() -> impl Strategy<Value = Route> {
        ("/user/[a-d]/", "http://[ab]", any::<bool>(), any::<bool>()).prop_map(|(prefix, target, ours, site)| {
            let data = match (ours, site) {
                (true, true) => json!({ "jupyterhub": true, "site": "bari" }),
                (true, false) => json!({ "jupyterhub": true }),
                (false, _) => json!({ "hub": true }),
            };
            Route { prefix, target, data, revision: 0 }
        })
    }

    proptest! {
        #[test]
        fn what_differs_is_what_is_missing_and_what_belongs_to_nothing(
            mut routes in prop::collection::vec(route(), 0..6),
            wanted in prop::collection::vec(route(), 0..6),
        ) {
            // Prefixes are the key of the table.
            routes.sort_by(|one, other| one.prefix.cmp(&other.prefix));
            routes.dedup_by(|one, other| one.prefix == other.prefix);
            prop_assert_eq!(compare(&routes, &wanted), defined(&routes, &wanted));
        }
    }
}
