//! Hooks before a start and after a stop, as the keeper asks them.
//!
//! Before a start they are asked once a generation, after the token was made and before the spawner hears anything; a
//! hub that dies there makes a new generation, so a hook may be asked twice for one wish, under two generations. After
//! a stop only a row is written here: `task/after_stop.rs` tells it.

use anyhow::Result;
use callout::Callout;
use hub_core::id::Generation;
use hub_core::secret::Secret;
use hub_store::Server;
use serde_json::{Value, json};
use spawners::Plan;

use super::Inner;
use super::act::{Run, Step};
use super::attend::Attended;
use super::devices::Lease;
use super::prepare::{Recipe, granted};
use crate::hook::SILENT;
use crate::hook::before::{self, Said, Situation};
use crate::options::lacking;

/// What a start of one generation came to after the hooks were asked.
pub(crate) struct Amended {
    generation: Generation,
    recipe: Recipe,
    options: Value,
    groups: Vec<String>,
}

/// Whether a start goes on.
pub(crate) enum Before {
    /// With this plan.
    Go(Box<Plan>),
    /// Not now; the step that follows.
    End(Step),
}

/// What the hooks said together.
enum Verdict {
    Go(Box<Amended>),
    Refused(String),
    /// What was granted cannot be read, or not be done here: a code and a sentence.
    Impossible(&'static str, String),
    /// For the log.
    Silent(String),
}

impl Inner {
    /// Plans a start, and asks the hooks about it, unless this run did already.
    pub(crate) async fn before_start(&self, server: &Server, token: &Secret, run: &mut Run) -> Result<Before> {
        if run.amended.as_ref().is_none_or(|amended| amended.generation != server.generation) {
            match self.attend(server, self.ask_hooks(server)).await {
                Attended::Done(Ok(Verdict::Go(amended))) => run.amended = Some(*amended),
                Attended::Done(Ok(Verdict::Refused(sentence))) => {
                    let failure = self.failure(server, "refused_by_hook", sentence, String::new(), true);
                    return self.failed(server, &failure).await.map(Before::End);
                }
                Attended::Done(Ok(Verdict::Impossible(code, sentence))) => {
                    let failure = self.failure(server, code, sentence, String::new(), true);
                    return self.failed(server, &failure).await.map(Before::End);
                }
                Attended::Done(Ok(Verdict::Silent(what))) => {
                    tracing::error!(user = server.user_name, server = server.name, "not started: {what}");
                    let failure = self.failure(server, "hook_failed", SILENT.to_owned(), String::new(), false);
                    return self.failed(server, &failure).await.map(Before::End);
                }
                Attended::Done(Err(error)) => return Err(error),
                Attended::Overtaken => return Ok(Before::End(Step::Again)),
                Attended::Lost => return Ok(Before::End(Step::after(false))),
            }
        }
        // It was leased before the start was prepared; a stop and another wish may have come between.
        let devices = match self.lease(server, run).await? {
            Lease::Held(devices) => devices,
            Lease::Not(step) => return Ok(Before::End(step)),
        };
        let (recipe, options, groups) = match &run.amended {
            Some(amended) => (&amended.recipe, amended.options.clone(), amended.groups.as_slice()),
            None => (&self.recipe, Value::Null, &[][..]),
        };
        let mut plan = recipe.plan(server, self.identity(server), token);
        plan.options = options;
        if let Some(internal_ssl) = &self.settings.internal_ssl {
            // A server of a driver that gives it no certificate would speak in clear, and nobody would be told.
            if !self.driver.abilities().tls {
                let sentence = "This hub cannot start servers that speak TLS.".to_owned();
                let failure = self.failure(server, "not_supported", sentence, String::new(), true);
                return self.failed(server, &failure).await.map(Before::End);
            }
            plan.certify = Some(internal_ssl.clone());
        }
        self.tell_login(&mut plan, server, token).await?;
        let refusal = match self.note_volumes(&plan, server.user_id).await? {
            Some(refusal) => Err(refusal),
            None => self.lay_folders(&mut plan, groups).await,
        };
        if let Err((code, sentence)) = refusal {
            let failure = self.failure(server, code, sentence, String::new(), true);
            return self.failed(server, &failure).await.map(Before::End);
        }
        self.tell_storage(&mut plan, server, token).await?;
        self.tell_devices(&mut plan, devices);
        Ok(Before::Go(Box::new(plan)))
    }

