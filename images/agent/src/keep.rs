//! Keeps the file with the token current: asks well before it ends, follows at once where the hub tells of another, and says
//! what stands in the way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::folder::Folder;
use crate::hub::{Hub, Refusal, Token};
use crate::status::Status;

/// The token's file.
const TOKEN: &str = "access_token";

/// A token is renewed after half of what it has left, but within these.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(900);
/// For so long the hub may keep a question waiting whether there is another token.
const WAIT: Duration = Duration::from_secs(25);
/// A hub that keeps nobody waiting, or is away, is asked so often.
const SELDOM: Duration = Duration::from_secs(2);

/// Who keeps the file.
pub struct Keeper {
    hub: Arc<Hub>,
    folder: Folder,
    status: Arc<Status>,
}

impl Keeper {
    /// Keeps what a hub gives in a folder.
    pub fn new(hub: Arc<Hub>, folder: Folder, status: Arc<Status>) -> Self {
        Self { hub, folder, status }
    }

    /// Where the token is.
    pub fn file(&self) -> PathBuf {
        self.folder.file(TOKEN)
    }

    /// Runs until it is aborted. `first` hears when the first answer is there, whatever it is.
    pub async fn run(self, first: oneshot::Sender<()>) {
        // What an agent before this one left behind may have ended long ago.
        self.folder.remove(TOKEN);
        let (mut first, mut ends, mut refusals) = (Some(first), None, 0_u32);
        let mut answer = self.hub.token().await;
        loop {
            let (pause, tag) = match answer {
                Ok(token) => {
                    refusals = 0;
                    ends = token.expires_in.map(|seconds| Instant::now() + Duration::from_secs(seconds));
                    self.keep(&token);
                    (after(&token), token.tag)
                }
                Err(refusal) => {
                    let left = ends.map(|ends| ends.saturating_duration_since(Instant::now()));
                    if is_over(&refusal, left) {
                        self.folder.remove(TOKEN);
                        ends = None;
                    }
                    self.status.token_refused(&refusal);
                    refusals = refusals.saturating_add(1);
                    (again(&refusal, refusals, left), None)
                }
            };
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
            answer = self.next(tag, Instant::now() + pause).await;
        }
    }

    /// The next answer: that of the hub when it has another token, or what it says when it is time to ask again.
    async fn next(&self, tag: Option<String>, time: Instant) -> Result<Token, Refusal> {
        if let Some(tag) = tag {
            // The hub counts whole seconds.
            while let Some(left) = time.checked_duration_since(Instant::now()).filter(|left| left.as_secs() > 0) {
                let asked = Instant::now();
                match self.hub.next(&tag, left.min(WAIT)).await {
                    Ok(Some(token)) => return Ok(token),
                    Err(refusal) if matches!(refusal.status, 400..=499) => return Err(refusal),
                    // It is told when it is time to ask again, if it still is so.
                    Ok(None) | Err(_) => {}
                }
                if asked.elapsed() < SHORTEST {
                    tokio::time::sleep(SELDOM.min(left)).await;
                }
            }
        }
        tokio::time::sleep_until(time).await;
        self.hub.token().await
    }

    fn keep(&self, token: &Token) {
        match self.folder.write(TOKEN, &token.access_token) {
            Ok(()) => self.status.token_kept(token.expires_in),
            Err(error) => {
                eprintln!("specola-lab-agent: {error:#}");
                self.status.token_refused(&Refusal::saying(format!("{error:#}")));
            }
        }
    }
}

/// When to ask for the next token.
fn after(token: &Token) -> Duration {
    token.expires_in.map_or(LONGEST, |seconds| (Duration::from_secs(seconds) / 2).clamp(SHORTEST, LONGEST))
}

/// Whether the token at hand goes at a refusal: one that has ended helps nobody, and one that is denied is for nobody
/// here. Else it may still open what it opened.
fn is_over(refusal: &Refusal, left: Option<Duration>) -> bool {
    refusal.status == 403 || left.is_some_and(|left| left.is_zero())
}

/// When to ask again after a refusal: soon where it may pass, seldom where there is nothing to be had, and in time to take
/// away a token that ends.
fn again(refusal: &Refusal, refusals: u32, left: Option<Duration>) -> Duration {
    let pause = match refusal.status {
        404 => Duration::from_secs(300),
        403 | 409 => Duration::from_secs(30),
        _ => Duration::from_secs(1 << refusals.min(5)),
    };
    left.filter(|left| !left.is_zero()).map_or(pause, |left| pause.min(left.max(SHORTEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_half_of_its_time() {
        let token = |expires_in| Token { access_token: "a".into(), expires_in, tag: None };
        for (seconds, expected) in
            [(Some(0), 0.5), (Some(5), 2.5), (Some(600), 300.0), (Some(86_400), 900.0), (None, 900.0)]
        {
            assert_eq!(after(&token(seconds)).as_secs_f64(), expected, "{seconds:?}");
        }
    }

    fn refusal(status: u16) -> Refusal {
        Refusal { status, ..Refusal::default() }
    }

    #[test]
    fn a_token_goes_when_it_has_ended_or_is_denied() {
        let seconds = Duration::from_secs;
        for (status, left, over, pause) in [
            (0, None, false, 2.0),
            (409, Some(seconds(600)), false, 30.0),
            (409, Some(seconds(7)), false, 7.0),
            (409, Some(Duration::from_millis(1)), false, 0.5),
            (409, Some(Duration::ZERO), true, 30.0),
            (503, Some(Duration::ZERO), true, 2.0),
            (403, Some(seconds(600)), true, 30.0),
        ] {
            let (refusal, case) = (refusal(status), format!("{status} {left:?}"));
            assert_eq!((is_over(&refusal, left), again(&refusal, 1, left).as_secs_f64()), (over, pause), "{case}");
        }
    }

    #[test]
    fn a_hub_that_is_away_is_asked_soon_and_one_without_tokens_seldom() {
        let pause = |status, refusals| again(&refusal(status), refusals, None).as_secs();
        assert_eq!([pause(0, 1), pause(503, 3), pause(0, 99)], [2, 8, 32]);
        assert_eq!([pause(404, 1), pause(409, 9)], [300, 30]);
    }
}
