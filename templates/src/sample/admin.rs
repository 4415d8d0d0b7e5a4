//! Samples of the admin panel.

use super::{HOSTILE, admin, ago, hostile, now, path};
use crate::admin::audit::{Audit, AuditForm, Entry};
use crate::admin::chart::{Chart, Measure, Period, Series};
use crate::admin::confirm::{Choice, Confirm};
use crate::admin::people::{AddForm, Column, Doing, Lab, May, People, Row, Search};
use crate::admin::person::{NewToken, Person, Role};
use crate::admin::services::{Service, Services};
use crate::admin::sites::{Site, Sites, State, WindowForm};
use crate::admin::usage::{self, Usage};
use crate::admin::{Chip, Hidden, roles as role_page};
use crate::groups::Part;
use crate::token::{Expiry, Scope, Token, TokenForm};
use crate::words::ENGLISH;
use crate::{Frame, Link};
use hub_core::secret::Secret;

const NAMES: [&str; 20] = [
    "lbassi",
    "mlolli",
    "gruzzi",
    "vacca",
    "efermi",
    "rlevi",
    "mhack",
    "lspall",
    "tulen",
    "gparisi",
    "amajorana",
    "dzichichi",
    "cfrugoni",
    "ppontecorvo",
    "bcoppi",
    "sfubini",
    "gveneziano",
    "ncabibbo",
    "lmaiani",
    "rgiacconi",
];
const GROUPS: [&str; 5] = ["physics-2026", "gpu-users", "staff", "theory", "students"];

/// The announcements would hide half of a small screen.
fn frame() -> Frame {
    Frame { announcements: Vec::new(), ..admin() }
}

fn lab(owner: &str, name: &str, doing: Doing) -> Lab {
    let runs = doing == Doing::Runs;
    Lab {
        name: name.to_owned(),
        display_name: None,
        doing,
        since: Some(ago(9000)),
        facts: if doing == Doing::Rests {
            Vec::new()
        } else {
            vec!["2 cores, 4 GB".to_owned(), "base:2026.1".to_owned()]
        },
        address: runs.then(|| "http://10.42.0.17:8888".to_owned()),
        cause: (doing == Doing::Failed).then(|| "It ended before it was ready.".to_owned()),
        open: runs.then(|| path("user/").join(owner).join("/").join(name)),
        may_start: matches!(doing, Doing::Rests | Doing::Failed),
        choose: None,
        may_stop: matches!(doing, Doing::Runs | Doing::Starts),
        may_remove: doing == Doing::Rests && !name.is_empty(),
    }
}

fn row(name: &str, groups: &[&str], active: i64, servers: Vec<Lab>) -> Row {
    Row {
        name: name.to_owned(),
        url: path("hub/admin/users/").join(name),
        admin: false,
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        last_activity: Some(ago(active)),
        may_start: servers.is_empty(),
        choose: None,
        servers,
    }
}

fn chips(on: &str) -> Vec<Chip> {
    let chip = |label: &str| Chip {
        label: label.to_owned(),
        url: path("hub/admin?running=1"),
        on: label == on,
        leaves: false,
    };
    [ENGLISH.admin_running, ENGLISH.admin_admins, ENGLISH.admin_idle, ENGLISH.admin_failed].map(chip).into()
}

fn table(rows: Vec<Row>, part: Part) -> People {
    let column = |sorted| Column { url: path("hub/admin?sort=-name"), sorted };
    People {
        frame: frame(),
        action: path("hub/admin"),
        back: "sort=name".to_owned(),
        rows: Some(rows),
        part,
        search: Search::default(),
        chips: chips(""),
        columns: [column(Some("ascending")), column(None), column(None)],
        may: May { add: true, start: true, stop: true, delete: true, shutdown: true },
        form: AddForm::default(),
        events: path("hub/api/admin/events"),
        errors: Vec::new(),
        version: "JupyterHub 6.1.1, Specola 0.1.0".to_owned(),
    }
}

