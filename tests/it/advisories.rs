//! Every class of bug that JupyterHub had an advisory for, or a defect that is not copied, and every hazard of INFN's hubs
//! has a test: `docs/develop.md` names them, and this keeps the names true.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tests::place;

/// All functions that are marked as tests below a folder, and the names that macros make tests of, with their files.
fn tests_below(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with(".git") {
                tests_below(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let name = |line: &str| {
                let rest = line.split_once("fn ")?.1;
                Some(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?.to_owned())
            };
            let marked = lines.windows(2).filter(|two| two[0].starts_with("#[") && two[0].contains("test"));
            found.extend(marked.filter_map(|two| Some((name(two[1])?, path.clone()))));
            if let Some((_, listed)) = text.split_once("\nboth!(") {
                let listed = listed.split_once(");").map_or(listed, |(listed, _)| listed);
                found.extend(listed.split(',').map(|name| (name.trim().to_owned(), path.clone())));
            }
        }
    }
    Ok(())
}

/// The rows of the table under a heading of `docs/develop.md`, each with the tests that it names, all of which exist.
fn rows_of(heading: &str) -> Result<Vec<(String, BTreeMap<String, PathBuf>)>> {
    let root = place::package().parent().context("the folder above")?.to_owned();
    let mut tests = BTreeMap::new();
    tests_below(&root, &mut tests)?;
    ensure!(tests.len() > 300, "only {} tests found", tests.len());
    let text = std::fs::read_to_string(root.join("docs/develop.md"))?;
    let section = text.split_once(&format!("\n## {heading}\n")).context("no section")?.1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| What"));
    let read = |row: &str| {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let named = cell.split('`').skip(1).step_by(2).map(|name| {
            let file = tests.get(name).with_context(|| format!("no test is called {name}: {row}"))?;
            Ok((name.to_owned(), file.clone()))
        });
        let named: BTreeMap<String, PathBuf> = named.collect::<Result<_>>()?;
        ensure!(!named.is_empty(), "no test: {row}");
        Ok((row.to_owned(), named))
    };
    rows.map(read).collect()
}

/// The thirteen hazards of the hubs that INFN's deployments have: each is named at one of its tests.
#[test]
fn every_hazard_of_infn_has_a_test_that_exists_and_says_so() -> Result<()> {
    let rows = rows_of("Hazards")?;
    ensure!(rows.len() == 13, "{} rows", rows.len());
    for (number, (row, tests)) in (1..).zip(&rows) {
        let hazard = format!("H{number}");
        ensure!(row.starts_with(&format!("| {hazard}: ")), "{hazard} is not where it should be: {row}");
        let says = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == hazard)
        };
        ensure!(tests.values().any(says), "{hazard} is named at none of its tests: {row}");
    }
    Ok(())
}

#[test]
fn every_class_of_advisory_has_a_test_that_exists() -> Result<()> {
    let rows = rows_of("Advisories")?;
    ensure!(rows.len() >= 30, "{} rows", rows.len());
    for id in [
        "CVE-2019-10255",
        "CVE-2020-36191",
        "CVE-2021-41247",
        "CVE-2024-28233",
        "CVE-2024-41942",
        "CVE-2026-33709",
        "CVE-2026-40864",
        "CVE-2026-54338",
        "GHSA-c4gm-pwx9-9w8j",
        "GHSA-69wv-m5fw-2fhp",
        "CVE-2024-28179",
        "CVE-2023-48311",
        "CVE-2022-31027",
        "CVE-2026-34052",
        "CVE-2026-40934",
    ] {
        ensure!(rows.iter().any(|(row, _)| row.contains(id)), "{id} is missing");
    }
    Ok(())
}
