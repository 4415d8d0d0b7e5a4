//! Samples of the home page.

use super::{HOSTILE, admin, ago, hostile, maintenance, path, student};
use crate::folder::{Folder, FolderState};
use crate::home::{Leaving, NamedServers, Service, Share, Together};
use crate::inside::{Inside, Lack, Thing};
use crate::server::{Ending, Failure, MemoryFull, Server, State};
use crate::words::ENGLISH;
use crate::{Frame, Home};

/// The failure of a server that ran out of memory.
pub(crate) fn failure() -> Failure {
    let log = [
        "[I 2026-03-19 09:24:51.310 ServerApp] jupyterlab | extension was successfully loaded.",
        "[I 2026-03-19 09:24:51.844 ServerApp] Serving notebooks from local directory: /home/lbassi",
        "[C 2026-03-19 09:24:52.102 ServerApp] Bad config encountered during initialization:",
        "    The 'port' trait of a ServerApp instance expected an int, not the str 'eighty'.",
    ];
    Failure {
        at: ago(310),
        step: Some("Waiting for its first answer".to_owned()),
        cause: "It ended before it was ready.".to_owned(),
        advice:
            "The last lines of the log tell why. If they mean nothing to you, send them to those who run this site."
                .to_owned(),
        log: log.map(str::to_owned).to_vec(),
        reference: Some("7f3a-91c2".to_owned()),
    }
}

/// A failure in which every text is hostile.
pub(crate) fn hostile_failure() -> Failure {
    let text = || HOSTILE.to_owned();
    Failure {
        at: ago(1),
        step: Some(text()),
        cause: text(),
        advice: text(),
        log: vec![text(), text()],
        reference: Some(text()),
    }
}

fn server(name: &str, state: State, summary: &str) -> Server {
    Server {
        name: name.to_owned(),
        display_name: None,
        state,
        summary: Some(summary.to_owned()).filter(|summary| !summary.is_empty()),
        folders: Vec::new(),
        inside: None,
        memory_full: None,
        last_activity: None,
        ends: None,
        open: path("user/lbassi/").join(name),
        start: path("hub/spawn/lbassi/").join(name),
        pending: path("hub/spawn-pending/lbassi/").join(name),
        share: Some(path("hub/share/lbassi/").join(name)),
    }
}

fn together(account: &str, title: &str, state: State) -> Together {
    let server = Server {
        open: path("user/").join(account).join("/"),
        start: path("hub/spawn/").join(account),
        pending: path("hub/spawn-pending/").join(account),
        share: None,
        ..server("", state, "")
    };
    Together { account: account.to_owned(), title: title.to_owned(), description: None, server }
}

fn folder(path: &str, state: FolderState) -> Folder {
    Folder { path: path.to_owned(), state, unseen: None }
}

