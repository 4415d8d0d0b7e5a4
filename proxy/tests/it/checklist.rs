//! `CHECKLIST.md` names tests of every item: this keeps the table true, and complete.

use std::{collections::BTreeSet, path::Path};

fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let marked = lines.windows(2).filter(|two| two[0].starts_with("#[") && two[0].contains("test"));
            let name = |line: &str| line.split_once("fn ")?.1.split('(').next().map(str::to_owned);
            found.extend(marked.filter_map(|two| name(two[1])));
        }
    }
}

#[test]
fn every_item_of_the_checklist_has_tests_that_exist() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests/it", "../tests/it"] {
        tests_below(&package.join(folder), &mut tests);
    }
    assert!(tests.len() > 200, "only {} tests found", tests.len());
    let text = std::fs::read_to_string(package.join("CHECKLIST.md")).unwrap();
    let (_, table) = text.split_once("\n## Tests by item\n").expect("the table");
    let table = table.split_once("\n## ").map_or(table, |(table, _)| table);
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    for item in 1..=36 {
        let (_, cell) =
            rows.clone().find(|(number, _)| number.parse() == Ok(item)).unwrap_or_else(|| panic!("no row {item}"));
        let named: BTreeSet<&str> = cell.split('`').skip(1).step_by(2).collect();
        for name in &named {
            assert!(tests.contains(*name), "no test is called {name} (item {item})");
        }
        let begin = format!("item_{item:02}_");
        for own in tests.iter().filter(|name| name.starts_with(&begin)) {
            assert!(named.contains(own.as_str()), "{own} is not in the row of item {item}");
        }
        assert!(!named.is_empty() || cell.starts_with("not planned"), "item {item} has no test");
    }
    assert_eq!(rows.filter(|(number, _)| number.parse::<u32>().is_ok()).count(), 36, "one row an item");
}

#[test]
fn item_36_the_proxy_has_no_unsafe_code() {
    let root = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    // The compiler then refuses any, and allows no exception.
    assert!(root.lines().any(|line| line == "#![forbid(unsafe_code)]"));
}
