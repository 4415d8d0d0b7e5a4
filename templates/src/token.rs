//! The token page: make a token, see and revoke tokens and applications.

use askama::Template;
use hub_core::clock::Time;
use hub_core::secret::Secret;

use crate::words::fill;
use crate::{Frame, Page, Place, sample};

/// The token page. Its forms post to `{base_url}token`: `action=create` with `note`, `expires_in` (seconds, empty for
/// never) and any number of `scopes` (each may hold several, separated by spaces; none at all for everything); or
/// `action=revoke` with `token_id`, or with `client_id` and the `token_id` of one of its tokens.
#[derive(Debug, Template)]
#[template(path = "token.html")]
pub struct TokenPage {
    /// What surrounds the page.
    pub frame: Frame,
    /// The login name of the person whose tokens these are.
    pub owner: String,
    /// How long a new token may last.
    pub expiries: Vec<Expiry>,
    /// Scopes to offer, most useful first. More can be typed.
    pub offered: Vec<Scope>,
    /// What was filled in before.
    pub form: TokenForm,
    /// The token just made; shown this once.
    pub created: Option<Secret>,
    /// Why the last action was refused.
    pub error: Option<String>,
    /// The person's API tokens.
    pub tokens: Vec<Token>,
    /// Applications that may act for the person.
    pub clients: Vec<Client>,
}

/// A possible lifetime.
#[derive(Debug, Clone)]
pub struct Expiry {
    /// In seconds; none for a token that never expires.
    pub seconds: Option<u64>,
    /// In words.
    pub label: String,
    /// Whether it is chosen at first.
    pub selected: bool,
}

/// A scope and what it means.
#[derive(Debug, Clone)]
pub struct Scope {
    /// As the API writes it: `read:servers!user=alice`.
    pub scope: String,
    /// In words; see [`crate::Words::scope`].
    pub meaning: String,
    /// Whether it is ticked at first (in forms).
    pub selected: bool,
}

/// What was filled in before a refusal.
#[derive(Debug, Clone, Default)]
pub struct TokenForm {
    /// The note.
    pub note: String,
    /// The typed scopes.
    pub scopes: String,
}

/// An API token in the list.
#[derive(Debug, Clone)]
pub struct Token {
    /// Its id in the API: `a5`.
    pub id: String,
    /// What its maker wrote about it.
    pub note: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Option<Time>,
    /// When it was last used.
    pub last_used: Option<Time>,
    /// When it ends.
    pub expires_at: Option<Time>,
    /// Whether a running server uses it, so that revoking it breaks that server.
    pub of_server: bool,
}

/// An application that may act for the person.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its OAuth client id.
    pub id: String,
    /// The id of one of its tokens; revoking that one revokes all of them.
    pub token_id: String,
    /// What it is.
    pub description: String,
    /// What its tokens may do together.
    pub scopes: Vec<Scope>,
    /// When it was first allowed.
    pub created: Option<Time>,
    /// When it last used a token.
    pub last_used: Option<Time>,
}

impl Scope {
    /// Explains a scope.
    pub fn explained(words: &'static crate::Words, scope: impl Into<String>) -> Self {
        let scope = scope.into();
        Self { meaning: words.scope(&scope), scope, selected: false }
    }

    /// Explains a scope of a shared server, where everything said is about that server.
    pub fn of_share(words: &'static crate::Words, scope: impl Into<String>) -> Self {
        let scope = scope.into();
        let meaning = match scope.split('!').next().unwrap_or_default() {
            "access:servers" => words.share_use.to_owned(),
            "servers" => words.share_manage.to_owned(),
            other => words.scope(&format!("{other}!server")),
        };
        Self { meaning, scope, selected: false }
    }
}

/// How much these scopes allow, in short: the one thing, or how many.
pub(crate) fn rights(words: &crate::Words, scopes: &[Scope]) -> String {
    match scopes {
        [] => words.rights_none.to_owned(),
        [scope] => scope.meaning.clone(),
        more => fill(words.rights_count, more.len()),
    }
}

impl TokenPage {
    /// What a token is called.
    pub fn note<'a>(&self, token: &'a Token) -> &'a str {
        if token.note.is_empty() { self.frame.words.token_without_note } else { &token.note }
    }

    /// How much a token may do, in short: the one thing, or how many.
    pub fn rights(&self, scopes: &[Scope]) -> String {
        rights(self.frame.words, scopes)
    }

    /// Whether anything narrower than everything is filled in.
    pub fn narrowed(&self) -> bool {
        !self.form.scopes.is_empty() || self.offered.iter().any(|scope| scope.selected)
    }

    /// The new token, if there is one.
    pub fn secret(&self) -> Option<&str> {
        self.created.as_ref().map(Secret::expose)
    }
}

impl Page for TokenPage {
    const NAME: &'static str = "token";
    const PLACE: Place = Place::Token;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::token::samples()
    }
}
