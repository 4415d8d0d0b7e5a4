//! Samples of the token page.

use hub_core::secret::Secret;

use super::{HOSTILE, admin, ago, hostile, student};
use crate::TokenPage;
use crate::token::{Client, Expiry, Scope, Token, TokenForm};
use crate::words::ENGLISH;

fn explained(scopes: &[&str]) -> Vec<Scope> {
    scopes.iter().map(|scope| Scope::explained(&ENGLISH, *scope)).collect()
}

fn expiries() -> Vec<Expiry> {
    let expiry = |label: &str, seconds, selected| Expiry { seconds, label: label.to_owned(), selected };
    vec![
        expiry("1 hour", Some(3600), false),
        expiry("1 day", Some(86400), false),
        expiry("1 week", Some(7 * 86400), false),
        expiry("30 days", Some(30 * 86400), true),
        expiry("1 year", Some(365 * 86400), false),
        expiry("Never", None, false),
    ]
}

fn empty() -> TokenPage {
    TokenPage {
        frame: admin(),
        owner: "admin".to_owned(),
        expiries: expiries(),
        offered: explained(&[
            "read:users!user",
            "read:servers!user",
            "start:servers!user",
            "servers!user",
            "access:servers!user",
        ]),
        form: TokenForm::default(),
        created: None,
        error: None,
        tokens: Vec::new(),
        clients: Vec::new(),
    }
}

fn full() -> TokenPage {
    let token = |id: &str, note: &str, scopes: &[&str]| Token {
        id: id.to_owned(),
        note: note.to_owned(),
        scopes: explained(scopes),
        created: Some(ago(40 * 86400)),
        last_used: None,
        expires_at: None,
        of_server: false,
    };
    let backup = Token {
        last_used: Some(ago(5 * 3600)),
        expires_at: Some(ago(-20 * 86400)),
        ..token("a4", "Nightly backup on my laptop", &["read:servers!user=lbassi", "access:servers!user=lbassi"])
    };
    let server = Token {
        last_used: Some(ago(60)),
        created: Some(ago(9000)),
        of_server: true,
        ..token("a9", "Server at /user/lbassi/", &["users:activity!user=lbassi"])
    };
    let client = Client {
        id: "service-grades".to_owned(),
        token_id: "a7".to_owned(),
        description: "Grades".to_owned(),
        scopes: explained(&["identify", "read:users:groups!user=lbassi"]),
        created: Some(ago(100 * 86400)),
        last_used: Some(ago(2 * 86400)),
    };
    TokenPage {
        frame: student(),
        owner: "lbassi".to_owned(),
        tokens: vec![server, backup, token("a2", "", &["inherit"])],
        clients: vec![client],
        ..empty()
    }
}

pub(crate) fn samples() -> Vec<(&'static str, TokenPage)> {
    let text = || HOSTILE.to_owned();
    let mut bad = Scope::explained(&ENGLISH, HOSTILE);
    bad.selected = true;
    let token = Token {
        id: text(),
        note: text(),
        scopes: vec![bad.clone()],
        created: None,
        last_used: Some(ago(1)),
        expires_at: Some(ago(1)),
        of_server: true,
    };
    let client = Client {
        id: text(),
        token_id: text(),
        description: text(),
        scopes: vec![bad.clone(), bad.clone()],
        created: None,
        last_used: None,
    };
    let hostile = TokenPage {
        frame: hostile(),
        owner: text(),
        expiries: vec![Expiry { seconds: Some(1), label: text(), selected: true }],
        offered: vec![bad],
        form: TokenForm { note: text(), scopes: text() },
        created: Some(Secret::new(HOSTILE)),
        error: Some(text()),
        tokens: vec![token],
        clients: vec![client],
    };
    vec![
        ("empty", empty()),
        ("full", full()),
        ("created", TokenPage { created: Some(Secret::new("1f0c3b9ad0e94d6c8f0d7b5a2e4c6a81")), ..full() }),
        (
            "refused",
            TokenPage {
                error: Some("You do not have the scope admin:users, so your token cannot have it.".to_owned()),
                form: TokenForm { note: "Course set-up".to_owned(), scopes: "admin:users".to_owned() },
                ..full()
            },
        ),
        ("hostile", hostile),
    ]
}
