//! Keeps the file current: asks well before the token ends, and says in `status.json` what stands in the way.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::folder::Folder;
use crate::hub::{Hub, Refusal, Token};

/// The token, and how it stands with it.
const TOKEN: &str = "access_token";
const STATUS: &str = "status.json";

/// A token is renewed after half of what it has left, but within these.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(900);

/// Who keeps the file.
pub struct Keeper {
    hub: Hub,
    folder: Folder,
}

impl Keeper {
    /// Keeps what a hub gives in a folder.
    pub fn new(hub: Hub, folder: Folder) -> Self {
        Self { hub, folder }
    }

    /// Where the token is.
    pub fn file(&self) -> PathBuf {
        self.folder.file(TOKEN)
    }

    /// Where it is kept.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Runs until it is aborted. `first` hears when the first answer is there, whatever it is.
    pub async fn run(self, first: oneshot::Sender<()>) {
        // What an agent before this one left behind may have ended long ago.
        self.folder.remove(TOKEN);
        let (mut first, mut ends, mut refusals) = (Some(first), None, 0_u32);
        loop {
            let pause = match self.hub.ask().await {
                Ok(token) => {
                    refusals = 0;
                    ends = token.expires_in.map(|seconds| Instant::now() + Duration::from_secs(seconds));
                    self.keep(&token);
                    after(&token)
                }
                Err(refusal) => {
                    // A token that has ended helps nobody, and one that is not to be had any more is for nobody here;
                    // what the hub does not deny may still open what it opened.
                    let left = ends.map(|ends| ends.saturating_duration_since(Instant::now()));
                    if refusal.status == 403 || left.is_some_and(|left| left.is_zero()) {
                        self.folder.remove(TOKEN);
                        ends = None;
                    }
                    self.tell(&refusal);
                    refusals = refusals.saturating_add(1);
                    let pause = again(&refusal, refusals);
                    // Not longer than it is good: it is taken away in time.
                    left.filter(|left| !left.is_zero()).map_or(pause, |left| pause.min(left.max(SHORTEST)))
                }
            };
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn keep(&self, token: &Token) {
        let status = json!({ "ok": true, "expires_in": token.expires_in });
        for (name, text) in [(TOKEN, token.access_token.as_str()), (STATUS, &status.to_string())] {
            if let Err(error) = self.folder.write(name, text) {
                eprintln!("specola-lab-agent: {error:#}");
            }
        }
    }

    fn tell(&self, refusal: &Refusal) {
        let Refusal { status, code, message, link } = refusal;
        let told = json!({ "ok": false, "status": status, "code": code, "message": message, "link": link });
        if let Err(error) = self.folder.write(STATUS, &told.to_string()) {
            eprintln!("specola-lab-agent: {error:#}");
        }
    }
}

/// When to ask for the next token.
fn after(token: &Token) -> Duration {
    token.expires_in.map_or(LONGEST, |seconds| (Duration::from_secs(seconds) / 2).clamp(SHORTEST, LONGEST))
}

/// When to ask again after a refusal: soon where it may pass, seldom where there is nothing to be had.
fn again(refusal: &Refusal, refusals: u32) -> Duration {
    match refusal.status {
        404 => Duration::from_secs(300),
        403 | 409 => Duration::from_secs(30),
        _ => Duration::from_secs(1 << refusals.min(5)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_half_of_its_time() {
        let token = |expires_in| Token { access_token: "a".into(), expires_in };
        for (seconds, expected) in
            [(Some(0), 0.5), (Some(5), 2.5), (Some(600), 300.0), (Some(86_400), 900.0), (None, 900.0)]
        {
            assert_eq!(after(&token(seconds)).as_secs_f64(), expected, "{seconds:?}");
        }
    }

    #[test]
    fn a_hub_that_is_away_is_asked_soon_and_one_without_tokens_seldom() {
        let pause = |status, refusals| again(&Refusal { status, ..Refusal::default() }, refusals).as_secs();
        assert_eq!([pause(0, 1), pause(503, 3), pause(0, 99)], [2, 8, 32]);
        assert_eq!([pause(404, 1), pause(409, 9)], [300, 30]);
    }
}