    async fn ask_hooks(&self, server: &Server) -> Result<Verdict> {
        let hooks = &self.settings.hooks;
        let (mut situation, mut recipe) = (self.situation(server).await?, self.recipe.clone());
        let Some(granted) = granted(server) else {
            let sentence = "What was granted to this server cannot be read any more. Start it again.".to_owned();
            return Ok(Verdict::Impossible("plan_not_understood", sentence));
        };
        let caps = granted.caps;
        recipe.lay(granted);
        recipe.join_people(&server.user_name);
        if let Some(what) = lacking(self.driver.abilities(), &recipe.chosen) {
            return Ok(Verdict::Impossible("not_supported", format!("This hub cannot start {what}.")));
        }
        let asked = [("auth_state", &hooks.auth_state, true), ("pre_spawn", &hooks.pre_spawn, hooks.send_auth_state)];
        for (call, callout, tells_state) in asked {
            let Some(callout) = callout else { continue };
            let mut question = situation.question(call);
            if tells_state {
                question["auth_state"] = hooks.auth_states.read(&self.store, server.user_id, self.now()).await?;
            }
            match ask(callout, &question).await {
                Ok(Said::Go(changes)) => changes.apply(&mut recipe, &mut situation),
                Ok(Said::Refuse(sentence)) => return Ok(Verdict::Refused(sentence)),
                Err(what) => return Ok(Verdict::Silent(format!("hooks.{call}: {what}"))),
            }
        }
        recipe.bound(&caps);
        let options = json!({
            "user_options": situation.user_options, "groups": situation.groups, "admin": situation.admin,
        });
        let groups = situation.groups;
        Ok(Verdict::Go(Box::new(Amended { generation: server.generation, recipe, options, groups })))
    }

    async fn situation(&self, server: &Server) -> Result<Situation> {
        let user = self.store.user_by_id(server.user_id).await?;
        Ok(Situation {
            user: server.user_name.clone(),
            admin: user.is_some_and(|user| user.admin),
            groups: self.store.groups_of(server.user_id).await?,
            server: server.name.clone(),
            prefix: self.recipe.prefix(&server.user_name, &server.name),
            id: self.id_of(server),
            generation: server.generation.0,
            user_options: server.user_options.clone().unwrap_or_default(),
        })
    }

    fn id_of(&self, server: &Server) -> String {
        format!("{}:{}", self.recipe.hub, server.id)
    }

    /// What the hook after a stop is to be told, where there is one. It is noted with the end of the stop: before, it might
    /// never come to that, and afterwards a crash could swallow it.
    pub(crate) fn of_stop(&self, server: &Server) -> Option<Value> {
        self.settings.hooks.post_stop.as_ref()?;
        let failure =
            server.failure.as_ref().map(|failure| json!({ "code": failure["code"], "message": failure["message"] }));
        Some(json!({
            "specola": callout::VERSION,
            "call": "post_stop",
            "user": { "name": server.user_name },
            "server": {
                "id": self.id_of(server),
                "name": server.name,
                "prefix": self.recipe.prefix(&server.user_name, &server.name),
                "generation": server.generation,
            },
            "failure": failure,
        }))
    }
}

/// The error is for the log.
async fn ask(callout: &Callout, question: &Value) -> Result<Said, String> {
    let answer = callout.ask(question).await.map_err(|trouble| trouble.to_string())?;
    before::read(answer).map_err(|what| format!("the answer is not understood ({what})"))
}
