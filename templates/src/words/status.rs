//! HTTP statuses for people: what happened, why, what to do.

use super::Words;

/// What one status means.
#[derive(Debug)]
pub struct StatusWords {
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
    /// What to do.
    pub advice: &'static str,
}

const fn of(status: u16, what: &'static str, why: &'static str, advice: &'static str) -> StatusWords {
    StatusWords { status, what, why, advice }
}

/// The last one stands for all others.
pub(super) static ENGLISH: &[StatusWords] = &[
    of(
        400,
        "That request made no sense",
        "Something in the address or the form is missing or wrong.",
        "Go back, check what you entered, and try again.",
    ),
    of(401, "Please log in", "This page is only for people who are logged in.", "Log in and try again."),
    of(
        403,
        "You may not do that",
        "Your account does not have the permission it takes.",
        "If you think it should, ask those who run this site.",
    ),
    of(
        404,
        "There is nothing here",
        "The page does not exist, or it is not for you to see.",
        "Check the address, or start from your servers.",
    ),
    of(405, "That does not work here", "This address takes other kinds of requests.", "Start from your servers."),
    of(409, "That is no longer so", "Something else changed it in the meantime.", "Reload the page and look again."),
    of(413, "That was too large", "What you sent is larger than this site takes.", "Send less at once."),
    of(
        424,
        "The server is not running",
        "What you asked for lives in a server that does not run now.",
        "Start the server and try again.",
    ),
    of(429, "Too many requests", "There were too many in a short time.", "Wait a minute, then try again."),
    of(
        502,
        "The server gave no proper answer",
        "It may be starting, busy, or broken.",
        "Try again in a minute. If it stays so, stop the server and start it again.",
    ),
    of(503, "The server cannot be reached", "It seems to be down.", "Start it again from your servers."),
    of(
        504,
        "The server took too long",
        "It gave no answer in time.",
        "Try again in a minute. If it stays so, stop the server and start it again.",
    ),
    of(
        500,
        "Something went wrong on our side",
        "The hub ran into a fault. It has been recorded.",
        "Try again in a minute. If it happens again, ask for help and quote the reference.",
    ),
];

impl Words {
    /// What a status means; one that has no words of its own counts as a fault of the hub.
    pub fn status(&self, status: u16) -> &'static StatusWords {
        let statuses: &'static [StatusWords] = self.statuses;
        let known = statuses.iter().find(|words| words.status == status);
        known.or(statuses.last()).unwrap_or(&NONE)
    }
}

static NONE: StatusWords = of(500, "", "", "");

#[cfg(test)]
mod tests {
    use super::super::ENGLISH;

    #[test]
    fn every_status_has_words_and_unknown_ones_count_as_our_fault() {
        for words in ENGLISH.statuses {
            assert_eq!(ENGLISH.status(words.status).what, words.what);
            assert!(!words.why.is_empty() && !words.advice.is_empty());
        }
        assert_eq!(ENGLISH.status(599).status, 500);
    }
}
