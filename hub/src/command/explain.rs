//! `specola explain`: which policies match somebody, what they may choose, where each limit comes from, and what a request
//! comes to. Asks the function that the hub asks, and changes nothing.

use std::fmt::Write;

use anyhow::{Context, Result};
use clap::Args;
use hub_core::policy::{self, Amounts, Decision, Dimension, Person, Question, Refusal, Rules, Standing};
use hub_store::Store;
use serde_json::{Value, json};

use super::database::{self, Hub};
use crate::config::rules;
use crate::{options, sites};

/// Explain what somebody may start: policies, choices, limits with where they come from, and what a request comes to.
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    hub: Hub,
    /// The user.
    user: String,
    /// The server whose last choice is explained, when no options are given. Without it: the default one.
    #[arg(long, value_name = "NAME", default_value = "")]
    server: String,
    /// Options to judge, as JSON: what a program sends as `user_options`.
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
    /// Judge as if they were in this group, and in no other than those named so. Can be repeated.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is known about somebody.
struct Known {
    person: Person,
    taken: Amounts,
    taken_of_groups: Vec<(String, Amounts)>,
    kept: Option<Value>,
}

/// Runs the command.
pub async fn run(arguments: Explain) -> Result<()> {
    let config = arguments.hub.load()?;
    let asked: Option<Value> =
        arguments.options.as_deref().map(serde_json::from_str).transpose().context("--options is not JSON")?;
    let Some(rules) = config.rules()? else {
        println!("Nothing is asked before a start and nothing limited by policy: there is no [options].");
        return Ok(());
    };
    let store = database::open(&config).await?;
    let known = known(&config, &store, &arguments, &rules).await;
    store.close().await;
    let known = known?;
    let decided = match &asked {
        Some(asked) => policy::decide(&rules, &known.person, asked),
        None => policy::decide_what_can_be(&rules, &known.person, known.kept.as_ref().unwrap_or(&Value::Null)),
    };
    let can = rules::abilities_of(&config.spawner);
    let decided = decided.and_then(|decision| options::supported(can, decision));
    let standing = Standing::of(&rules, &known.person);
    if arguments.json {
        println!("{:#}", as_json(&standing, &known, asked.as_ref(), &decided));
    } else {
        print!("{}", as_text(&standing, &known, asked.as_ref(), &decided));
    }
    Ok(())
}

async fn known(config: &crate::config::Config, store: &Store, of: &Explain, rules: &Rules) -> Result<Known> {
    let user = database::find(config, store, &of.user).await?;
    let groups = if of.group.is_empty() { store.groups_of(user.id).await? } else { of.group.clone() };
    let server = store.server(user.id, &of.server).await?;
    let places = sites::places(config, &store.list_sites().await?, server.as_ref(), database::now());
    let person = Person { name: user.name.clone(), admin: user.admin, groups, places };
    let mut taken_of_groups = Vec::new();
    for group in Standing::of(rules, &person).chargeable() {
        taken_of_groups.push((group.to_owned(), store.taken_of_group(group).await?));
    }
    Ok(Known {
        taken: store.taken_by(user.id).await?,
        taken_of_groups,
        kept: server.and_then(|server| server.user_options),
        person,
    })
}

/// The menu as it is for this person, whatever was asked for.
fn questions(standing: &Standing<'_>, decided: &Result<Decision, Refusal>) -> Vec<Question> {
    match decided {
        Ok(decision) => policy::menu(standing, decision),
        Err(_) => match policy::decide_what_can_be(standing.rules, standing.person, &Value::Null) {
            Ok(decision) => policy::menu(standing, &decision),
            Err(_) => Vec::new(),
        },
    }
}