fn whole(total: i64) -> Part {
    Part { first: i64::from(total > 0), last: total, total, previous: None, next: None }
}

pub(crate) fn people() -> Vec<(&'static str, People)> {
    let mut five = vec![
        row(
            "lbassi",
            &["physics-2026", "gpu-users"],
            120,
            vec![lab("lbassi", "", Doing::Runs), lab("lbassi", "thesis", Doing::Starts)],
        ),
        row("mlolli", &["physics-2026"], 90_000, vec![lab("mlolli", "", Doing::Failed)]),
        row(
            "a.very.long.name.of.somebody@students.uni-castelvecchio.example",
            &["Sternwarte und Rechenzentrum"],
            900_000,
            vec![],
        ),
        row("root", &[], 40, vec![lab("root", "", Doing::Stops)]),
        row("new", &[], 0, vec![]),
    ];
    five[3].admin = true;
    five[4].last_activity = None;
    let fifty = (0..50).map(|index| {
        let name = format!(
            "{}{}",
            NAMES[index % NAMES.len()],
            if index < NAMES.len() { String::new() } else { index.to_string() }
        );
        let groups = [GROUPS[index % 5], GROUPS[(index / 2) % 5]];
        let servers = match index % 5 {
            1 => vec![lab(&name, "", Doing::Runs)],
            3 if index % 3 == 0 => vec![lab(&name, "", Doing::Failed)],
            _ => vec![],
        };
        row(&name, &groups[..1 + index % 2], 3000 * (index as i64 + 1), servers)
    });
    let part = Part {
        first: 51,
        last: 100,
        total: 100_000,
        previous: Some(path("hub/admin?offset=0")),
        next: Some(path("hub/admin?offset=100")),
    };
    let mut failed = table(
        vec![
            row("mlolli", &["physics-2026"], 90_000, vec![lab("mlolli", "", Doing::Failed)]),
            row("vacca", &[], 80, vec![lab("vacca", "gpu", Doing::Failed), lab("vacca", "", Doing::Runs)]),
        ],
        whole(2),
    );
    failed.chips = chips(ENGLISH.admin_failed);
    let mut refused = table(five.clone(), whole(5));
    refused.errors =
        vec!["Invalid username: .".to_owned(), "mlolli: Too many servers are starting right now.".to_owned()];
    refused.form = AddForm { names: "rlevi\n.".to_owned(), admin: true };
    let mut none_found = table(Vec::new(), whole(0));
    none_found.search =
        Search { name: "zzz".to_owned(), group: "theory".to_owned(), kept: vec![Hidden::new("sort", "name")] };
    // A group is asked for, and servers are started with what is chosen.
    let mut of_group = table(five.iter().take(2).cloned().collect(), whole(2));
    of_group.search = Search { group: "physics-2026".to_owned(), ..Search::default() };
    of_group.chips.push(Chip {
        label: "Group physics-2026".to_owned(),
        url: path("hub/admin"),
        on: true,
        leaves: true,
    });
    for lab in of_group.rows.iter_mut().flatten().flat_map(|row| &mut row.servers).filter(|lab| lab.may_start) {
        lab.choose = Some(path("hub/spawn/mlolli"));
    }
    let mut looks_only = table(five.clone(), whole(5));
    looks_only.may = May::default();
    for row in looks_only.rows.iter_mut().flatten() {
        row.may_start = false;
        for lab in &mut row.servers {
            (lab.may_start, lab.may_stop, lab.open) = (false, false, None);
        }
    }
    let blind = People { rows: None, part: whole(0), may: May::default(), ..table(Vec::new(), whole(0)) };
    let mut worst = table(vec![row(HOSTILE, &[HOSTILE], 1, vec![lab(HOSTILE, HOSTILE, Doing::Failed)])], whole(1));
    worst.frame = hostile();
    worst.search =
        Search { name: HOSTILE.to_owned(), group: HOSTILE.to_owned(), kept: vec![Hidden::new("sort", HOSTILE)] };
    worst.form = AddForm { names: HOSTILE.to_owned(), admin: false };
    worst.errors = vec![HOSTILE.to_owned()];
    worst.back = HOSTILE.to_owned();
    worst.chips.push(Chip { label: HOSTILE.to_owned(), url: path(HOSTILE), on: true, leaves: true });
    for lab in worst.rows.iter_mut().flatten().flat_map(|row| &mut row.servers) {
        let text = || HOSTILE.to_owned();
        (lab.display_name, lab.facts, lab.address, lab.cause) =
            (Some(text()), vec![text()], Some(text()), Some(text()));
    }
    vec![
        ("five", table(five, whole(5))),
        ("fifty", table(fifty.collect(), part)),
        ("empty", table(Vec::new(), whole(0))),
        ("none-found", none_found),
        ("failed", failed),
        ("of-group", of_group),
        ("refused", refused),
        ("looks-only", looks_only),
        ("blind", blind),
        ("hostile", worst),
    ]
}

