//! `/user/storage`: the object stores of the caller, and keys for them in the words of AWS.
//!
//! Who may ask is who may have the access token that the keys are got with: `api::access_token`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::json;

use super::access_token;
use crate::app::App;
use crate::http::guard::Anyone;
use crate::http::url::piece;
use crate::http::{Answer, Problem};
use crate::storage::{Keys, Offer, Refused, Trouble};
use crate::upstream;
use crate::upstream::lab::check_may;

/// `GET /user/storage`: what is offered to the caller, the one that programs ask first at the front.
pub async fn list(app: web::Data<App>, who: Anyone) -> Answer {
    let user = who.0.user().ok_or_else(people)?;
    check_may(&app, &who.0).await?;
    let groups = app.store.groups_of(user.id).await?;
    let mut storage = Vec::new();
    for offer in app.storage.of(&groups) {
        storage.push(shown(offer).await);
    }
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(json!({ "storage": storage })))
}

async fn shown(offer: &Offer) -> serde_json::Value {
    let config = &offer.config;
    // A file that went away since the start is no reason to say nothing.
    let certificates = match &config.ca_file {
        Some(file) => tokio::fs::read_to_string(file).await.ok(),
        None => None,
    };
    json!({
        "name": config.name,
        "dialect": config.dialect,
        "endpoint": config.endpoint(),
        "region": config.region,
        "path_style": config.path_style,
        "certificates": certificates,
    })
}

/// `GET /user/storage/{name}/credentials`: the answer of an AWS container credentials provider.
pub async fn credentials(request: HttpRequest, app: web::Data<App>, who: Anyone) -> Answer {
    let user = who.0.user().ok_or_else(people)?;
    check_may(&app, &who.0).await?;
    let name = piece(&request, "storage")?;
    let keys = match app.storage.keys(&app.clone().into_inner(), user, &name).await {
        Ok(keys) => keys,
        Err(Refused::Token(upstream::Refused::Failed(failure))) => return Ok(access_token::failed(&failure)),
        Err(refused) => return Err(problem(refused, &name)),
    };
    let Keys { id, secret, token, ends } = keys;
    let body = json!({
        "AccessKeyId": id,
        "SecretAccessKey": secret.expose(),
        "Token": token.expose(),
        "Expiration": ends.to_rfc3339_opts(SecondsFormat::Secs, true),
    });
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}

fn people() -> Problem {
    Problem::forbidden("Only people have storage")
}

/// What is told of a refusal.
pub fn problem(refused: Refused, name: &str) -> Problem {
    match refused {
        Refused::Unknown => Problem::new(StatusCode::NOT_FOUND, format!("There is no storage {name:?}")),
        Refused::NoRole => {
            Problem::forbidden(format!("None of your groups may use the storage {name}")).coded("no_role", "")
        }
        Refused::OtherProvider => {
            let sentence = format!("The storage {name} is for people of another identity provider than yours");
            Problem::forbidden(sentence).coded("other_provider", "")
        }
        Refused::Token(refused) => access_token::problem(refused),
        Refused::Store(Trouble::Denied { code, .. }) => {
            Problem::forbidden(format!("The storage {name} gives you no keys ({code})")).coded("denied", "")
        }
        Refused::Store(Trouble::Away(_)) => {
            let sentence = format!("The storage {name} does not answer at the moment");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence).coded("unreachable", "").retry_after(5)
        }
        Refused::Store(Trouble::Untrusted(_)) => {
            let sentence = format!("The hub does not trust the certificate of the storage {name}. Tell the operator");
            Problem::new(StatusCode::BAD_GATEWAY, sentence).coded("untrusted", "")
        }
        Refused::Store(Trouble::Broken(_)) => {
            let sentence = format!("The storage {name} answers what the hub does not understand");
            Problem::new(StatusCode::BAD_GATEWAY, sentence).coded("not_understood", "")
        }
        Refused::Problem(problem) => problem,
    }
}
