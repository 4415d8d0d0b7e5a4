//! What a hook may say before a start, as pure functions: its answer read strictly, and laid over what was to be
//! started. What is not understood refuses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::unit::ByteSize;
use crate::keeper::prepare::Recipe;

/// The longest sentence of a hook that is shown, in characters.
const SENTENCE: usize = 500;

/// Whose server is about to start.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The user's name.
    pub user: String,
    /// Whether they administer the hub.
    pub admin: bool,
    /// The names of their groups.
    pub groups: Vec<String>,
    /// The server's name; empty for the default one.
    pub server: String,
    /// The path it is reached at.
    pub prefix: String,
    /// Names this server for good: hub and row.
    pub id: String,
    /// Which start of it this is.
    pub generation: i64,
    /// What the person chose; null for nothing.
    pub user_options: Value,
}

impl Situation {
    /// The question, but for `call` and `auth_state`.
    pub fn question(&self, call: &str) -> Value {
        json!({
            "specola": callout::VERSION,
            "call": call,
            "user": { "name": self.user, "admin": self.admin, "groups": self.groups },
            "server": { "id": self.id, "name": self.server, "prefix": self.prefix, "generation": self.generation },
            "user_options": self.user_options,
        })
    }
}

/// What a hook answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Go on, with these changes.
    Go(Box<Changes>),
    /// Not to be started, for this reason, a sentence for the person.
    Refuse(String),
}

/// What a hook changes. What is absent stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    environment: BTreeMap<String, String>,
    cmd: Option<Vec<String>>,
    args: Option<Vec<String>>,
    notebook_dir: Option<String>,
    default_url: Option<String>,
    mem_limit: Option<ByteSize>,
    mem_guarantee: Option<ByteSize>,
    cpu_limit: Option<f64>,
    cpu_guarantee: Option<f64>,
    user_options: Option<Value>,
}

/// Reads an answer. The error says what is wrong with it, for the operator.
pub fn read(mut answer: Map<String, Value>) -> Result<Said, String> {
    if let Some(refusal) = refusal(&mut answer)? {
        return Ok(Said::Refuse(refusal.unwrap_or_else(|| "Your server may not be started now.".to_owned())));
    }
    let changes: Changes = serde_json::from_value(Value::Object(answer)).map_err(|error| error.to_string())?;
    changes.check()?;
    Ok(Said::Go(Box::new(changes)))
}

/// Takes `refuse` out of an answer: absent, null or false for none; true or a sentence.
pub fn refusal(answer: &mut Map<String, Value>) -> Result<Option<Option<String>>, String> {
    match answer.remove("refuse") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(None)),
        Some(Value::String(sentence)) => {
            let sentence: String = callout::excerpt(sentence.as_bytes(), SENTENCE);
            Ok(Some((!sentence.is_empty()).then_some(sentence)))
        }
        Some(_) => Err("refuse is neither a sentence nor true".to_owned()),
    }
}

impl Changes {
    fn check(&self) -> Result<(), String> {
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("environment contains {name:?}, which cannot be a variable"));
            }
        }
        let words = self.cmd.iter().chain(&self.args).flatten();
        if words.into_iter().any(|word| word.contains('\0')) {
            return Err("cmd or args contain a zero character".to_owned());
        }
        if self.cmd.as_ref().is_some_and(|cmd| cmd.first().is_none_or(String::is_empty)) {
            return Err("cmd names no program".to_owned());
        }
        let processors = [self.cpu_limit, self.cpu_guarantee];
        if processors.iter().flatten().any(|number| !number.is_finite() || *number < 0.0) {
            return Err("cpu_limit and cpu_guarantee cannot be negative".to_owned());
        }
        Ok(())
    }

    /// Lays the changes over what was to be started.
    pub fn apply(self, recipe: &mut Recipe, situation: &mut Situation) {
        recipe.environment.extend(self.environment);
        replace(&mut recipe.cmd, self.cmd);
        replace(&mut recipe.args, self.args);
        replace(&mut recipe.notebook_dir, self.notebook_dir);
        replace(&mut recipe.default_url, self.default_url);
        recipe.mem_limit = self.mem_limit.map(|size| size.0).or(recipe.mem_limit);
        recipe.mem_guarantee = self.mem_guarantee.map(|size| size.0).or(recipe.mem_guarantee);
        recipe.cpu_limit = self.cpu_limit.or(recipe.cpu_limit);
        recipe.cpu_guarantee = self.cpu_guarantee.or(recipe.cpu_guarantee);
        replace(&mut situation.user_options, self.user_options);
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(answer: Value) -> Result<Said, String> {
        read(answer.as_object().unwrap().clone())
    }

    #[test]
    fn an_answer_is_read_strictly() {
        let good = [
            json!({}),
            json!({"refuse": false}),
            json!({"refuse": null, "environment": {}}),
            json!({"environment": {"A": "b"}, "mem_limit": "2G", "cpu_limit": 0.5, "args": []}),
            json!({"user_options": {"queue": "short"}, "cmd": ["lab"]}),
        ];
        for answer in good {
            assert!(matches!(read_json(answer.clone()), Ok(Said::Go(_))), "{answer}");
        }
        let bad = [
            json!({"refuse": 1}),
            json!({"refused": "no"}),
            json!({"environment": {"A": 1}}),
            json!({"environment": {"A=B": "1"}}),
            json!({"environment": {"A": "\0"}}),
            json!({"environment": null}),
            json!({"cmd": []}),
            json!({"cmd": [""]}),
            json!({"cmd": "jupyter lab"}),
            json!({"args": ["\0"]}),
            json!({"mem_limit": "lots"}),
            json!({"mem_limit": -1}),
            json!({"cpu_limit": -1.0}),
            json!({"cpu_limit": "two"}),
        ];
        for answer in bad {
            assert!(read_json(answer.clone()).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_of_bounded_length() {
        let refused = |answer| match read_json(answer) {
            Ok(Said::Refuse(sentence)) => sentence,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(json!({"refuse": "Your project\nhas ended."})), "Your project has ended.");
        assert_eq!(refused(json!({"refuse": true})), "Your server may not be started now.");
        assert_eq!(refused(json!({"refuse": "", "cmd": 7})), "Your server may not be started now.");
        assert!(refused(json!({"refuse": "x".repeat(10_000)})).chars().count() <= SENTENCE + 1);
    }
}