pub(crate) fn confirmations() -> Vec<(&'static str, Confirm)> {
    let stop = Confirm {
        frame: frame(),
        title: "Stop 12 servers of 10 people?".to_owned(),
        consequence: ENGLISH.admin_stop_what.to_owned(),
        names: NAMES[..10].iter().map(|name| (*name).to_owned()).collect(),
        more: 2,
        left_out: vec!["root: you may not do this".to_owned()],
        action: path("hub/admin"),
        fields: vec![Hidden::new("action", "stop"), Hidden::new("user", "lbassi")],
        choices: Vec::new(),
        yes: Some("Yes, stop 12 servers".to_owned()),
        back: path("hub/admin"),
    };
    let shutdown = Confirm {
        frame: frame(),
        title: ENGLISH.admin_shutdown_many.to_owned(),
        consequence: ENGLISH.admin_shutdown_what.to_owned(),
        names: Vec::new(),
        more: 0,
        left_out: Vec::new(),
        action: path("hub/admin"),
        fields: vec![Hidden::new("action", "shutdown")],
        choices: vec![
            Choice { name: "servers", label: "Stop 312 servers too".to_owned() },
            Choice { name: "proxy", label: ENGLISH.admin_shutdown_proxy.to_owned() },
        ],
        yes: Some(ENGLISH.admin_shutdown_yes.to_owned()),
        back: path("hub/admin"),
    };
    let nothing = Confirm {
        frame: frame(),
        title: ENGLISH.admin_nothing.to_owned(),
        consequence: ENGLISH.admin_nothing_what.to_owned(),
        names: Vec::new(),
        more: 0,
        left_out: Vec::new(),
        action: path("hub/admin"),
        fields: Vec::new(),
        choices: Vec::new(),
        yes: None,
        back: path("hub/admin"),
    };
    let worst = Confirm {
        frame: hostile(),
        title: HOSTILE.to_owned(),
        consequence: HOSTILE.to_owned(),
        names: vec![HOSTILE.to_owned()],
        more: 1,
        left_out: vec![HOSTILE.to_owned()],
        action: path(HOSTILE),
        fields: vec![Hidden::new("user", HOSTILE)],
        choices: vec![Choice { name: "servers", label: HOSTILE.to_owned() }],
        yes: Some(HOSTILE.to_owned()),
        back: path(HOSTILE),
    };
    vec![("stop", stop), ("shutdown", shutdown), ("nothing", nothing), ("hostile", worst)]
}

fn entry(seconds: i64, actor: &str, action: &str, object: &str, detail: &[(&str, &str)]) -> Entry {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let (actor, action, object) = (actor.to_owned(), action.to_owned(), object.to_owned());
    Entry { at: ago(seconds), actor, action, object, detail: detail.iter().map(pair).collect() }
}

