//! What holds for every page: rendered with every sample and read strictly.

use std::collections::HashSet;

use super::{Element, read};
use crate::{Href, sample, static_file};

/// The heaviest a page may be, in bytes, with all it loads as it is sent: files squeezed, the page itself not.
const MOST: usize = 60_000;

/// Elements that end a paragraph.
const BLOCKS: [&str; 12] =
    ["div", "p", "ul", "ol", "form", "section", "fieldset", "table", "pre", "h1", "h2", "details"];

fn pages() -> Vec<(String, String, Vec<Element>)> {
    let pages = sample::all().unwrap();
    assert!(pages.len() > 30);
    let read = |(name, html): (String, String)| {
        let elements = read(&html).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        (name, html, elements)
    };
    pages.into_iter().map(read).collect()
}

/// Runs a rule on every element of every page; it gives a sentence where it is broken.
fn every(rule: impl Fn(&Element, &[Element]) -> Option<String>) {
    for (name, _, elements) in pages() {
        for element in &elements {
            if let Some(problem) = rule(element, &elements) {
                panic!("{name}: {problem}: {element:?}");
            }
        }
    }
}

fn ids(elements: &[Element]) -> HashSet<&str> {
    elements.iter().filter_map(|element| element.get("id")).collect()
}

#[test]
fn every_page_is_well_formed_with_one_title_heading_and_language() {
    for (name, _, elements) in pages() {
        // A drawing has titles of its own.
        let drawn = |element: &Element| element.around.iter().any(|outer| elements[*outer].name == "svg");
        let count = |wanted: &str| elements.iter().filter(|element| element.name == wanted && !drawn(element)).count();
        for one in ["html", "head", "title", "body", "main", "h1"] {
            assert_eq!(count(one), 1, "{name}: {one}");
        }
        assert_eq!(elements[0].get("lang"), Some("en"), "{name}");
        assert!(elements.iter().any(|e| e.name == "title" && !e.text.starts_with(" ·")), "{name}");
    }
}

#[test]
fn ids_are_unique_and_references_lead_somewhere() {
    for (name, _, elements) in pages() {
        let known = ids(&elements);
        let all = elements.iter().filter(|element| element.get("id").is_some()).count();
        assert_eq!(known.len(), all, "{name}: an id is there twice");
        for element in &elements {
            for attribute in ["for", "aria-describedby", "aria-labelledby", "aria-controls", "data-copy", "data-reveal"]
            {
                let targets = element.get(attribute).unwrap_or_default().split_whitespace();
                for target in targets {
                    assert!(known.contains(target), "{name}: {attribute}={target}");
                }
            }
        }
    }
}

#[test]
fn every_control_has_a_name() {
    every(|element, elements| {
        let labelled = |element: &Element| {
            let label = |other: &Element| other.name == "label" && other.get("for") == element.get("id");
            element.around.iter().any(|index| elements[*index].name == "label")
                || element.get("id").is_some() && elements.iter().any(label)
        };
        let named = match element.name.as_str() {
            "input" if matches!(element.get("type"), Some("hidden" | "submit")) => true,
            "input" | "select" => labelled(element) || element.get("aria-label").is_some_and(|name| !name.is_empty()),
            "a" | "button" | "summary" => !element.text.trim().is_empty() || element.get("aria-label").is_some(),
            "img" => element.get("alt").is_some(),
            _ => true,
        };
        (!named).then(|| "has no name".to_owned())
    });
}

#[test]
fn paragraphs_hold_no_blocks_and_links_hold_no_controls() {
    every(|element, elements| {
        let inside = |name: &str| element.around.iter().any(|index| elements[*index].name == name);
        let broken = inside("p") && BLOCKS.contains(&element.name.as_str())
            || inside("form") && element.name == "form"
            || (inside("a") || inside("button")) && ["a", "button", "input"].contains(&element.name.as_str());
        broken.then(|| "stands in the wrong place".to_owned())
    });
}

#[test]
fn every_posted_form_carries_the_xsrf_token() {
    for (name, _, elements) in pages() {
        for (place, form) in elements.iter().enumerate().filter(|(_, element)| element.get("method") == Some("post")) {
            let carries = |element: &Element| element.around.contains(&place) && element.get("name") == Some("_xsrf");
            assert!(elements.iter().any(carries), "{name}: {form:?}");
        }
    }
}

#[test]
fn a_strict_content_policy_holds() {
    every(|element, _| {
        let inline = element.name == "style"
            || element.name == "script" && (!element.text.is_empty() || element.get("src").is_none())
            || element.attributes.iter().any(|(key, _)| key == "style" || key.starts_with("on"));
        inline.then(|| "is inline style or script".to_owned())
    });
}

#[test]
fn every_link_is_safe() {
    every(|element, _| {
        let links = ["href", "src", "action"].into_iter().filter_map(|name| element.get(name));
        let bad = |url: &&str| !url.starts_with('#') && Href::parse(url).is_err();
        links.into_iter().find(bad).map(|url| format!("leads to {url:?}"))
    });
}

#[test]
fn hostile_text_stays_text() {
    let mut seen = 0;
    for (name, html, elements) in pages() {
        assert!(!html.contains("<script>") && !html.contains("<img src=x"), "{name}");
        if name.ends_with("hostile") {
            seen += 1;
            assert!(html.contains("&lt;script&gt;") || html.contains("&#60;script&#62;"), "{name}");
            assert!(elements.iter().any(|element| element.text.contains("{{7*7}}")), "{name}");
        }
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn a_page_with_all_it_loads_is_light() {
    for (name, html, elements) in pages() {
        let loaded = elements.iter().flat_map(|element| [element.get("href"), element.get("src")]).flatten();
        let named = loaded.filter_map(|url| url.strip_prefix("/hub/static/")?.split('?').next());
        // The stylesheet loads the background of quiet pages; scripts import the shared ones.
        let quiet = elements.iter().any(|element| element.name == "body" && element.get("class") == Some("quiet"));
        let files: HashSet<&str> = named.chain(quiet.then_some("trails.svg")).chain(["hub.js", "image.js"]).collect();
        let weight = |file: &&str| static_file(file).unwrap_or_else(|| panic!("{name}: no {file}")).gzip.len();
        let total = html.len() + files.iter().map(weight).sum::<usize>();
        assert!(total < MOST, "{name}: {total} bytes");
        assert!(files.len() >= 5, "{name}: {files:?}");
    }
}
