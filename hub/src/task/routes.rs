//! Which routes there should be, and putting right what is not so.

use hub_core::life::{Desired, Phase};
use hub_store::{Route, Server, Store, StoreError};
use serde_json::json;

use crate::keeper::prepare::Recipe;
use crate::keeper::signals::Signals;

/// The route of a server that answers.
pub fn route_of(server: &Server, recipe: &Recipe) -> Route {
    Route {
        prefix: recipe.prefix(&server.user_name, &server.name),
        target: target_of(server.url.as_deref().unwrap_or_default()),
        data: json!({ "user": server.user_name, "server_name": server.name, "jupyterhub": true }),
        revision: 0,
    }
}

/// Scheme, host and port of a server's address: the path is the browser's own.
fn target_of(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(parsed) => parsed.origin().ascii_serialization(),
        Err(_) => url.to_owned(),
    }
}

/// Gives each server that can be used its route, and takes away those that belong to none.
///
/// For what happened before a crash, for servers that JupyterHub started, and for what an operator's hand changed.
pub async fn reconcile(store: &Store, recipe: &Recipe, signals: &Signals) -> Result<(), StoreError> {
    // Routes first: a server that becomes ready between the two queries keeps its route.
    let (_, routes) = store.routes_snapshot().await?;
    let servers = store.active_servers().await?;
    let wanted =
        |server: &&Server| server.desired == Desired::Running && matches!(server.phase, Phase::Ready | Phase::Routing);
    for server in servers.iter().filter(wanted).filter(|server| server.phase == Phase::Ready) {
        let route = route_of(server, recipe);
        store.put_route(&route.prefix, &route.target, &route.data).await?;
    }
    let kept: Vec<String> =
        servers.iter().filter(wanted).map(|server| recipe.prefix(&server.user_name, &server.name)).collect();
    let is_hub = |route: &&Route| route.prefix == recipe.base_url;
    for route in routes.iter().filter(|route| !is_hub(route) && !kept.contains(&route.prefix)) {
        tracing::info!(prefix = route.prefix, "removing a route that belongs to no running server");
        store.delete_route(&route.prefix).await?;
    }
    signals.routes_changed();
    Ok(())
}
