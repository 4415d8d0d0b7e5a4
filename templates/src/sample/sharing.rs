//! Samples of the pages about sharing.

use hub_core::secret::Secret;

use super::{HOSTILE, ago, hostile, path, student};
use crate::sharing::{Granted, Invitation, SharingForm};
use crate::token::{Expiry, Scope};
use crate::words::ENGLISH;
use crate::{AcceptShare, Sharing};

fn explained(scopes: &[&str]) -> Vec<Scope> {
    scopes.iter().map(|scope| Scope::of_share(&ENGLISH, *scope)).collect()
}

fn invited() -> AcceptShare {
    AcceptShare {
        frame: student(),
        owner: "mlolli".to_owned(),
        server: "spectra".to_owned(),
        url: path("user/mlolli/spectra/"),
        ready: true,
        scopes: explained(&["access:servers!server=mlolli/spectra", "servers!server=mlolli/spectra", "read:servers"]),
        code: Secret::new("Zq3mZ0h1yT7X9Y0dJr2kVw5bN8cL4sP6uG1aE-fHoQI"),
        next: path("user/mlolli/spectra/lab/tree/spectra.ipynb"),
    }
}

pub(crate) fn accept() -> Vec<(&'static str, AcceptShare)> {
    let text = || HOSTILE.to_owned();
    let stopped = AcceptShare {
        server: String::new(),
        ready: false,
        scopes: explained(&["access:servers"]),
        url: path("user/mlolli/"),
        next: path("user/mlolli/"),
        ..invited()
    };
    let hostile = AcceptShare {
        frame: hostile(),
        owner: text(),
        server: text(),
        url: path(HOSTILE),
        ready: false,
        scopes: vec![Scope::of_share(&ENGLISH, HOSTILE)],
        code: Secret::new(HOSTILE),
        next: path(HOSTILE),
    };
    vec![("ready", invited()), ("stopped", stopped), ("hostile", hostile)]
}

fn empty() -> Sharing {
    let expiry = |label: &str, seconds, selected| Expiry { seconds, label: label.to_owned(), selected };
    Sharing {
        frame: student(),
        owner: None,
        label: "spectra".to_owned(),
        action: path("hub/share/lbassi/spectra"),
        users: false,
        groups: false,
        may_manage: true,
        expiries: vec![expiry("1 hour", Some(3600), false), expiry("1 day", Some(86400), true)],
        form: SharingForm::default(),
        created: None,
        error: None,
        shares: Vec::new(),
        links: Vec::new(),
    }
}

fn full() -> Sharing {
    let granted = |name: &str, is_group, scopes: &[&str]| Granted {
        is_group,
        name: name.to_owned(),
        scopes: explained(scopes),
        created: ago(3 * 86400),
        expires_at: None,
    };
    let link = Invitation {
        id: "sc_3".to_owned(),
        scopes: explained(&["access:servers"]),
        created: ago(7200),
        expires_at: Some(ago(-79200)),
        used: 2,
        last_used: Some(ago(600)),
    };
    Sharing {
        users: true,
        groups: true,
        shares: vec![
            granted("mlolli", false, &["access:servers", "servers"]),
            granted("physics-2026", true, &["access:servers"]),
        ],
        links: vec![link.clone(), Invitation { id: "sc_4".to_owned(), used: 0, last_used: None, ..link }],
        ..empty()
    }
}

pub(crate) fn sharing() -> Vec<(&'static str, Sharing)> {
    let text = || HOSTILE.to_owned();
    let bad = || vec![Scope::of_share(&ENGLISH, HOSTILE)];
    let share = Granted { is_group: true, name: text(), scopes: bad(), created: ago(1), expires_at: Some(ago(-1)) };
    let hostile = Sharing {
        frame: hostile(),
        owner: Some(text()),
        label: text(),
        action: path(HOSTILE),
        expiries: vec![Expiry { seconds: None, label: text(), selected: true }],
        form: SharingForm { is_group: true, name: text() },
        created: Some(Secret::new(HOSTILE)),
        error: Some(text()),
        shares: vec![share],
        links: vec![Invitation {
            id: text(),
            scopes: bad(),
            created: ago(1),
            expires_at: None,
            used: 1,
            last_used: Some(ago(1)),
        }],
        ..full()
    };
    let link =
        "https://jupyter.castelvecchio.example/hub/accept-share?code=Zq3mZ0h1yT7X9Y0dJr2kVw5bN8cL4sP6uG1aE-fHoQI";
    vec![
        ("links-only", empty()),
        ("full", full()),
        ("made", Sharing { created: Some(Secret::new(link)), ..full() }),
        (
            "refused",
            Sharing {
                error: Some("No such user: mloli".to_owned()),
                form: SharingForm { is_group: false, name: "mloli".to_owned() },
                ..full()
            },
        ),
        ("hostile", hostile),
    ]
}
