//! Samples of the options page.

use super::{HOSTILE, admin, hostile, maintenance, path, student};
use crate::spawn::{Choice, Field, Input, Offer, Section};
use crate::{Frame, Spawn};

fn choice(value: &str, sentence: &str, facts: &[&str]) -> Choice {
    Choice {
        value: value.to_lowercase(),
        label: value.to_owned(),
        sentence: Some(sentence.to_owned()),
        facts: facts.iter().copied().map(str::to_owned).collect(),
        now: None,
        selected: false,
        offer: Offer::Open,
        told: true,
        opens: None,
    }
}

fn field(name: &str, label: &str, input: Input) -> Field {
    Field { name: name.to_owned(), label: label.to_owned(), help: None, error: None, input }
}

fn section(title: &str, fields: Vec<Field>) -> Section {
    Section { title: title.to_owned(), help: None, folded: false, only_with: None, fields }
}

fn images() -> Section {
    let cards = vec![
        Choice {
            selected: true,
            ..choice("Base image", "Python 3.13 with JupyterLab, NumPy, pandas and Matplotlib.", &[])
        },
        choice("R and Stan", "R 4.5 with tidyverse, Stan and RStudio.", &[]),
        choice("PyTorch", "Python 3.13 with PyTorch and CUDA 13.", &[]),
    ];
    section("Image", vec![field("image", "Image", Input::Cards(cards))])
}

fn sizes() -> Section {
    let ask = Offer::Ask("For members of gpu-users. Ask to join.".to_owned());
    let cards = vec![
        Choice { selected: true, ..choice("Small", "Enough for exercises.", &["2 cores", "4 GB"]) },
        choice("Large", "For data that needs room.", &["8 cores", "32 GB"]),
        Choice { offer: ask, ..choice("GPU", "For training models.", &["8 cores", "64 GB", "1 GPU"]) },
    ];
    section("Size", vec![field("size", "Size", Input::Cards(cards))])
}

/// Sizes of which some have a GPU: one is free, for the other some wait.
fn devices() -> Vec<Section> {
    let now = |now: &str| Some(now.to_owned());
    let cards = vec![
        Choice { selected: true, ..choice("Small", "Enough for exercises.", &["2 cores", "4 GB"]) },
        Choice {
            now: now("2 of 7 free now"),
            ..choice("Slice", "A seventh of an A100.", &["4 cores", "16 GB", "1 GPU"])
        },
        Choice {
            now: now("none free now, 3 wait"),
            ..choice("A100", "For training models.", &["8 cores", "64 GB", "1 GPU"])
        },
    ];
    vec![section("Size", vec![field("flavour", "Size", Input::Cards(cards))])]
}

fn extras() -> Section {
    let queue = vec![choice("Standard", "", &[]), choice("Exam", "", &[])];
    let text = Input::Text {
        value: String::new(),
        placeholder: "OMP_NUM_THREADS=2".to_owned(),
        required: false,
        most: 200,
        check: None,
    };
    let hours = Input::Number { value: 8.0, least: 1.0, most: Some(24.0), step: 1.0, unit: "hours".to_owned() };
    let fields = vec![
        field("queue", "Queue", Input::List(queue)),
        Field { help: Some("One name and value.".to_owned()), ..field("environment", "Environment", text) },
        field("lifetime", "Stop after", hours),
        field("course", "Mount the course folder", Input::Check { checked: true }),
    ];
    Section { folded: true, ..section("Folders and environment", fields) }
}

const GREETING: &str =
    "You are logged in as default user. If you want to enhance your quota please contact us at support@example.org.";