fn entries() -> Vec<Entry> {
    vec![
        entry(
            40,
            "user:root",
            "server.stop",
            "server:lbassi/thesis",
            &[("address", "192.0.2.17"), ("session", "9f140c2a77b1")],
        ),
        entry(310, "user:lbassi", "server.start", "server:lbassi/", &[("address", "2001:db8::17")]),
        entry(
            86_000,
            "user:lbassi",
            "token.create",
            "user:lbassi",
            &[("made", "a17"), ("note", "Nightly backup on my laptop")],
        ),
        entry(90_000, "hub:culler", "server.stop", "server:mlolli/", &[("why", "idle for 1 h")]),
    ]
}

fn expiries() -> Vec<Expiry> {
    let expiry = |seconds, label: &str| Expiry { seconds, label: label.to_owned(), selected: seconds.is_none() };
    vec![expiry(Some(3600), "1 hour"), expiry(Some(86_400), "1 day"), expiry(None, "Never")]
}

pub(crate) fn persons() -> Vec<(&'static str, Person)> {
    let role = |name: &str, description: &str, origin: &str| Role {
        name: name.to_owned(),
        description: description.to_owned(),
        origin: origin.to_owned(),
    };
    let token = |id: &str, note: &str| Token {
        id: id.to_owned(),
        note: note.to_owned(),
        scopes: vec![
            Scope::explained(&ENGLISH, "read:servers!user=lbassi"),
            Scope::explained(&ENGLISH, "servers!user=lbassi"),
        ],
        created: Some(ago(900_000)),
        last_used: Some(ago(400)),
        expires_at: None,
        of_server: note.starts_with("Server"),
    };
    let group = |name: &str| Link::new(name, path("hub/groups/").join(name));
    let full = || Person {
        frame: frame(),
        name: "lbassi".to_owned(),
        action: path("hub/admin/users/lbassi"),
        admin: false,
        created: Some(ago(20_000_000)),
        last_activity: Some(ago(120)),
        groups: Some(vec![group("physics-2026"), group("gpu-users")]),
        roles: Some(vec![
            role("user", "Standard user privileges", ENGLISH.origin_everybody),
            role("course-staff", "Sees and stops the servers of students", "group physics-2026"),
            role("gpu", "", ENGLISH.origin_login),
        ]),
        servers: Some(vec![
            lab("lbassi", "", Doing::Runs),
            lab("lbassi", "thesis", Doing::Starts),
            lab("lbassi", "old", Doing::Rests),
        ]),
        tokens: Some(vec![
            token("a17", "Nightly backup on my laptop"),
            token("a18", "Server at /user/lbassi/"),
            token("a19", ""),
        ]),
        may_revoke: true,
        new_token: Some(NewToken { expiries: expiries(), form: TokenForm::default() }),
        made: None,
        audit: Some(entries()),
        audit_all: path("hub/admin/audit?actor=user:lbassi"),
        may_edit: true,
        files: "Folders go to the trash, and are removed for good on 2026-04-18, 30 days from now.".to_owned(),
        may_delete: true,
        typed: None,
        error: None,
    };
    let bare = Person {
        groups: Some(Vec::new()),
        roles: None,
        servers: None,
        tokens: Some(Vec::new()),
        audit: Some(Vec::new()),
        may_revoke: false,
        new_token: None,
        may_edit: false,
        may_delete: false,
        created: None,
        last_activity: None,
        ..full()
    };
    let refused = Person {
        typed: Some("mlolli".to_owned()),
        error: Some("User mlolli already exists, username must be unique".to_owned()),
        admin: true,
        ..full()
    };
    let mut worst_lab = lab(HOSTILE, HOSTILE, Doing::Rests);
    worst_lab.display_name = Some(HOSTILE.to_owned());
    worst_lab.choose = Some(path(HOSTILE));
    let worst = Person {
        frame: hostile(),
        name: HOSTILE.to_owned(),
        files: HOSTILE.to_owned(),
        action: path(HOSTILE),
        groups: Some(vec![Link::new(HOSTILE, path(HOSTILE))]),
        roles: Some(vec![role(HOSTILE, HOSTILE, HOSTILE)]),
        servers: Some(vec![worst_lab]),
        tokens: Some(vec![token("a1", HOSTILE)]),
        audit: Some(vec![entry(1, HOSTILE, HOSTILE, HOSTILE, &[(HOSTILE, HOSTILE)])]),
        typed: Some(HOSTILE.to_owned()),
        error: Some(HOSTILE.to_owned()),
        new_token: Some(NewToken {
            expiries: vec![Expiry { seconds: Some(1), label: HOSTILE.to_owned(), selected: true }],
            form: TokenForm { note: HOSTILE.to_owned(), scopes: HOSTILE.to_owned() },
        }),
        made: Some(Secret::new(HOSTILE)),
        ..full()
    };
    let made = Person { made: Some(Secret::new("9d6b1ef0c2a84c0f8a1a6f2f8d5c7e31")), ..full() };
    vec![("full", full()), ("bare", bare), ("refused", refused), ("token", made), ("hostile", worst)]
}