fn as_json(
    standing: &Standing<'_>,
    known: &Known,
    asked: Option<&Value>,
    decided: &Result<Decision, Refusal>,
) -> Value {
    let bounds = |of: &dyn Fn(Dimension) -> Option<policy::standing::Bound>| -> Value {
        let told = |dimension: Dimension| {
            let bound = of(dimension)?;
            Some((dimension.name().to_owned(), json!({ "amount": bound.amount, "because": bound.because })))
        };
        Value::Object(Dimension::ALL.into_iter().filter_map(told).collect())
    };
    let matched = standing.matched.iter().map(|(policy, by)| json!({ "name": policy.name, "because": by.to_string() }));
    let groups = known
        .taken_of_groups
        .iter()
        .map(|(group, taken)| json!({ "group": group, "quota": standing.quota_of_group(group), "taken": taken }));
    let answer = match decided {
        Ok(decision) => json!({
            "granted": true, "plan": decision.plan, "user_options": decision.options, "left_out": decision.dropped,
            "charged_to": decision.charges.iter().filter_map(|charge| charge.group.as_ref()).collect::<Vec<_>>(),
        }),
        Err(refusal) => json!({ "granted": false, "refusal": refusal }),
    };
    json!({
        "user": known.person.name,
        "groups": known.person.groups,
        "admin": known.person.admin,
        "policies": matched.collect::<Vec<_>>(),
        "denied": standing.denied(),
        "greeting": standing.greeting(),
        "limits": bounds(&|dimension| standing.cap(dimension).filter(|_| dimension != Dimension::Servers)),
        "quotas": bounds(&|dimension| standing.quota(dimension)),
        "taken": known.taken,
        "groups_charged": groups.collect::<Vec<_>>(),
        "questions": questions(standing, decided),
        "request": asked.or(known.kept.as_ref()),
        "answer": answer,
    })
}

fn as_text(
    standing: &Standing<'_>,
    known: &Known,
    asked: Option<&Value>,
    decided: &Result<Decision, Refusal>,
) -> String {
    let mut page = Page::default();
    let person = &known.person;
    let admin = if person.admin { ", an administrator" } else { "" };
    page.line(&format!("{}{admin}: {}", person.name, listed("in no group", "in the groups ", &person.groups)));
    page.title("Policies that match");
    if standing.rules.policies.is_empty() {
        page.line("  there are no policies: everybody may have everything that is listed");
    } else if standing.matched.is_empty() {
        page.line("  none");
    }
    page.rows(standing.matched.iter().map(|(policy, by)| [policy.name.clone(), by.to_string(), String::new()]));
    if let Some(sentence) = standing.denied() {
        page.line(&format!("  every start is denied: {sentence}"));
    }
    page.title("The most of one server");
    page.rows([Dimension::Cpu, Dimension::Memory, Dimension::Gpu].map(|dimension| match standing.cap(dimension) {
        Some(cap) => [dimension.name().to_owned(), dimension.told(cap.amount), cap.because],
        None => [dimension.name().to_owned(), "any".to_owned(), "no policy limits it".to_owned()],
    }));
    page.title("The most at once");
    page.rows(Dimension::ALL.map(|dimension| {
        let used = dimension.told(known.taken.get(dimension).unwrap_or(0));
        match standing.quota(dimension) {
            Some(quota) => {
                let told = format!("{}, {used} in use", dimension.told(quota.amount));
                [dimension.name().to_owned(), told, quota.because]
            }
            None => [dimension.name().to_owned(), format!("any, {used} in use"), "no quota".to_owned()],
        }
    }));
    if !known.taken_of_groups.is_empty() {
        page.title("Groups that a server can be charged to");
        page.rows(known.taken_of_groups.iter().map(|(group, taken)| {
            let quota = standing.quota_of_group(group);
            let told = |dimension: Dimension| {
                let used = dimension.told(taken.get(dimension).unwrap_or(0));
                Some(format!("{}, {used} in use", dimension.told(quota.get(dimension)?)))
            };
            let told: Vec<String> = Dimension::ALL.into_iter().filter_map(told).collect();
            [group.clone(), told.join("; "), String::new()]
        }));
    }
    page.title("What is offered (* chosen at first, - to be asked for)");
    let questions = questions(standing, decided);
    if questions.is_empty() {
        page.line("  nothing");
    }
    for question in &questions {
        page.question(question);
    }
    page.answer(asked, known, decided);
    page.text
}