fn full() -> Home {
    let mut default = server("", State::Ready { since: ago(9000) }, "Base image, 2 cores, 4 GB");
    default.last_activity = Some(ago(180));
    default.folders = vec![
        folder("/s3/lbassi", FolderState::Uploading(3)),
        folder("/s3/scratch", FolderState::Ready),
        folder("/s3/cygno-analysis", FolderState::Broken("The storage main does not answer at the moment".to_owned())),
        folder("/s3/cygno-sim", FolderState::Behind(1)),
        folder("/s3/cygno-data", FolderState::Full(2)),
    ];
    let lack = Lack { what: Thing::Keys("main".to_owned()), why: "The object store does not answer.".to_owned() };
    default.folders[3].unseen = Some("it does not answer".to_owned());
    default.inside = Some(Inside { ready: false, lacks: vec![lack] });
    default.memory_full = Some(MemoryFull { at: ago(600), limit: Some(4 << 30) });
    default.ends = Some(Ending { at: ago(-1500), unless_used: true, soon: true });
    let mut stopped = server("thesis", State::Stopped, "R and Stan, 4 cores, 16 GB");
    stopped.display_name = Some("Thesis figures".to_owned());
    stopped.last_activity = Some(ago(12 * 86400));
    stopped.folders = vec![folder("/s3/lbassi", FolderState::Kept(2, 350 << 20))];
    let starting = State::Starting { since: ago(25), step: Some("Fetching the image".to_owned()) };
    let servers = vec![
        server("gpu-training", starting, "PyTorch, 8 cores, 32 GB, 1 GPU"),
        stopped,
        server("spark", State::Failed(failure()), "Spark, 2 cores, 8 GB"),
        server("old", State::Stopping { since: Some(ago(4)) }, ""),
    ];
    let service = |name: &str, description: &str| Service {
        name: name.to_owned(),
        description: Some(description.to_owned()).filter(|text| !text.is_empty()),
        url: path("services/").join(name).join("/"),
        answers: name != "Grades",
    };
    Home {
        frame: Frame { maintenance: vec![maintenance(false)], ..student() },
        owner: "lbassi".to_owned(),
        leaving: Some(leaving(ENGLISH.leaving_files_kept)),
        default,
        has_options: true,
        named: Some(NamedServers { servers, limit: Some(6), typed: String::new() }),
        together: vec![
            together("collaboration", "Collaborative-Jupyter", State::Ready { since: ago(4000) }),
            together("thesis-lab", "Theses", State::Starting { since: ago(9), step: None }),
            together("cygno", "CYGNO", State::Stopped),
        ],
        shares: vec![
            Share {
                owner: "mlolli".to_owned(),
                server: String::new(),
                ready: true,
                url: path("user/mlolli/"),
                start: None,
                by_group: None,
            },
            Share {
                owner: "mlolli".to_owned(),
                server: "spectra".to_owned(),
                ready: false,
                url: path("user/mlolli/spectra/"),
                start: None,
                by_group: Some("physics-2026".to_owned()),
            },
            Share {
                owner: "gferri".to_owned(),
                server: String::new(),
                ready: false,
                url: path("user/gferri/"),
                start: Some(path("hub/spawn/gferri")),
                by_group: None,
            },
        ],
        services: vec![service("Exchange", "Hand in exercises and get them back."), service("Grades", "")],
        error: None,
    }
}

fn leaving(files: &str) -> Leaving {
    Leaving { at: ago(-86_400 * 29), unless_used: true, files: files.to_owned() }
}

fn first_time() -> Home {
    Home {
        frame: admin(),
        owner: "admin".to_owned(),
        leaving: None,
        default: server("", State::Stopped, ""),
        has_options: false,
        named: None,
        together: Vec::new(),
        shares: Vec::new(),
        services: Vec::new(),
        error: None,
    }
}

pub(crate) fn samples() -> Vec<(&'static str, Home)> {
    let text = || HOSTILE.to_owned();
    let mut bad = server(HOSTILE, State::Failed(hostile_failure()), HOSTILE);
    bad.display_name = Some(text());
    bad.folders = vec![
        folder(HOSTILE, FolderState::Broken(text())),
        Folder { unseen: Some(text()), ..folder(HOSTILE, FolderState::Ready) },
    ];
    let lacks = vec![Lack { what: Thing::Keys(text()), why: text() }, Lack { what: Thing::Token, why: text() }];
    bad.inside = Some(Inside { ready: true, lacks });
    let starting = server("a", State::Starting { since: ago(1), step: Some(text()) }, HOSTILE);
    let named = Some(NamedServers { servers: Vec::new(), limit: None, typed: String::new() });
    let hostile = Home {
        frame: hostile(),
        owner: text(),
        leaving: Some(leaving(HOSTILE)),
        default: Server { name: String::new(), ..bad.clone() },
        has_options: true,
        named: Some(NamedServers { servers: vec![bad, starting], limit: Some(2), typed: text() }),
        together: vec![Together {
            account: text(),
            title: text(),
            description: Some(text()),
            server: server(HOSTILE, State::Failed(hostile_failure()), HOSTILE),
        }],
        shares: vec![Share {
            owner: text(),
            server: text(),
            ready: false,
            url: path(HOSTILE),
            start: None,
            by_group: Some(text()),
        }],
        services: vec![Service { name: text(), description: Some(text()), url: path(HOSTILE), answers: false }],
        error: Some(text()),
    };
    vec![
        ("full", full()),
        ("first-time", first_time()),
        (
            "failed",
            Home {
                default: server("", State::Failed(failure()), "Base image, 2 cores, 4 GB"),
                frame: student(),
                named,
                error: Some("A server needs a name of small letters, digits and dashes.".to_owned()),
                ..first_time()
            },
        ),
        (
            "starting",
            Home {
                default: server("", State::Starting { since: ago(12), step: None }, ""),
                frame: student(),
                ..first_time()
            },
        ),
        ("hostile", hostile),
    ]
}
