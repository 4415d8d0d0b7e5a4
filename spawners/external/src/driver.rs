//! The driver: the verbs of `Spawner` as questions.

use std::time::Duration;

use async_trait::async_trait;
use callout::{Callout, Trouble};
use serde_json::{Map, Value, json};
use spawners::{
    Abilities, Identity, News, Owned, Plan, Record, Sight, Spawner, StartError, Started, Stop, Unreachable,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Report};
use crate::question;

/// The pauses between two looks at a server that is on its way: they grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// People are told this when there is nobody to start their server.
const BROKEN: &str = "What starts servers does not work. Ask the people who run this hub.";

/// Everything is handed on, but for folders of this machine: the program says no to what it cannot do.
pub const ABILITIES: Abilities = Abilities { binds: false, mounts: false, ..Abilities::ALL };

/// Servers that somebody else starts.
#[derive(Debug)]
pub struct External {
    hub: String,
    callout: Callout,
}

impl External {
    /// `hub` is the hub's mark. Nobody is asked yet.
    pub fn new(hub: impl Into<String>, callout: Callout) -> Self {
        Self { hub: hub.into(), callout }
    }

    async fn ask(&self, question: &Value) -> Result<Map<String, Value>, Unreachable> {
        self.callout.ask(question).await.map_err(Unreachable::new)
    }

    async fn report(&self, server: &Identity, state: &Value) -> Result<Report, Unreachable> {
        let answer = self.ask(&question::about("look", server, state)).await?;
        answer::report(answer).map_err(garbage)
    }

    async fn begin(&self, plan: &Plan, state: &Value) -> Result<Report, StartError> {
        let answer = match self.callout.ask(&question::start(plan, state)).await {
            Ok(answer) => answer,
            // Nothing can have been started by what could not be started itself.
            Err(trouble @ Trouble::NotStarted { .. }) => {
                tracing::error!("spawner.external: {trouble}");
                return Err(StartError::failed("spawner_broken", BROKEN));
            }
            Err(trouble) => return Err(Unreachable::new(trouble).into()),
        };
        match answer::started(answer).map_err(garbage)? {
            answer::Started::Report(report) => Ok(report),
            answer::Started::Refused(sentence) => Err(StartError::refused("refused_by_spawner", sentence)),
        }
    }

    async fn log_of(&self, server: &Identity, state: &Value) -> String {
        self.logs(server, state, 40).await.unwrap_or_default()
    }
}

#[async_trait]
impl Spawner for External {
    fn kind(&self) -> &'static str {
        "external"
    }

    fn abilities(&self) -> Abilities {
        ABILITIES
    }

    async fn start(&self, plan: &Plan, state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        let identity = &plan.identity;
        let mut kept = question::keep(identity.generation, question::kept(identity.generation, state));
        // Before anything is made: what was saved says that something may have been.
        record.save(&kept).await?;
        let mut report = self.begin(plan, state).await?;
        let (mut pause, mut told) = (PAUSES.0, None);
        loop {
            if let Some(fresh) = report.state.take().map(|state| question::keep(identity.generation, state))
                && fresh != kept
            {
                record.save(&fresh).await?;
                kept = fresh;
            }
            if report.progress.is_some() && report.progress != told {
                told = report.progress.take();
                if let Some((percent, sentence)) = &told {
                    record.progress(*percent, sentence).await;
                }
            }
            match report.sight {
                Sight::Up { url } => return Ok(Started { url, state: kept }),
                Sight::Coming => {}
                Sight::Absent => return Err(StartError::failed("gone", "The server was removed while it started.")),
                Sight::Exited { reason, .. } => {
                    let log = self.log_of(identity, &kept).await;
                    return Err(StartError::Failed { code: "died", sentence: reason, log });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            report = self.report(identity, &kept).await?;
        }
    }

    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable> {
        self.report(server, state).await.map(|report| report.sight)
    }

    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable> {
        let mut question = question::about("stop", server, state);
        question["force"] = json!(how.force);
        self.ask(&question).await.map(drop)
    }

    async fn forget(&self, server: &Identity, state: &Value) -> Result<(), Unreachable> {
        self.ask(&question::about("forget", server, state)).await.map(drop)
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        let question = json!({ "specola": callout::VERSION, "call": "list", "hub": self.hub });
        answer::listed(self.ask(&question).await?, &self.hub).map_err(garbage)
    }

    /// Nobody tells of changes: the hub's survey finds them.
    async fn watch(&self, _news: mpsc::Sender<News>, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn logs(&self, server: &Identity, state: &Value, lines: usize) -> Result<String, Unreachable> {
        let mut question = question::about("logs", server, state);
        question["lines"] = json!(lines);
        let text = answer::log(&self.ask(&question).await?).map_err(garbage)?;
        let skipped = text.lines().count().saturating_sub(lines);
        Ok(text.lines().skip(skipped).collect::<Vec<_>>().join("\n"))
    }
}

fn garbage(what: String) -> Unreachable {
    Unreachable(anyhow::anyhow!("the answer is not understood ({what})"))
}