fn listed(none: &str, some: &str, names: &[String]) -> String {
    if names.is_empty() { none.to_owned() } else { format!("{some}{}", names.join(", ")) }
}

/// A page for a terminal.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        // What is written to a String is never refused. Control characters must not steer a terminal.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    fn title(&mut self, title: &str) {
        let _ = writeln!(self.text, "\n{title}");
    }

    /// Columns as wide as their widest cell.
    fn rows(&mut self, rows: impl IntoIterator<Item = [String; 3]>) {
        let rows: Vec<[String; 3]> = rows.into_iter().collect();
        let width = |at: fn(&[String; 3]) -> &String| rows.iter().map(|row| at(row).chars().count()).max().unwrap_or(0);
        let (first, second) = (width(|row| &row[0]), width(|row| &row[1]));
        for [a, b, c] in &rows {
            self.line(&format!("  {a:first$}  {b:second$}  {c}"));
        }
    }

    fn question(&mut self, question: &Question) {
        let label = question.label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
        self.line(&format!("  {}{label}", question.name));
        self.rows(question.choices.iter().map(|choice| {
            let mark = if choice.ask.is_some() {
                "-"
            } else if choice.selected {
                "*"
            } else {
                " "
            };
            let mut facts: Vec<String> = vec![choice.label.clone()];
            let has = |dimension: Dimension| choice.has.get(dimension).map(|amount| dimension.told(amount));
            facts.extend(Dimension::ALL.into_iter().filter_map(has));
            facts.dedup();
            [format!("{mark} {}", choice.value), facts.join(", "), choice.ask.clone().unwrap_or_default()]
        }));
        if let Some(typed) = &question.typed {
            let mark = if typed.selected { "*" } else { " " };
            let from = listed("", ", from ", &typed.from);
            self.rows([[
                format!("{mark} {}", typed.choice),
                format!("one's own, in {}{from}", typed.name),
                String::new(),
            ]]);
        }
    }

    fn answer(&mut self, asked: Option<&Value>, known: &Known, decided: &Result<Decision, Refusal>) {
        let (what, request) = match (asked, &known.kept) {
            (Some(asked), _) => ("The request", asked.to_string()),
            (None, Some(kept)) => ("A start as the last time", kept.to_string()),
            (None, None) => ("A start without options", String::new()),
        };
        self.title(what);
        if !request.is_empty() {
            self.line(&format!("  {request}"));
        }
        let decision = match decided {
            Ok(decision) => decision,
            Err(refusal) => {
                let field = if refusal.field.is_empty() { String::new() } else { format!(" ({})", refusal.field) };
                return self.line(&format!("  refused, {}{field}: {}", refusal.code.name(), refusal.sentence));
            }
        };
        for refusal in &decision.dropped {
            self.line(&format!("  left out ({}): {}", refusal.field, refusal.sentence));
        }
        self.line(&format!("  granted: {}", decision.plan.brief().join(", ")));
        for charge in &decision.charges {
            if let Some(group) = &charge.group {
                self.line(&format!("  charged to {group}"));
            }
        }
        self.line(&format!("  kept as {}", Value::Object(decision.options.clone())));
        let plan = serde_json::to_value(&decision.plan).unwrap_or_default();
        let said = |value: &Value| match value {
            Value::Null => false,
            Value::Object(members) => !members.is_empty(),
            _ => true,
        };
        let parts = plan.as_object().into_iter().flatten().filter(|(_, value)| said(value));
        self.rows(parts.map(|(key, value)| [key.clone(), value.to_string(), String::new()]));
    }
}