pub(crate) fn services() -> Vec<(&'static str, Services)> {
    let service = |name: &str, answers: Option<bool>| Service {
        name: name.to_owned(),
        admin: name == "culler",
        open: answers.map(|_| path("services/").join(name)),
        url: answers.map(|_| "http://10.0.3.7:9000".to_owned()),
        answers,
        managed: answers.is_none(),
        configured: name != "exchange",
        roles: if name == "grades" { vec!["grader".to_owned(), "reader".to_owned()] } else { Vec::new() },
        may_delete: name == "exchange",
    };
    let page = |frame, services| Services { frame, action: path("hub/admin/services"), services, error: None };
    let mut worst = page(
        hostile(),
        vec![Service {
            roles: vec![HOSTILE.to_owned()],
            url: Some(HOSTILE.to_owned()),
            may_delete: true,
            ..service(HOSTILE, Some(false))
        }],
    );
    worst.error = Some(HOSTILE.to_owned());
    vec![
        (
            "full",
            page(
                frame(),
                vec![service("grades", Some(true)), service("exchange", Some(false)), service("culler", None)],
            ),
        ),
        ("empty", page(frame(), Vec::new())),
        ("hostile", worst),
    ]
}

pub(crate) fn sites() -> Vec<(&'static str, Sites)> {
    let site = |name: &str, servers: u64, state: State| Site {
        name: name.to_lowercase(),
        display_name: name.to_owned(),
        description: None,
        servers,
        state,
        drained: state == State::Drained,
        lost: state == State::Lost,
        window: None,
        form: WindowForm::default(),
        changed: Some(("admin".to_owned(), ago(7200))),
    };
    let page = |frame, sites| Sites { frame, action: path("hub/admin/sites"), sites, may_change: true, error: None };
    let mut ahead = site("CNAF", 214, State::Open);
    ahead.description = Some("The Tier-1 in Bologna, with the large file systems.".to_owned());
    ahead.window = Some((ago(-86_400), ago(-100_000), "New disks for the file system.".to_owned(), true));
    let filled = WindowForm {
        begins: "2026-03-20T09:30".to_owned(),
        ends: "2026-03-19T13:16".to_owned(),
        text: "New disks for the file system.".to_owned(),
        stops_servers: true,
        open: true,
    };
    ahead.form = WindowForm { open: false, ..filled.clone() };
    let mut new = site("ReCaS Bari", 1, State::Open);
    (new.name, new.changed) = ("bari".to_owned(), None);
    let mut now = site("LNGS", 3, State::Maintained);
    now.window = Some((ago(3600), ago(-7200), String::new(), false));
    let rest = vec![site("Pisa", 12, State::Drained), now, site("Catania", 0, State::Lost)];
    let all = || [vec![ahead.clone(), new.clone()], rest.clone()].concat();
    let mut refused = page(frame(), vec![Site { form: filled, ..new.clone() }, ahead.clone()]);
    refused.error = Some("A maintenance ends after it begins".to_owned());
    let text = || HOSTILE.to_owned();
    let mut worst = page(
        hostile(),
        vec![Site {
            name: text(),
            description: Some(text()),
            window: Some((ago(0), ago(0), text(), true)),
            form: WindowForm { begins: text(), ends: text(), text: text(), stops_servers: true, open: true },
            changed: Some((text(), ago(0))),
            ..site(HOSTILE, 5, State::Lost)
        }],
    );
    worst.error = Some(text());
    vec![
        ("full", page(frame(), all())),
        ("watched", Sites { may_change: false, ..page(frame(), all()) }),
        ("refused", refused),
        ("empty", page(frame(), Vec::new())),
        ("hostile", worst),
    ]
}

