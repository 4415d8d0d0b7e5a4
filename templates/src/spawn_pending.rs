//! The page shown while a server starts: a timeline of phases, the live log, and a way to cancel.

use askama::Template;
use hub_core::clock::Time;
use hub_core::life::Phase;

use crate::words::fill;
use crate::{Frame, Href, Page, Words, sample};

/// The page shown while a server starts. Cancel posts `action=cancel` and `_xsrf` to `cancel`.
#[derive(Debug, Template)]
#[template(path = "spawn_pending.html")]
pub struct SpawnPending {
    /// What surrounds the page.
    pub frame: Frame,
    /// Whose server it is, by login name.
    pub owner: String,
    /// The server's name; empty for the default server.
    pub server_name: String,
    /// The name to show, if it is another.
    pub display_name: Option<String>,
    /// When the start was asked for.
    pub since: Time,
    /// The phases, in order.
    pub steps: Vec<Step>,
    /// The messages so far, oldest first.
    pub log: Vec<LogLine>,
    /// How far it is, 0 to 100.
    pub progress: u8,
    /// The event stream of the REST API, without `_xsrf`: `/hub/api/users/alice/server/progress`.
    pub progress_url: Href,
    /// Where to post the cancellation: `/hub/spawn-pending/alice`; none if the person may not stop it.
    pub cancel: Option<Href>,
}

/// A phase of starting.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name that progress events carry as `phase`.
    pub key: String,
    /// What happens, in a few words.
    pub label: String,
    /// How far it is.
    pub state: StepState,
    /// More about now: "412 of 910 MB".
    pub detail: Option<String>,
    /// How long it took or has taken, in seconds.
    pub took: Option<u64>,
    /// How long it usually takes, in seconds.
    pub usual: Option<u64>,
}

/// How far a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Under way.
    Working,
    /// Over.
    Done,
    /// Went wrong.
    Failed,
}

/// One message of a start.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When.
    pub at: Time,
    /// What.
    pub text: String,
}

impl StepState {
    /// The name of its style and of `data-state`.
    pub fn style(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The state in a word, for those who cannot see its sign.
    pub fn word(self, words: &'static Words) -> &'static str {
        match self {
            Self::Waiting => words.step_waiting,
            Self::Working => words.step_working,
            Self::Done => words.step_done,
            Self::Failed => words.step_failed,
        }
    }
}

/// The phases every server goes through. `durations` tells, for a phase, how long it took so far and how long it usually
/// takes, both in seconds.
pub fn timeline(
    words: &'static Words,
    now: Phase,
    mut durations: impl FnMut(Phase) -> (Option<u64>, Option<u64>),
) -> Vec<Step> {
    let order = [Phase::Stopped, Phase::Starting, Phase::Waiting, Phase::Routing];
    let reached = order.iter().position(|phase| *phase == now).unwrap_or(order.len());
    let step = |(index, phase): (usize, Phase)| {
        let state = match index.cmp(&reached) {
            std::cmp::Ordering::Less => StepState::Done,
            std::cmp::Ordering::Equal => StepState::Working,
            std::cmp::Ordering::Greater => StepState::Waiting,
        };
        let (took, usual) = durations(phase);
        let (key, label) = words.phase(phase);
        Step { key: key.to_owned(), label: label.to_owned(), state, detail: None, took, usual }
    };
    order.into_iter().enumerate().map(step).collect()
}

impl SpawnPending {
    /// The page's title.
    pub fn heading(&self) -> String {
        let words = self.frame.words;
        if self.label() == words.default_server {
            words.starting_default.to_owned()
        } else {
            fill(words.starting_title, self.label())
        }
    }

    /// What people call the server.
    pub fn label(&self) -> &str {
        match self.display_name.as_deref() {
            Some(name) if !name.is_empty() => name,
            _ if self.server_name.is_empty() => self.frame.words.default_server,
            _ => &self.server_name,
        }
    }

    /// The latest message, or the phase under way.
    pub fn message(&self) -> &str {
        let working = self.steps.iter().find(|step| step.state == StepState::Working).map(|step| &step.label);
        self.log.last().map(|line| &line.text).or(working).map_or("", String::as_str)
    }
}

impl Page for SpawnPending {
    const NAME: &'static str = "spawn-pending";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::pending::spawn_pending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_before_the_present_one_are_done_and_later_ones_wait() {
        let states =
            |phase| timeline(&crate::words::ENGLISH, phase, |_| (None, None)).into_iter().map(|step| step.state);
        use StepState::{Done, Waiting, Working};
        assert!(states(Phase::Stopped).eq([Working, Waiting, Waiting, Waiting]));
        assert!(states(Phase::Waiting).eq([Done, Done, Working, Waiting]));
        assert!(states(Phase::Ready).eq([Done, Done, Done, Done]));
    }
}
