//! Reads HTML strictly, for tests: what a forgiving browser would mend is an error here.

mod rules;

/// Elements that have no content and no end tag.
const VOID: [&str; 6] = ["br", "img", "input", "link", "meta", "hr"];

/// One element with what the rules want to know.
#[derive(Debug)]
pub(crate) struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// The text inside, its children's included, without references resolved.
    pub text: String,
    /// The places of the elements around it in the list, outermost first.
    pub around: Vec<usize>,
}

impl Element {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a document into its elements, in order of their start tags.
pub(crate) fn read(html: &str) -> Result<Vec<Element>, String> {
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut rest = html;
    while let Some((text, tag)) = rest.split_once('<') {
        for index in &open {
            elements[*index].text.push_str(text);
        }
        let near = || format!("near <{}", tag.chars().take(60).collect::<String>());
        let (tag, after) = whole_tag(tag).ok_or_else(|| format!("a tag has no end {}", near()))?;
        rest = after;
        if tag.eq_ignore_ascii_case("!doctype html") {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let innermost = open.pop().map(|index| elements[index].name.as_str());
            if innermost != Some(name) {
                return Err(format!("</{name}> ends {innermost:?}"));
            }
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = start_tag(tag).map_err(|problem| format!("{problem} {}", near()))?;
        let leaf = closed || VOID.contains(&name.as_str());
        elements.push(Element { name, attributes, text: String::new(), around: open.clone() });
        if !leaf {
            open.push(elements.len() - 1);
        }
    }
    match open.last() {
        Some(index) => Err(format!("<{}> has no end", elements[*index].name)),
        None => Ok(elements),
    }
}

/// Splits at the `>` that ends the tag, which is the first one outside quotes.
fn whole_tag(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        c == '>' && !quoted
    })?;
    Some((&text[..end], &text[end + 1..]))
}

fn start_tag(tag: &str) -> Result<(String, Vec<(String, String)>), String> {
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return Err(format!("<{name} is no element"));
    }
    let mut attributes: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok((name.to_owned(), attributes));
        }
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let value = match after.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').ok_or("an attribute has no end")?;
                if !after.is_empty() && !after.starts_with(char::is_whitespace) {
                    return Err(format!("no space after {key}"));
                }
                rest = after;
                value
            }
            None if after.starts_with('=') => return Err(format!("{key} is not quoted")),
            None => {
                rest = after;
                ""
            }
        };
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if key.is_empty() || !key.chars().all(named) || attributes.iter().any(|(known, _)| known == key) {
            return Err(format!("{key:?} is no attribute, or there twice"));
        }
        attributes.push((key.to_owned(), value.to_owned()));
    }
}

#[test]
fn what_a_browser_would_mend_is_refused() {
    assert!(read("<!DOCTYPE html><p id=\"a\">x<br>y</p>").is_ok());
    let bad =
        ["<p>", "</p>", "<p></div>", "<b><i></b></i>", "<p id=a></p>", "<p id=\"a\" id=\"b\"></p>", "<p a=\"b\"c></p>"];
    for html in bad.into_iter().chain(["<p", "a < b", "<p =\"x\"></p>", "<P></P>", "<p a'b></p>"]) {
        assert!(read(html).is_err(), "{html}");
    }
}