pub(crate) fn roles() -> Vec<(&'static str, role_page::Roles)> {
    let role = |name: &str, description: &str, origin: &str, scopes: &[&str], users| role_page::Role {
        name: name.to_owned(),
        description: description.to_owned(),
        origin: origin.to_owned(),
        scopes: scopes.iter().map(|scope| Scope::explained(&ENGLISH, *scope)).collect(),
        users,
        groups: if users == 0 { vec![Link::new("physics-2026", path("hub/groups/physics-2026"))] } else { Vec::new() },
        services: if name == "grader" { vec!["grades".to_owned()] } else { Vec::new() },
    };
    let all = vec![
        role("user", "Standard user privileges", ENGLISH.origin_default, &["self"], 100_000),
        role("admin", "Elevated privileges (can do anything)", ENGLISH.origin_default, hub_core::role::ADMIN.scopes, 1),
        role(
            "course-staff",
            "Sees and stops the servers of students",
            ENGLISH.origin_config,
            &["servers!group=students", "read:users!group=students"],
            0,
        ),
        role("grader", "", ENGLISH.origin_login, &[], 3),
    ];
    let worst = vec![role_page::Role {
        groups: vec![Link::new(HOSTILE, path(HOSTILE))],
        services: vec![HOSTILE.to_owned()],
        ..role(HOSTILE, HOSTILE, HOSTILE, &[HOSTILE], 1)
    }];
    vec![
        ("full", role_page::Roles { frame: frame(), roles: all }),
        ("hostile", role_page::Roles { frame: hostile(), roles: worst }),
    ]
}

/// A week-day's curve: few at night, most in the afternoon.
fn curve(label: &str, most: i64, shift: usize, spans: usize, a_day: usize) -> Series {
    let value = |index: usize| {
        // Of whole days, the weeks are seen.
        let turn = if a_day > 1 { a_day } else { 7 };
        let hour = ((index + shift) % turn) as f64 / turn as f64;
        let day = (1.0 - (hour * std::f64::consts::TAU).cos()) / 2.0;
        // The hub was down for a while.
        (index * 12 / spans != 4).then(|| (most as f64 * (0.15 + 0.85 * day * day)) as i64 + (index * 7 % 3) as i64)
    };
    Series { label: label.to_owned(), values: (0..spans).map(value).collect() }
}

