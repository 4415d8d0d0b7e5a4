//! Findings as people and programs read them.

use std::fmt::Write;

use serde_json::{Value, json};

use super::finding::{Finding, Level};

const PLAIN: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
/// So wide is the column of what a finding is about, at most.
const WIDEST: usize = 28;

/// With the name of its check each, and the counts.
pub fn as_json(findings: &[(&str, Finding)]) -> Value {
    let listed = findings.iter().map(|(check, finding)| {
        let Finding { about, level, said, remedy } = finding;
        json!({ "check": check, "about": about, "level": level, "said": said, "remedy": remedy })
    });
    let failed = findings.iter().filter(|(_, finding)| finding.level == Level::Bad).count();
    json!({ "ok": failed == 0, "failed": failed, "findings": listed.collect::<Vec<_>>() })
}

/// A line a finding, a line below it with what to do, and a sentence at the end.
pub fn as_text(findings: &[(&str, Finding)], colours: bool) -> String {
    let width = findings.iter().map(|(_, finding)| finding.about.chars().count()).max().unwrap_or(0).min(WIDEST);
    let paint = |code: &str, text: &str| if colours { format!("{code}{text}{PLAIN}") } else { text.to_owned() };
    let mut text = String::new();
    for (_, finding) in findings {
        let (code, word) = word(finding.level);
        let about = format!("{:<width$}", finding.about);
        let indent = " ".repeat(2 + 7 + width + 2);
        let said = finding.said.replace('\n', &format!("\n{indent}"));
        let said = if finding.level == Level::Skipped { paint(DIM, &said) } else { said };
        let _ = writeln!(text, "  {}{about}  {said}", paint(code, &format!("{word:<7}")));
        if let Some(remedy) = &finding.remedy {
            let remedy = remedy.replace('\n', &format!("\n{indent}  "));
            let _ = writeln!(text, "{indent}{} {remedy}", paint(code, "→"));
        }
    }
    let count = |level: Level| findings.iter().filter(|(_, finding)| finding.level == level).count();
    let _ = match (count(Level::Bad), count(Level::Note)) {
        (0, 0) => writeln!(text, "\n{}", paint("\x1b[32m", "Everything that was tested is well.")),
        (0, notes) => writeln!(text, "\nNothing fails; {notes} worth a look."),
        (bad, _) => writeln!(text, "\n{}", paint("\x1b[31m", &format!("{bad} of {} fail.", findings.len()))),
    };
    text
}

fn word(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Ok => ("\x1b[32m", "ok"),
        Level::Note => ("\x1b[33m", "look"),
        Level::Bad => ("\x1b[1;31m", "FAILS"),
        Level::Skipped => (DIM, "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<(&'static str, Finding)> {
        vec![
            ("disk", Finding::good("data folder", "has 12 GB")),
            ("provider", Finding::bad("client at iam", "is unknown\nto it", "Register it\nanew")),
            ("fuse", Finding::skipped("FUSE", "nothing is mounted")),
        ]
    }

    #[test]
    fn lines_are_aligned_and_say_what_to_do() {
        assert_eq!(
            as_text(&found(), false),
            "  ok     data folder    has 12 GB\n  \
               FAILS  client at iam  is unknown\n                        to it\n                        \
               → Register it\n                          anew\n  \
               -      FUSE           nothing is mounted\n\n1 of 3 fail.\n"
        );
    }

    #[test]
    fn colours_change_no_letter() {
        let coloured = as_text(&found(), true);
        assert!(coloured.contains("\x1b[1;31mFAILS  \x1b[0m"));
        let mut bare = coloured.clone();
        while let Some(start) = bare.find('\x1b') {
            let end = bare[start..].find('m').unwrap();
            bare.replace_range(start..=start + end, "");
        }
        assert_eq!(bare, as_text(&found(), false));
    }

    #[test]
    fn programs_read_the_same_with_the_name_of_the_check() {
        let json = as_json(&found());
        assert_eq!((json["ok"].as_bool(), json["failed"].as_u64()), (Some(false), Some(1)));
        assert_eq!(json["findings"][1]["check"], "provider");
        assert_eq!(json["findings"][2]["level"], "skipped");
    }
}
