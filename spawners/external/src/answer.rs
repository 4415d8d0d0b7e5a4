//! What is answered about servers, read strictly.

use serde::Deserialize;
use serde_json::{Map, Value};
use spawners::{Identity, Marker, Owned, Sight};
use url::Url;

use crate::question::{keep, marker_of};

/// The longest sentence for people, in characters.
const SENTENCE: usize = 500;
/// A server whose end nobody explains.
const ENDED: &str = "The server ended by itself.";

/// What was answered about one server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub sight: Sight,
    /// What is to be kept for later questions; absent to keep what there is.
    pub state: Option<Value>,
    /// How far it is, 0 to 100, and a sentence for the one who waits.
    pub progress: Option<(u8, String)>,
}

/// What was answered to a start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Started {
    Report(Report),
    /// It will not be done; a sentence for the person.
    Refused(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Absent,
    Coming,
    Up,
    Exited,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sight: Word,
    url: Option<String>,
    code: Option<i32>,
    reason: Option<String>,
    state: Option<Value>,
    progress: Option<u8>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    id: String,
    generation: i64,
    user: String,
    name: String,
    state: Option<Value>,
}

/// Reads what was answered to `start`. The error is for the log.
pub(crate) fn started(mut answer: Map<String, Value>) -> Result<Started, String> {
    match answer.remove("refuse") {
        None | Some(Value::Null | Value::Bool(false)) => report(answer).map(Started::Report),
        Some(Value::Bool(true)) => Ok(Started::Refused("This server may not be started now.".to_owned())),
        Some(Value::String(sentence)) => Ok(Started::Refused(short(&sentence))),
        Some(_) => Err("refuse is neither a sentence nor true".to_owned()),
    }
}

/// Reads what was answered to `look`.
pub(crate) fn report(answer: Map<String, Value>) -> Result<Report, String> {
    let written: Written = serde_json::from_value(Value::Object(answer)).map_err(|error| error.to_string())?;
    let sight = match written.sight {
        Word::Absent => Sight::Absent,
        Word::Coming => Sight::Coming,
        Word::Up => match written.url {
            Some(url) => Sight::Up { url: address(&url)? },
            // It runs, and whoever looked does not know where: so it is with a server of another hub.
            None => Sight::Coming,
        },
        Word::Exited => {
            let reason = written.reason.map(|reason| short(&reason)).filter(|reason| !reason.is_empty());
            Sight::Exited { code: written.code, reason: reason.unwrap_or_else(|| ENDED.to_owned()) }
        }
    };
    let message = written.message.map(|message| short(&message)).filter(|message| !message.is_empty());
    let progress = message.map(|message| (written.progress.unwrap_or_default().min(100), message));
    Ok(Report { sight, state: written.state.filter(|state| !state.is_null()), progress })
}

/// Reads what was answered to `list`: the servers of this hub; those of others are passed over.
pub(crate) fn listed(mut answer: Map<String, Value>, hub: &str) -> Result<Vec<Owned>, String> {
    let servers = answer.remove("servers").unwrap_or_else(|| Value::Array(Vec::new()));
    if let Some(unknown) = answer.keys().next() {
        return Err(format!("unknown field `{unknown}`"));
    }
    let servers: Vec<Listed> = serde_json::from_value(servers).map_err(|error| error.to_string())?;
    let owned = servers.into_iter().map(|server| {
        let marker = marker_of(&server.id, server.generation).ok_or(format!("{:?} is no id", short(&server.id)))?;
        let Marker { hub, spawner, generation } = marker;
        let identity = Identity { hub, spawner, generation, user: server.user, server: server.name, account: None };
        Ok(Owned { state: keep(identity.generation, server.state.unwrap_or_default()), identity })
    });
    let owned = owned.collect::<Result<Vec<Owned>, String>>()?;
    Ok(owned.into_iter().filter(|owned| owned.identity.hub == hub).collect())
}

/// Reads what was answered to `logs`.
pub(crate) fn log(answer: &Map<String, Value>) -> Result<String, String> {
    match answer.get("log") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err("log is no text".to_owned()),
    }
}

fn address(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("the url {:?}: {error}", short(text)))?;
    let reachable = url.has_host() && matches!(url.scheme(), "http" | "https");
    if reachable { Ok(text.to_owned()) } else { Err(format!("the url {:?} is no http address", short(text))) }
}

fn short(text: &str) -> String {
    callout::excerpt(text.as_bytes(), SENTENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_report_is_read_strictly() {
        let up = Sight::Up { url: "http://10.0.0.1:8888/user/a/".into() };
        let ended = |code, reason: &str| Sight::Exited { code, reason: reason.into() };
        let good = [
            (json!({"sight": "absent"}), Sight::Absent),
            (json!({"sight": "coming", "message": "queued", "progress": 7}), Sight::Coming),
            (json!({"sight": "up", "url": "http://10.0.0.1:8888/user/a/"}), up),
            (json!({"sight": "up"}), Sight::Coming),
            (json!({"sight": "exited"}), ended(None, ENDED)),
            (json!({"sight": "exited", "code": 3, "reason": "out of\nmemory"}), ended(Some(3), "out of memory")),
        ];
        for (answer, sight) in good {
            assert_eq!(report(object(answer.clone())).unwrap().sight, sight, "{answer}");
        }
        let bad = [
            json!({}),
            json!({"sight": "gone"}),
            json!({"sight": "up", "url": "ftp://a/"}),
            json!({"sight": "up", "url": "127.0.0.1:80"}),
            json!({"sight": "up", "url": "http://"}),
            json!({"sight": "up", "url": 1}),
            json!({"sight": "exited", "code": "one"}),
            json!({"sight": "absent", "sigth": 1}),
            json!({"sight": "coming", "progress": 1000}),
        ];
        for answer in bad {
            assert!(report(object(answer.clone())).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_start_may_be_refused() {
        assert_eq!(started(object(json!({"refuse": "Full."}))), Ok(Started::Refused("Full.".into())));
        assert!(matches!(started(object(json!({"sight": "coming"}))), Ok(Started::Report(_))));
        assert!(started(object(json!({}))).is_err());
        assert!(started(object(json!({"refuse": 7}))).is_err());
    }

    #[test]
    fn only_the_hubs_own_servers_are_listed() {
        let of = |id: &str| json!({"id": id, "generation": 2, "user": "a", "name": ""});
        let answer = |ids: &[&str]| object(json!({"servers": ids.iter().map(|id| of(id)).collect::<Vec<_>>()}));
        let owned = listed(answer(&["mine:1", "other:2"]), "mine").unwrap();
        assert_eq!(owned.iter().map(|owned| owned.identity.spawner.0).collect::<Vec<_>>(), [1]);
        assert_eq!(owned[0].state, json!({"generation": 2, "state": null}));
        assert_eq!(listed(object(json!({})), "mine"), Ok(vec![]));
        for bad in [answer(&["mine"]), object(json!({"servers": {}})), object(json!({"server": []}))] {
            assert!(listed(bad, "mine").is_err());
        }
    }
}
