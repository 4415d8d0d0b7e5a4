//! What people may start, as handlers ask it: who they are comes from the database, the judgement from `hub_core::policy`,
//! and a refusal is recorded and told with its code. The one road for pages, REST and links.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use hub_core::policy::{self, Code, Decision, Dimension, Person, Refusal, Resolved};
use hub_store::{Over, Reservation, Server, User};
use serde_json::{Value, json};
use spawners::Abilities;

use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::Problem;
use crate::sites;

/// Judges a start: what was asked for, or else what was kept of the last time in the server's row. `None` where there are no
/// policies.
pub async fn decide(
    app: &App,
    by: &Actor,
    user: &User,
    server: &str,
    asked: Option<&Value>,
    row: Option<&Server>,
) -> Result<Option<Decision>, Problem> {
    let Some(rules) = &app.rules else { return Ok(None) };
    let person = person(app, user, row).await?;
    let kept = row.and_then(|row| row.user_options.as_ref());
    let decided = match asked {
        Some(asked) => policy::decide(rules, &person, asked),
        // What is not offered any more is left out: a start without options is no dead end.
        None => policy::decide_what_can_be(rules, &person, kept.unwrap_or(&Value::Null)),
    };
    match decided.and_then(|decision| supported(app.driver.abilities(), decision)) {
        Ok(decision) => Ok(Some(decision)),
        Err(refusal) => Err(refused(app, by, (&user.name, server), &refusal).await),
    }
}

/// What a server is started with: for the account of a lab for working together, what the configuration says. Whoever works
/// there trusts that nobody else chose the image.
pub fn for_account(app: &App, user: &User, asked: Option<Value>) -> Result<Option<Value>, Problem> {
    let Some(collaboration) = app.config.collaboration_of(&user.name) else { return Ok(asked) };
    match asked {
        Some(asked) if asked.as_object().is_none_or(|asked| !asked.is_empty()) => Err(Problem::forbidden(format!(
            "What {} is started with is said by those who run this hub",
            collaboration.title()
        ))),
        _ => Ok(Some(collaboration.chosen())),
    }
}

/// Judges options that are to be kept for a later start, and gives them in the form in which they are kept.
pub async fn to_keep(
    app: &App,
    by: &Actor,
    user: &User,
    server: &str,
    options: Option<Value>,
) -> Result<Option<Value>, Problem> {
    let Some(asked) = &options else { return Ok(None) };
    for_account(app, user, Some(asked.clone()))?;
    let row = app.store.server(user.id, server).await?;
    let decision = decide(app, by, user, server, Some(asked), row.as_ref()).await?;
    Ok(decision.map(|decision| Value::Object(decision.options)).or(options))
}

/// Somebody as policies look at them, now, for a server of theirs.
pub async fn person(app: &App, user: &User, server: Option<&Server>) -> Result<Person, Problem> {
    let groups = app.store.groups_of(user.id).await?;
    let places = sites::places(&app.config, &app.sites.all(), server, app.now());
    Ok(Person { name: user.name.clone(), admin: user.admin, groups, places })
}

/// Refuses what the driver would have to pass over.
pub fn supported(abilities: Abilities, decision: Decision) -> Result<Decision, Refusal> {
    match lacking(abilities, &decision.plan) {
        Some(what) => Err(Refusal::new(Code::NotSupported, "", format!("This hub cannot start {what}."))),
        None => Ok(decision),
    }
}

/// What a plan asks for and a driver cannot do.
pub fn lacking(abilities: Abilities, plan: &Resolved) -> Option<&'static str> {
    let (gpus, volumes, extra) = (plan.gpu() > 0, !plan.volumes.is_empty(), !plan.extra.is_empty());
    abilities.lacks(plan.image.is_some(), gpus, volumes, extra)
}

/// What a granted start takes of quotas.
pub fn reservation(decision: &Decision) -> Reservation {
    Reservation { takes: decision.plan.takes(), charges: decision.charges.clone() }
}

/// How many devices a granted start is to have, by resource.
pub fn devices(app: &App, decision: &Decision) -> BTreeMap<String, u64> {
    app.keeper.devices().wanted(&decision.plan.gpus)
}

/// A plan as it is kept with the intent.
pub fn plan(plan: &Resolved) -> Result<Value, Problem> {
    serde_json::to_value(plan).map_err(|error| Problem::internal("plan", error))
}

/// Records a refusal, and makes the answer of it.
async fn refused(app: &App, by: &Actor, (user, server): (&str, &str), refusal: &Refusal) -> Problem {
    let detail = json!({ "code": refusal.code.name(), "field": refusal.field, "message": refusal.sentence });
    app.audited(by, Act::ServerRefuse, Object::Server(user, server), detail).await;
    let status = if refusal.code.is_malformed() { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
    Problem::new(status, refusal.sentence.clone()).coded(refusal.code.name(), &refusal.field)
}

/// Records that a quota is used up, and makes the answer of it.
pub async fn over_quota(app: &App, by: &Actor, server: (&str, &str), over: &Over) -> Problem {
    let refusal = Refusal::new(Code::OverQuota, "", over_quota_sentence(over));
    refused(app, by, server, &refusal).await.advise("Stop another server first, or choose a smaller one.")
}

fn over_quota_sentence(over: &Over) -> String {
    let whose = match &over.group {
        Some(group) => format!("The quota of the group {group}"),
        None => "Your quota".to_owned(),
    };
    let (most, used) = (over.dimension.told(over.most), over.dimension.told(over.used));
    match over.dimension {
        Dimension::Servers => format!("{whose} is {most} at once, and {used} already {}.", runs(over.used)),
        dimension => {
            let takes = dimension.told(over.takes);
            format!("{whose} is {most}: {used} in use, and this server takes {takes}.")
        }
    }
}

fn runs(number: u64) -> &'static str {
    if number == 1 { "runs" } else { "run" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_quota_is_told_with_what_is_used() {
        let over = |group: Option<&str>, dimension, most, used, takes| {
            over_quota_sentence(&Over { group: group.map(str::to_owned), dimension, most, used, takes })
        };
        assert_eq!(
            over(None, Dimension::Servers, 1, 1, 1),
            "Your quota is 1 server at once, and 1 server already runs."
        );
        assert_eq!(
            over(None, Dimension::Cpu, 16_000, 12_000, 8000),
            "Your quota is 16 cores: 12 cores in use, and this server takes 8 cores."
        );
        assert_eq!(
            over(Some("/users/cygno"), Dimension::Gpu, 4, 4, 1),
            "The quota of the group /users/cygno is 4 GPUs: 4 GPUs in use, and this server takes 1 GPU."
        );
    }
}
