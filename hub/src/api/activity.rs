//! `POST /users/{user}/activity`: what single-user servers report.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, NaiveDateTime, TimeDelta};
use hub_core::clock::Time;
use serde_json::{Map, Value};

use super::body;
use crate::app::App;
use crate::http::guard::{OnUser, rights};
use crate::http::{Answer, Problem};

/// Clocks differ, but not by this much.
const AHEAD: TimeDelta = TimeDelta::minutes(59);

/// `POST /users/{user}/activity`
pub async fn report(app: web::Data<App>, on: OnUser<rights::Activity>, bytes: web::Bytes) -> Answer {
    let must = || Problem::bad("body must be a json dict with at least one of `last_activity` or `servers`");
    let object = body::object(&bytes)?.ok_or_else(must)?;
    let own = object.get("last_activity").filter(|value| !value.is_null());
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    let servers = object.get("servers").filter(|value| !is_empty(value));
    if own.is_none() && servers.is_none() {
        return Err(must());
    }
    let now = app.now();
    let own = own.map(|value| parse(value, now)).transpose()?;
    let mut moved = Vec::new();
    if let Some(servers) = servers {
        let servers = servers.as_object().ok_or_else(|| Problem::bad("servers must be a dict"))?;
        for (name, activity) in servers {
            let missing = || Problem::bad(format!("No such server '{name}' for user {}", on.user().name));
            let known = if name.contains('\0') { None } else { app.store.server(on.user().id, name).await? };
            let server = known.ok_or_else(missing)?;
            let wrong = || Problem::bad(format!("server {name} must have a last_activity"));
            let at = activity.get("last_activity").ok_or_else(wrong)?;
            moved.push((server.id, parse(at, now)?));
        }
    }
    if let Some(at) = own {
        app.store.touch_user(on.user().id, at).await?;
    }
    app.store.touch_servers(&moved).await?;
    Ok(HttpResponse::Ok().content_type("application/json").finish())
}

/// Reads an ISO 8601 time; without offset it is UTC.
fn parse(value: &Value, now: Time) -> Result<Time, Problem> {
    let invalid =
        || Problem::bad(format!("Not a valid timestamp: {}", value.to_string().chars().take(64).collect::<String>()));
    let text = value.as_str().ok_or_else(invalid)?;
    let naive = |format| NaiveDateTime::parse_from_str(text, format).map(|time| time.and_utc());
    let at = DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| naive("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| naive("%Y-%m-%d %H:%M:%S%.f"))
        .map_err(|_| invalid())?;
    if at > now + AHEAD {
        return Err(Problem::bad(format!("Rejecting activity from more than an hour in the future: {text}")));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_with_and_without_offset_are_read() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for text in
            ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.000000", "2023-11-14 22:13:20"]
        {
            assert_eq!(parse(&json!(text), now).unwrap().timestamp(), 1_700_000_000, "{text}");
        }
    }

    #[test]
    fn the_future_and_nonsense_are_refused() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        for value in [json!("2033-01-01T00:00:00Z"), json!("yesterday"), json!(12), json!(null)] {
            assert!(parse(&value, now).is_err(), "{value}");
        }
    }
}
