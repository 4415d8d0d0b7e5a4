//! `GET /users/{user}/spawn-options`: what this person may ask for, and what is left of it, for programs that start servers.
//! Specola's own. The same questions, from the same judgement, as on the page.

use actix_web::{HttpRequest, HttpResponse, web};
use hub_core::policy::{self, Standing};
use serde_json::{Value, json};

use crate::app::App;
use crate::http::guard::{OnUser, rights};
use crate::http::{Answer, url};
use crate::{options, stock};

/// `GET /users/{user}/spawn-options`; `server` names one whose last choice is the one that is selected.
pub async fn get(request: HttpRequest, app: web::Data<App>, on: OnUser<rights::StartServers>) -> Answer {
    let devices = stock::devices(&app).await?;
    let is_fixed = app.config.collaboration_of(&on.user().name).is_some();
    let Some(rules) = app.rules.as_ref().filter(|_| !is_fixed) else {
        let anything = json!({
            "questions": null, "greeting": null, "selected": null, "refused": null, "quotas": [], "devices": devices,
        });
        return Ok(HttpResponse::Ok().json(anything));
    };
    let name = url::argument(&request, "server").unwrap_or_default();
    let server = on.person.server(&name);
    let person = options::person(&app, on.user(), server).await?;
    let kept = server.and_then(|server| server.user_options.as_ref()).unwrap_or(&Value::Null);
    let standing = Standing::of(rules, &person);
    let decided = policy::decide_what_can_be(rules, &person, kept);
    let decided = decided.and_then(|decision| options::supported(app.driver.abilities(), decision));
    let (questions, selected, refused) = match &decided {
        Ok(decision) => (policy::menu(&standing, decision), json!(decision.options), Value::Null),
        Err(refusal) => (Vec::new(), Value::Null, json!({ "code": refusal.code, "message": refusal.sentence })),
    };
    Ok(HttpResponse::Ok().json(json!({
        "questions": questions,
        "greeting": standing.greeting(),
        "selected": selected,
        "refused": refused,
        "quotas": stock::quotas(&app, on.user(), &standing).await?,
        "devices": devices,
    })))
}
