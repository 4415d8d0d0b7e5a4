//! The consent page of the OAuth provider.

use std::collections::BTreeSet;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use hub_core::scope::RawScope;
use hub_store::OAuthClient;
use pages::Consent;
use pages::token::Scope;
use pages::words::ENGLISH;

use super::{show as render, surround};
use crate::app::App;
use crate::http::{Answer, Caller};

/// Shows what an application asks for.
pub async fn show(
    request: &HttpRequest,
    app: &App,
    caller: &Caller,
    client: &OAuthClient,
    scopes: &BTreeSet<RawScope>,
) -> Answer {
    let (frame, cookie) = surround(request, app, Some(caller), "oauth").parts();
    let page = Consent {
        frame,
        client: client.description.clone(),
        redirect_uri: client.redirect_uri.clone(),
        scopes: scopes.iter().map(|scope| Scope::explained(&ENGLISH, scope.to_string())).collect(),
    };
    render(&page, StatusCode::OK, cookie)
}
