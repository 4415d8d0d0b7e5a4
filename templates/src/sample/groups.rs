//! Samples of the pages of groups.

use super::{HOSTILE, admin, hostile, path, student};
use crate::groups::{Content, Group, GroupForm, GroupRow, Groups, Member, Part, Running};

fn row(name: &str, members: Option<i64>, mine: bool) -> GroupRow {
    GroupRow { name: name.to_owned(), url: path("hub/groups/").join(name), members, mine }
}

pub(crate) fn lists() -> Vec<(&'static str, Groups)> {
    let part = Part {
        first: 51,
        last: 54,
        total: 120,
        previous: Some(path("hub/groups?offset=0")),
        next: Some(path("hub/groups?offset=100")),
    };
    let all = Groups {
        frame: admin(),
        groups: vec![
            row("physics-2026", Some(214), false),
            row("gpu-users", Some(1), true),
            row("staff", Some(0), false),
            row("Sternwarte und Rechenzentrum", Some(12), false),
        ],
        part,
        may_create: true,
        typed: String::new(),
        error: None,
    };
    let own = Groups {
        frame: student(),
        groups: vec![row("physics-2026", None, true)],
        part: Part::default(),
        may_create: false,
        typed: String::new(),
        error: None,
    };
    let worst = Groups {
        frame: hostile(),
        groups: vec![row(HOSTILE, Some(-1), true)],
        part: Part::default(),
        may_create: true,
        typed: HOSTILE.to_owned(),
        error: Some(HOSTILE.to_owned()),
    };
    let empty = Groups { frame: student(), groups: Vec::new(), ..own_like() };
    vec![("all", all), ("own", own), ("empty", empty), ("hostile", worst)]
}

fn own_like() -> Groups {
    let (groups, part, typed) = (Vec::new(), Part::default(), String::new());
    Groups { frame: student(), groups, part, may_create: false, typed, error: None }
}

pub(crate) fn groups() -> Vec<(&'static str, Group)> {
    let member = |name: &str, servers: &[&str]| Member {
        name: name.to_owned(),
        servers: servers
            .iter()
            .map(|label| Running { label: (*label).to_owned(), url: path("user/").join(name) })
            .collect(),
    };
    let part = Part { first: 1, last: 3, total: 214, previous: None, next: Some(path("hub/groups/x?offset=50")) };
    let content = Content {
        members: vec![
            member("lbassi", &["My server", "gpu-training"]),
            member("mlolli", &[]),
            member("a.very.long.name.of.somebody@students.uni-castelvecchio.example", &["thesis"]),
        ],
        part,
        properties: "{\n  \"course\": \"physics-101\",\n  \"quota\": 20\n}".to_owned(),
    };
    let full = || Group {
        frame: admin(),
        name: "physics-2026".to_owned(),
        action: path("hub/groups/physics-2026"),
        content: Some(content.clone()),
        roles: Some(vec!["course-staff".to_owned(), "gpu".to_owned()]),
        may_change: true,
        may_delete: true,
        form: GroupForm::default(),
        error: None,
    };
    let refused = Group {
        form: GroupForm { user: "nobody".to_owned(), properties: None },
        error: Some("No such user: nobody".to_owned()),
        roles: Some(Vec::new()),
        ..full()
    };
    let read = Group { frame: student(), may_change: false, may_delete: false, roles: None, ..full() };
    let closed = Group { frame: student(), content: None, may_change: false, may_delete: false, roles: None, ..full() };
    let worst_content =
        Content { members: vec![member(HOSTILE, &[HOSTILE])], part: Part::default(), properties: HOSTILE.to_owned() };
    let worst = Group {
        frame: hostile(),
        name: HOSTILE.to_owned(),
        action: path(HOSTILE),
        content: Some(worst_content),
        roles: Some(vec![HOSTILE.to_owned()]),
        form: GroupForm { user: HOSTILE.to_owned(), properties: Some(HOSTILE.to_owned()) },
        error: Some(HOSTILE.to_owned()),
        ..full()
    };
    vec![("full", full()), ("refused", refused), ("read", read), ("closed", closed), ("hostile", worst)]
}
