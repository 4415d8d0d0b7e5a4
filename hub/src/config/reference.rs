//! The reference page of all options, made from the structs: names, types, defaults, meanings, variables.

use std::fmt::Write;

use serde_json::Value;

use super::check::join;
use super::environment::name_of;
use super::shape::{Field, Shape, quoted};

/// Tables with more members than this have a section of their own.
const ROOM_OF_A_CELL: usize = 20;

const HEAD: &str = "\
# Configuration

<!-- Made from the program's own structs. Write it anew with: specola check-config --reference > docs/configuration.md -->

`specola serve --config FILE` reads a TOML file. Every option has a default: an empty file is a configuration. Where an
option does what one of JupyterHub does, it has its name. A name that is not known is an error that proposes the nearest
one, and `specola check-config --config FILE` names each problem with its line and says what would run.

Every option can be set by an environment variable too, which wins over the file: `SPECOLA_`, the section and the name,
with two underscores between (`SPECOLA_HUB__BIND_URL`). A list is written with commas or as JSON, a table as JSON.

Every secret has a twin with `_file` that names a file to read it from; setting both is an error. Paths are relative to
the folder the hub is started in. `JPY_COOKIE_SECRET` is read as JupyterHub reads it.
";

/// The page, as Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    let Shape::Table(sections) = Shape::of_config() else { return page };
    for name in super::SECTIONS {
        if let Some(section) = sections.iter().find(|section| section.name == name) {
            table(&mut page, name, section);
        }
    }
    page
}

fn table(page: &mut String, key: &str, section: &Field) {
    if let Shape::List(of, _) = &section.shape
        && let Shape::Table(members) = of.as_ref()
    {
        return list(page, key, section, members);
    }
    let Shape::Table(fields) = &section.shape else { return };
    let (inner, options): (Vec<&Field>, Vec<&Field>) =
        fields.iter().partition(|field| matches!(field.shape, Shape::Table(_)));
    let _ = write!(
        page,
        "\n## [{key}]\n\n{}\n\n| Option | Type | Default | Meaning | Environment |\n",
        one_line(&section.help)
    );
    page.push_str("|---|---|---|---|---|\n");
    for field in &options {
        row(page, key, field);
    }
    for field in options {
        if let Some(members) = own_section(&field.shape) {
            list(page, &join(key, &field.name), field, members);
        }
    }
    for field in inner {
        table(page, &join(key, &field.name), field);
    }
}

fn row(page: &mut String, key: &str, field: &Field) {
    let cells = [
        format!("`{}`", field.name),
        kind(&field.shape),
        default(field),
        one_line(&field.help) + &members(&field.shape),
        format!("`{}`", name_of(&join(key, &field.name))),
    ];
    let _ = writeln!(page, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
}

/// The members of the tables of a list, when they are too many for a cell.
fn own_section(shape: &Shape) -> Option<&[Field]> {
    match shape {
        Shape::List(of, _) => match of.as_ref() {
            Shape::Table(fields) if fields.len() > ROOM_OF_A_CELL => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

fn list(page: &mut String, key: &str, field: &Field, members: &[Field]) {
    let _ = write!(page, "\n## [[{key}]]\n\n{}\n\n| Option | Type | Default | Meaning |\n", one_line(&field.help));
    page.push_str("|---|---|---|---|\n");
    for member in members {
        let help = one_line(&member.help) + &self::members(&member.shape);
        let cells = [format!("`{}`", member.name), kind(&member.shape), default(member), help];
        let _ = writeln!(page, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn kind(shape: &Shape) -> String {
    match shape {
        Shape::Flag => "true or false".into(),
        Shape::Whole(..) => "whole number".into(),
        Shape::Number(_, _, "seconds") => "seconds".into(),
        Shape::Number(..) => "number".into(),
        Shape::Text(_) => "text".into(),
        Shape::Bytes => "bytes".into(),
        Shape::Choice(words) => quoted(words),
        Shape::List(of, Some(count)) => format!("list of {count}: {}", kind(of)),
        Shape::List(of, None) => format!("list of {}", plural(&kind(of))),
        Shape::Table(_) => "table".into(),
        Shape::Map(of) => format!("table of {}", plural(&kind(of))),
        Shape::Any => "any".into(),
    }
}

fn plural(noun: &str) -> String {
    match noun {
        "text" | "table" | "whole number" | "number" => format!("{noun}s"),
        "any" => "values".into(),
        noun => noun.into(),
    }
}

fn default(field: &Field) -> String {
    match &field.default {
        None | Some(Value::Null) => String::new(),
        Some(Value::Object(members)) if members.is_empty() => "`{}`".into(),
        Some(Value::Number(number)) => format!("`{}`", number.as_f64().unwrap_or_default()),
        Some(value) => format!("`{value}`"),
    }
}

/// The members of tables in a list or under free names, which have no rows of their own.
fn members(shape: &Shape) -> String {
    let of = match shape {
        Shape::List(of, _) | Shape::Map(of) => of,
        _ => return String::new(),
    };
    let Shape::Table(fields) = of.as_ref() else { return String::new() };
    if own_section(shape).is_some() {
        return " Its options are below.".to_owned();
    }
    let one = |field: &Field| {
        let needed = if field.required { ", needed" } else { "" };
        format!("`{}` ({}{needed}): {}", field.name, kind(&field.shape), one_line(&field.help))
    };
    format!(" Each has {}", fields.iter().map(one).collect::<Vec<String>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_the_one_the_structs_make() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == markdown(),
            "docs/configuration.md is stale: specola check-config --reference > docs/configuration.md"
        );
    }
}
