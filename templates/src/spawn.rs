//! The page on which a server's options are chosen and it is started.

use askama::Template;

use crate::words::fill;
use crate::{Frame, Href, Page, sample};

/// The options page. The form posts the fields' names and `_xsrf` to `action`.
#[derive(Debug, Template)]
#[template(path = "spawn.html")]
pub struct Spawn {
    /// What surrounds the page.
    pub frame: Frame,
    /// Where to post the form: this page's own address.
    pub action: Href,
    /// Whose server it is, when it is not the person's own.
    pub for_user: Option<String>,
    /// The server's name or display name; empty for the default server.
    pub server_name: String,
    /// What the operators tell people here, as text.
    pub greeting: Option<String>,
    /// What is left of quotas, a sentence each.
    pub left: Vec<String>,
    /// The questions, top down. Without any, the page only starts the server.
    pub sections: Vec<Section>,
    /// Whether a server can be started at all; else `error` tells why not.
    pub startable: bool,
    /// Why the last attempt was refused, where no question says it.
    pub error: Option<String>,
}

/// One question, or a few that belong together.
#[derive(Debug, Clone)]
pub struct Section {
    /// The question in a few words.
    pub title: String,
    /// A sentence of help.
    pub help: Option<String>,
    /// Whether it begins closed.
    pub folded: bool,
    /// The name and the value of the answer without which it means nothing; shown with that answer only, by scripts.
    pub only_with: Option<(String, String)>,
    /// What to fill in.
    pub fields: Vec<Field>,
}

/// Something to fill in.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name in the posted form.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// A sentence of help.
    pub help: Option<String>,
    /// Why what was filled in was refused.
    pub error: Option<String>,
    /// What kind of answer it takes.
    pub input: Input,
}

/// The kinds of answers.
#[derive(Debug, Clone)]
pub enum Input {
    /// One of few, each a card.
    Cards(Vec<Choice>),
    /// One of many, in a list.
    List(Vec<Choice>),
    /// A line of text.
    Text {
        /// What is in it.
        value: String,
        /// An example.
        placeholder: String,
        /// Whether it may not be empty.
        required: bool,
        /// The most characters.
        most: u32,
        /// The rule for an image of one's own, which the page's script checks while it is typed (`image.js`).
        check: Option<String>,
    },
    /// A number.
    Number {
        /// What is in it.
        value: f64,
        /// The least.
        least: f64,
        /// The most, if there is a limit.
        most: Option<f64>,
        /// From one possible number to the next.
        step: f64,
        /// What is counted: "GB".
        unit: String,
    },
    /// Any number of several answers, under one name; an empty one is posted beside them.
    Several(Vec<Choice>),
    /// Yes or no; `on` is posted for yes.
    Check {
        /// Whether it begins with yes.
        checked: bool,
    },
}

/// One of several answers.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What is posted.
    pub value: String,
    /// What it is called.
    pub label: String,
    /// A sentence about it.
    pub sentence: Option<String>,
    /// Facts in a few words each: "2 cores", "4 GB".
    pub facts: Vec<String>,
    /// What holds at the moment only: "3 free now".
    pub now: Option<String>,
    /// Whether it is chosen at first.
    pub selected: bool,
    /// Whether it can be had.
    pub offer: Offer,
    /// Whether the button says it when it is chosen.
    pub told: bool,
    /// The name of the text field that it is about, if it stands for one.
    pub opens: Option<String>,
}

/// Whether an answer can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Yes.
    Open,
    /// Not by this person; a sentence tells what it takes: "Ask to join the group gpu-users".
    Ask(String),
    /// Not now; a sentence tells why.
    Never(String),
}

/// The id of a field's element, by the places of its section and of itself.
pub fn field_id(section: impl std::fmt::Display, field: impl std::fmt::Display) -> String {
    format!("option-{section}-{field}")
}

impl Spawn {
    /// The page's title.
    pub fn heading(&self) -> String {
        let words = self.frame.words;
        if !self.startable {
            words.spawn_closed.to_owned()
        } else if self.server_name.is_empty() {
            words.spawn_title.to_owned()
        } else {
            fill(words.spawn_title_named, &self.server_name)
        }
    }

    /// Whether an answer is chosen at first.
    fn chose(&self, name: &str, value: &str) -> bool {
        let fields = self.sections.iter().flat_map(|section| &section.fields).filter(|field| field.name == name);
        let choices = fields.filter_map(|field| match &field.input {
            Input::Cards(choices) | Input::List(choices) => Some(choices),
            _ => None,
        });
        choices.flatten().any(|choice| choice.selected && choice.value == value)
    }

    /// Whether a question that is seen says why its answer was refused, so that nothing else has to.
    pub fn says(&self, name: &str) -> bool {
        let shown = self.sections.iter().filter(|section| section.shown(self));
        shown.flat_map(|section| &section.fields).any(|field| field.name == name && field.error.is_some())
    }

    /// What the button says: what is chosen at first, if anything is.
    pub fn button(&self) -> String {
        let fields = self.sections.iter().filter(|section| section.shown(self)).flat_map(|section| &section.fields);
        let chosen: Vec<String> = fields
            .filter_map(|field| match &field.input {
                Input::Cards(choices) | Input::List(choices) => {
                    choices.iter().find(|choice| choice.selected && choice.told && choice.offer == Offer::Open)
                }
                _ => None,
            })
            .map(Choice::brief)
            .collect();
        if chosen.is_empty() {
            self.frame.words.start_server.to_owned()
        } else {
            fill(self.frame.words.start_what, chosen.join(", "))
        }
    }
}

impl Offer {
    /// The sentence, if it cannot be had.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Ask(sentence) | Self::Never(sentence) => Some(sentence),
        }
    }
}

impl Choice {
    /// What the button says of it; nothing for what is not worth a word there.
    pub fn said(&self) -> String {
        if self.told { self.brief() } else { String::new() }
    }

    /// What it is, with its facts.
    pub fn brief(&self) -> String {
        std::iter::once(&self.label).chain(&self.facts).map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl Section {
    /// The only field, if there is just one: its label need not be repeated under the section's title.
    pub fn sole(&self) -> bool {
        self.fields.len() == 1
    }

    /// Whether it is shown with what is chosen at first.
    fn shown(&self, page: &Spawn) -> bool {
        self.only_with.as_ref().is_none_or(|(name, value)| page.chose(name, value))
    }

    /// Whether one of its fields was refused, so that it must be open.
    pub fn refused(&self) -> bool {
        self.fields.iter().any(|field| field.error.is_some())
    }
}

impl Page for Spawn {
    const NAME: &'static str = "spawn";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::spawn::samples()
    }
}
