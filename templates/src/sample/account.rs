//! Samples of the pages around logging in, consent and errors.

use super::{HOSTILE, admin, ago, anonymous, hostile, path, student};
use crate::error::ErrorPage;
use crate::login::{LoginService, PasswordForm};
use crate::new_password::Occasion;
use crate::refused::Admitting;
use crate::token::Scope;
use crate::words::ENGLISH;
use crate::{Announcement, Consent, Frame, Href, Link, Login, Logout, NewPassword, Refused, Severity};

fn password_form(username: &str) -> PasswordForm {
    PasswordForm { action: path("hub/login?next=/hub/home"), username: username.to_owned(), otp: None, terms: None }
}

pub(crate) fn login() -> Vec<(&'static str, Login)> {
    let plain = || Login {
        frame: anonymous(),
        services: Vec::new(),
        password: Some(password_form("")),
        intro: None,
        error: None,
        insecure: false,
    };
    let service =
        |name: &str| LoginService { name: name.to_owned(), url: path("hub/oauth_login?next=/hub/home"), down: false };
    let announcement =
        Announcement { severity: Severity::Critical, text: "The file store is slow today. We are on it.".to_owned() };
    vec![
        ("password", plain()),
        ("refused", Login { error: Some("Invalid username or password".to_owned()), password: Some(password_form("lbassi")), insecure: true, ..plain() }),
        (
            "services",
            Login {
                frame: Frame { announcements: vec![announcement], ..anonymous() },
                services: vec![service("Castelvecchio account"), service("eduGAIN")],
                password: None,
                intro: Some("For students and staff of all departments. First time here? Log in once, and your home folder is made.".to_owned()),
                ..plain()
            },
        ),
        (
            "one",
            Login { services: vec![service("INFN Cloud")], password: None, ..plain() },
        ),
        (
            "three",
            Login {
                services: vec![service("INFN Cloud"), LoginService { down: true, ..service("EGI Check-in") }, service("GitHub")],
                password: None,
                error: Some("EGI Check-in does not answer at the moment. Try again in a minute.".to_owned()),
                ..plain()
            },
        ),
        (
            "both",
            Login {
                services: vec![service("Castelvecchio account")],
                password: Some(PasswordForm { otp: Some("One-time code".to_owned()), terms: Some(path("terms")), ..password_form("") }),
                ..plain()
            },
        ),
        (
            "hostile",
            Login {
                frame: hostile(),
                services: vec![LoginService { name: HOSTILE.to_owned(), url: path(HOSTILE), down: true }],
                password: Some(PasswordForm { action: path(HOSTILE), username: HOSTILE.to_owned(), otp: Some(HOSTILE.to_owned()), terms: Some(path(HOSTILE)) }),
                intro: Some(HOSTILE.to_owned()),
                error: Some(HOSTILE.to_owned()),
                insecure: true,
            },
        ),
    ]
}

pub(crate) fn new_password() -> Vec<(&'static str, NewPassword)> {
    let once = || NewPassword {
        frame: anonymous(),
        action: path("hub/password?next=/hub/home"),
        username: "admin".to_owned(),
        occasion: Occasion::OneTime,
        least_length: 12,
        error: None,
    };
    let invite =
        |code: &str| Occasion::Invite { code: hub_core::secret::Secret::new(code), expires_at: ago(-3 * 86400) };
    vec![
        ("one-time", once()),
        ("refused", NewPassword { error: Some(ENGLISH.passwords_differ.to_owned()), ..once() }),
        (
            "invite",
            NewPassword {
                occasion: invite("3f9a1c"),
                username: "lbassi".to_owned(),
                action: path("hub/invite"),
                ..once()
            },
        ),
        (
            "hostile",
            NewPassword {
                frame: hostile(),
                occasion: invite(HOSTILE),
                username: HOSTILE.to_owned(),
                error: Some(HOSTILE.to_owned()),
                action: path(HOSTILE),
                ..once()
            },
        ),
    ]
}

pub(crate) fn refused() -> Vec<(&'static str, Refused)> {
    let admitting = |name: &str, and_below| Admitting { name: name.to_owned(), and_below };
    let plain = || Refused {
        frame: anonymous(),
        provider: "INFN Cloud".to_owned(),
        username: "lbassi".to_owned(),
        groups: vec![admitting("users/cygno", false), admitting("users/ai-infn", true)],
        join: Href::parse("https://iam.castelvecchio.example/dashboard").ok(),
        login_url: path("hub/login"),
    };
    vec![
        ("groups", plain()),
        ("nowhere-to-join", Refused { join: None, ..plain() }),
        ("nothing-helps", Refused { groups: Vec::new(), join: None, ..plain() }),
        (
            "hostile",
            Refused {
                frame: hostile(),
                provider: HOSTILE.to_owned(),
                username: HOSTILE.to_owned(),
                groups: vec![admitting(HOSTILE, true)],
                join: Some(path(HOSTILE)),
                login_url: path(HOSTILE),
            },
        ),
    ]
}

pub(crate) fn logout() -> Vec<(&'static str, Logout)> {
    let plain =
        || Logout { frame: anonymous(), servers_stopped: false, login_url: path("hub/login"), provider_url: None };
    vec![
        ("plain", plain()),
        ("provider", Logout { servers_stopped: true, provider_url: Some(path("logout")), ..plain() }),
    ]
}

pub(crate) fn consent() -> Vec<(&'static str, Consent)> {
    let scope = |scope: &str| Scope::explained(&ENGLISH, scope);
    let ask = |scopes: &[&str]| Consent {
        frame: student(),
        client: "Grades".to_owned(),
        redirect_uri: "https://grades.castelvecchio.example/oauth_callback".to_owned(),
        scopes: scopes.iter().copied().map(scope).collect(),
    };
    vec![
        ("identify", ask(&["identify"])),
        (
            "scopes",
            ask(&["identify", "read:users:groups!user=lbassi", "access:servers!server=lbassi/", "custom:grades:write"]),
        ),
        (
            "hostile",
            Consent {
                frame: hostile(),
                client: HOSTILE.to_owned(),
                redirect_uri: HOSTILE.to_owned(),
                scopes: vec![scope(HOSTILE)],
            },
        ),
    ]
}

pub(crate) fn errors() -> Vec<(&'static str, ErrorPage)> {
    let text = || HOSTILE.to_owned();
    let hostile = ErrorPage {
        frame: hostile(),
        status: 500,
        what: text(),
        why: text(),
        advice: text(),
        actions: vec![Link::new(text(), path(HOSTILE)), Link::new(text(), path(HOSTILE))],
        reference: Some(text()),
    };
    vec![
        ("missing", ErrorPage::of_status(student(), 404, None, None)),
        ("forbidden", ErrorPage::of_status(anonymous(), 403, Some("The form was open for too long.".to_owned()), None)),
        ("fault", ErrorPage::of_status(admin(), 500, None, Some("7f3a-91c2".to_owned()))),
        ("hostile", hostile),
    ]
}