/// The form of the talk: image, cores, memory, with one's own image.
fn simple() -> Vec<Section> {
    let own = Choice {
        value: "other".to_owned(),
        opens: Some("img-other".to_owned()),
        ..choice("Your own image", "From harbor.example.org/cygno", &[])
    };
    let cards = vec![
        Choice { selected: true, ..choice("Base image", "Python 3.13 with JupyterLab.", &[]) },
        choice("CYGNO", "The tools of the experiment.", &[]),
        own,
    ];
    let typed = Input::Text {
        value: String::new(),
        placeholder: "harbor.example.org/cygno/NAME:TAG".to_owned(),
        required: false,
        most: 400,
        check: Some(r#"{"listed": [], "from": [{"registries": ["*"], "digest": false}], "told": {}}"#.to_owned()),
    };
    let plain = |label: &str, selected| Choice { sentence: None, selected, ..choice(label, "", &[]) };
    let ask = Offer::Ask("For members of /users/cygno. Ask to join.".to_owned());
    let cores =
        vec![plain("1 core", false), plain("2 cores", true), Choice { offer: ask.clone(), ..plain("8 cores", false) }];
    let memory = vec![plain("2 GB", false), plain("4 GB", true), Choice { offer: ask, ..plain("32 GB", false) }];
    vec![
        section(
            "Image",
            vec![field("img", "Image", Input::Cards(cards)), field("img-other", "Name of your image", typed)],
        ),
        section("Size", vec![field("cpu", "Cores", Input::List(cores)), field("mem", "Memory", Input::List(memory))]),
    ]
}

/// KubeSpawner's profiles, with a question that belongs to one of them.
fn profiles() -> Vec<Section> {
    let cards = vec![
        Choice { selected: true, ..choice("Shared CPU", "For exercises and courses.", &["2 cores", "4 GB"]) },
        choice("GPU", "For training models.", &["8 cores", "64 GB", "1 GPU"]),
    ];
    let plain = |label: &str, selected| Choice { sentence: None, selected, ..choice(label, "", &[]) };
    let images = |typed: &str| {
        let other = Choice { opens: Some(typed.to_owned()), told: false, ..plain("Other…", false) };
        Input::List(vec![plain("Python", true), plain("R", false), other])
    };
    let text =
        || Input::Text { value: String::new(), placeholder: String::new(), required: false, most: 400, check: None };
    let of = |value: &str, label: &str| {
        let name = format!("profile-option-{value}--image");
        let typed = format!("{name}--unlisted-choice");
        let fields = vec![field(&name, "Image", images(&typed)), field(&typed, "Custom image", text())];
        let help = Some(format!("Only with “{label}”"));
        Section { only_with: Some(("profile".to_owned(), value.to_owned())), help, ..section(label, fields) }
    };
    let volumes = vec![
        Choice { selected: true, ..choice("Course material", "Read only.", &[]) },
        choice("Scratch", "Emptied each night.", &[]),
    ];
    vec![
        section("What to start", vec![field("profile", "Profile", Input::Cards(cards))]),
        of("shared cpu", "Shared CPU"),
        of("gpu", "GPU"),
        section("Folders", vec![field("volumes", "Folders", Input::Several(volumes))]),
    ]
}

fn sites() -> Section {
    let mut closed = choice("CNAF", "The Tier-1 in Bologna, with the large file systems.", &[]);
    closed.offer =
        Offer::Ask("CNAF is under maintenance until 2026-03-19 11:30 UTC: New disks for the file system.".to_owned());
    let mut open = choice("ReCaS Bari", "Close to the south.", &[]);
    open.selected = true;
    section("Site", vec![field("site", "Site", Input::Cards(vec![closed, open]))])
}

pub(crate) fn samples() -> Vec<(&'static str, Spawn)> {
    let plain = || Spawn {
        frame: student(),
        action: path("hub/spawn/lbassi"),
        for_user: None,
        server_name: String::new(),
        greeting: None,
        left: Vec::new(),
        sections: Vec::new(),
        startable: true,
        error: None,
    };
    let text = || HOSTILE.to_owned();
    let bad_choice = Choice {
        value: text(),
        now: Some(text()),
        offer: Offer::Ask(text()),
        selected: true,
        ..choice(HOSTILE, HOSTILE, &[HOSTILE])
    };
    let inputs = vec![
        Input::Cards(vec![bad_choice.clone()]),
        Input::List(vec![bad_choice.clone()]),
        Input::Several(vec![bad_choice]),
        Input::Text { value: text(), placeholder: text(), required: true, most: 9, check: Some(text()) },
        Input::Number { value: 0.5, least: 0.5, most: None, step: 0.5, unit: text() },
        Input::Check { checked: false },
    ];
    let fields = inputs.into_iter().map(|input| Field {
        help: Some(text()),
        error: Some(text()),
        ..field(HOSTILE, HOSTILE, input)
    });
    let hostile = Spawn {
        frame: hostile(),
        action: path(HOSTILE),
        for_user: Some(text()),
        server_name: text(),
        greeting: Some(text()),
        left: vec![text()],
        startable: true,
        sections: vec![Section { help: Some(text()), folded: true, ..section(HOSTILE, fields.collect()) }],
        error: Some(text()),
    };
    let mut refused = sizes();
    for field in &mut refused.fields {
        field.error = Some("You already use 12 of your 16 cores. Choose Small, or stop another server.".to_owned());
    }
    vec![
        ("plain", plain()),
        (
            "options",
            Spawn { sections: vec![images(), sizes(), extras()], server_name: "gpu-training".to_owned(), ..plain() },
        ),
        (
            "refused",
            Spawn {
                frame: admin(),
                for_user: Some("lbassi".to_owned()),
                sections: vec![images(), refused],
                ..plain()
            },
        ),
        ("simple", Spawn { greeting: Some(GREETING.to_owned()), sections: simple(), ..plain() }),
        ("profiles", Spawn { sections: profiles(), ..plain() }),
        (
            "devices",
            Spawn {
                left: vec![
                    "Left of your quota: 1 server, 12 cores, 1 GPU.".to_owned(),
                    "Left of the quota of physics-2026: 3 GPUs.".to_owned(),
                ],
                sections: devices(),
                ..plain()
            },
        ),
        (
            "sites",
            Spawn {
                frame: Frame { maintenance: vec![maintenance(true)], ..student() },
                sections: vec![images(), sites()],
                ..plain()
            },
        ),
        (
            "over-quota",
            Spawn {
                error: Some("Your quota is 1 server at once, and 1 server already runs. Stop another server first, or choose a smaller one.".to_owned()),
                left: vec!["Left of your quota: 0 servers, 12 cores, 1 GPU.".to_owned()],
                sections: devices(),
                ..plain()
            },
        ),
        (
            "denied",
            Spawn {
                startable: false,
                error: Some("Your account is suspended. Write to support@example.org.".to_owned()),
                ..plain()
            },
        ),
        ("hostile", hostile),
    ]
}