pub(crate) fn usages() -> Vec<(&'static str, Usage)> {
    let chip =
        |label: &str, on| Chip { label: label.to_owned(), url: path("hub/admin/usage?period=day"), on, leaves: false };
    let periods = |on: usize| {
        [ENGLISH.usage_day, ENGLISH.usage_week, ENGLISH.usage_month]
            .iter()
            .enumerate()
            .map(|(index, label)| chip(label, index == on))
            .collect()
    };
    let chart = |title, what, measure, factor: i64, span: u32, spans: usize, names: &[&str]| {
        let a_day = (86_400 / span) as usize;
        let series: Vec<Series> = names
            .iter()
            .enumerate()
            .map(|(index, name)| curve(name, (12 - index as i64) * factor, index, spans, a_day))
            .collect();
        let from = now() - chrono::TimeDelta::seconds(i64::from(span) * spans as i64);
        Chart::stacked(title, what, measure, Period { from, span, spans }, &series)
    };
    let charts = |span, spans, names: &[&str]| {
        vec![
            chart(ENGLISH.usage_servers, ENGLISH.usage_servers_what, Measure::Servers, 5000, span, spans, names),
            chart(ENGLISH.usage_cores, ENGLISH.usage_cores_what, Measure::Cores, 11_000, span, spans, names),
            chart(ENGLISH.usage_memory, ENGLISH.usage_memory_what, Measure::Memory, 22 << 30, span, spans, names),
            chart(ENGLISH.usage_gpus, ENGLISH.usage_gpus_what, Measure::Gpus, 1000, span, spans, names),
        ]
    };
    let rows = |names: &[&str]| {
        let cell = |mean: &str, most: &str| (mean.to_owned(), most.to_owned());
        let cells = || vec![cell("31.5", "64"), cell("63", "128"), cell("126 GiB", "256 GiB"), cell("2.1", "8")];
        let mut rows: Vec<usage::Row> = names
            .iter()
            .enumerate()
            .map(|(index, name)| usage::Row { label: (*name).to_owned(), colour: Some(index), cells: cells() })
            .collect();
        let together = cells().into_iter().map(|(mean, _)| (mean, String::new())).collect();
        rows.push(usage::Row { label: ENGLISH.usage_all.to_owned(), colour: None, cells: together });
        rows
    };
    let names =
        ["physics/2026", "physics/gpu", "staff", "theory", "students", ENGLISH.usage_others, ENGLISH.usage_nobody];
    let month = Usage {
        frame: frame(),
        periods: periods(2),
        charts: charts(86_400, 30, &names),
        rows: rows(&names),
        looked: true,
    };
    let week = Usage {
        frame: frame(),
        periods: periods(1),
        charts: charts(10_800, 56, &names[..3]),
        rows: rows(&names[..3]),
        looked: true,
    };
    let day = Usage {
        frame: frame(),
        periods: periods(0),
        charts: charts(1800, 48, &names),
        rows: rows(&names),
        looked: true,
    };
    let empty = Usage { frame: frame(), periods: periods(0), charts: Vec::new(), rows: Vec::new(), looked: false };
    let worst = Usage {
        frame: hostile(),
        periods: periods(0),
        charts: charts(1800, 48, &[HOSTILE]),
        rows: rows(&[HOSTILE]),
        looked: true,
    };
    vec![("day", day), ("week", week), ("month", month), ("empty", empty), ("hostile", worst)]
}

pub(crate) fn audits() -> Vec<(&'static str, Audit)> {
    let part = Part { first: 1, last: 50, total: 8123, previous: None, next: Some(path("hub/admin/audit?offset=50")) };
    let page = |frame, entries, form| Audit {
        frame,
        action: path("hub/admin/audit"),
        entries,
        part: part.clone(),
        form,
        actions: vec!["login", "server.start", "server.stop"],
        error: None,
    };
    let asked = AuditForm { actor: "user:lbassi".to_owned(), since: "yesterday".to_owned(), ..AuditForm::default() };
    let refused = Audit {
        error: Some("since must be a day (2026-11-22) or a time (2026-11-22T21:39:04Z)".to_owned()),
        part: Part::default(),
        ..page(frame(), Vec::new(), asked)
    };
    let text = || HOSTILE.to_owned();
    let typed = AuditForm { actor: text(), object: text(), action: text(), since: text(), until: text() };
    let worst = Audit {
        error: Some(text()),
        ..page(hostile(), vec![entry(1, HOSTILE, HOSTILE, HOSTILE, &[(HOSTILE, HOSTILE)])], typed)
    };
    vec![("full", page(frame(), entries(), AuditForm::default())), ("refused", refused), ("hostile", worst)]
}
