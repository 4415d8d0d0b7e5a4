//! JupyterHub's own tests, out of its wheel and unchanged, run against Specola. Which of them cannot pass, and why, is in
//! `tests/jupyterhub_suite/listed.txt`; any other that fails is an error, and so is a listed one that passes.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use tests::mark::Mark;
use tests::{need, place};

/// So much of what pytest said is shown of a run that failed.
const SHOWN: usize = 12_000;

async fn run(modules: &'static [&'static str]) -> Result<()> {
    let python = need!(place::jupyterhub_suite(), "pytest with JupyterHub", "SPECOLA_JUPYTERHUB_SUITE_PYTHON");
    let (folder, mark) = (tempfile::tempdir()?, Mark::default());
    let suite = place::package().join("jupyterhub_suite");
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-q", "--tb=short", "-c"]).arg(suite.join("pytest.ini"));
    command.arg("--rootdir").arg(folder.path()).arg("--pyargs");
    command.args(modules.iter().map(|module| format!("jupyterhub.tests.{module}")));
    command.env("PYTHONPATH", &suite).env("SPECOLA_BIN", std::path::absolute(place::binary()?)?);
    command.current_dir(folder.path()).stdin(Stdio::null());
    mark.put_on(&mut command);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = said.lines().filter(|line| line.starts_with("of JupyterHub's tests") || line.contains(" passed"));
    lines.for_each(|line| println!("{modules:?}: {line}"));
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let from = said.len().saturating_sub(SHOWN);
        let end = said.get(said.ceil_char_boundary(from)..).unwrap_or_default();
        bail!("{modules:?}: {}\n{end}\n{errors}", output.status);
    }
    Ok(())
}

/// Side by side: they wait more than they work.
#[tokio::test]
async fn jupyterhubs_own_tests_pass() -> Result<()> {
    let (api, rights, pages, services) = tokio::join!(
        run(&["test_api"]),
        run(&["test_roles", "test_scopes", "test_shares"]),
        run(&["test_pages", "test_named_servers"]),
        run(&["test_services", "test_services_auth"]),
    );
    let failed: Vec<String> =
        [api, rights, pages, services].into_iter().filter_map(|run| Some(format!("{:#}", run.err()?))).collect();
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n\n"));
    Ok(())
}
