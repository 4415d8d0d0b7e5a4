//! The clock of this machine against those of the identity providers: their tokens are good from one instant to another.

use chrono::{DateTime, TimeDelta};
use hub_core::clock::Time;

use super::finding::Finding;
use crate::command::database::now;
use crate::config::Config;
use crate::login::oidc::http::Client;

/// Tokens are believed this much too early or too late.
const BELIEVED: TimeDelta = TimeDelta::seconds(60);
/// More than this is worth a look.
const NOTED: TimeDelta = TimeDelta::seconds(10);
const REMEDY: &str = "Let this machine follow a time server: timedatectl set-ntp true";

/// Asks each provider for the time.
pub async fn check(config: &Config) -> Vec<Finding> {
    if config.auth.providers.is_empty() {
        return vec![Finding::skipped("clock", "there is no identity provider to compare it with")];
    }
    let mut findings = Vec::new();
    for provider in &config.auth.providers {
        let about = format!("clock against {}", provider.name);
        let Some(issuer) = provider.issuer() else { continue };
        let Ok(client) = Client::new(provider.ca_file.as_deref(), provider.timeout.duration()) else { continue };
        let before = now();
        let answer = client.get(issuer, None).await;
        let after = now();
        let dated = answer.ok().and_then(|answer| answer.headers.get("date")?.to_str().ok().map(str::to_owned));
        findings.push(match dated.as_deref().map(DateTime::parse_from_rfc2822) {
            Some(Ok(theirs)) => judge(about, before, after, theirs.to_utc()),
            Some(Err(_)) => Finding::skipped(about, "the provider's date is not understood"),
            None => Finding::skipped(about, "the provider does not tell the time"),
        });
    }
    findings
}

/// The answer tells whole seconds, and was made some time between the two instants.
fn judge(about: String, before: Time, after: Time, theirs: Time) -> Finding {
    let (ahead, behind) = (before - theirs - TimeDelta::seconds(1), theirs - after);
    let (off, way) = if ahead > behind { (ahead, "ahead") } else { (behind, "behind") };
    if off <= TimeDelta::seconds(1) {
        return Finding::good(about, "agrees");
    }
    let said = format!("is {} s {way}", off.num_seconds());
    if off > BELIEVED {
        return Finding::bad(about, format!("{said}: its tokens are refused"), REMEDY);
    }
    if off > NOTED { Finding::note(about, said, REMEDY) } else { Finding::good(about, said) }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_that_is_minutes_off_fails() {
        let at = |seconds: i64| DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
        let judged = |theirs: i64| judge("clock".to_owned(), at(0), at(2), at(theirs));
        for (theirs, level) in [(0, Level::Ok), (2, Level::Ok), (-1, Level::Ok), (20, Level::Note), (-20, Level::Note)]
        {
            assert_eq!(judged(theirs).level, level, "{theirs}");
        }
        assert!(judged(300).said.contains("298 s behind"));
        assert_eq!(judged(300).level, Level::Bad);
        assert!(judged(-300).said.contains("299 s ahead"));
    }
}
