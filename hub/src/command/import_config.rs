//! `specola import-config`: turns a jupyterhub_config.py into a specola.toml, and lists what has no place there.

mod advice;
mod carry;
mod docker_spawner;
mod read;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::config::{Config, Environment};
use carry::Carried;
use read::Setting;

/// Write a specola.toml from a jupyterhub_config.py, and list line by line what could not be carried over. The file is
/// run, as JupyterHub would run it; neither JupyterHub nor what it imports has to be installed.
#[derive(Debug, Args)]
pub struct ImportConfig {
    /// The configuration of JupyterHub.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write; must not be there yet.
    #[arg(short, long, value_name = "FILE", default_value = "specola.toml")]
    output: PathBuf,
    /// The Python that runs it.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
}

/// Runs the command.
pub async fn run(arguments: ImportConfig) -> Result<()> {
    let (file, output) = (&arguments.file, &arguments.output);
    if output.exists() {
        bail!("{} is there already; name another file with --output", output.display());
    }
    let read = read::read(&arguments.python, file).await?;
    let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut carried = carry::carry(read.settings);
    settle(&mut carried, output, &name)?;
    println!("{}: {} options written; `specola check-config` accepts it.", output.display(), carried.options.len());
    if !carried.left.is_empty() {
        println!("\nNot carried over, by line of {name}:");
    }
    for left in &carried.left {
        let Setting { class, trait_name, .. } = &left.setting;
        println!("{:>5}  c.{class}.{trait_name}: {}", left.setting.place(), left.why);
        println!("       {}", left.instead);
    }
    if !read.stood_in.is_empty() {
        println!("\nModules that are not installed here, and were stood in for: {}", read.stood_in.join(", "));
    }
    match read.failure {
        Some(failure) => bail!("{name}:{} ended with {}; what came before it was read", failure.line, failure.what),
        None => Ok(()),
    }
}

/// Writes the file, and takes out what a check of it finds fault with, until it finds none.
fn settle(carried: &mut Carried, output: &Path, name: &str) -> Result<()> {
    // May hold secrets: for its owner alone, and complete before it has its name.
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = folder.join(format!(".specola-import-{}.toml", std::process::id()));
    let settled = accepted(carried, &draft, name).and_then(|accepted| match accepted {
        true => std::fs::hard_link(&draft, output).with_context(|| format!("cannot write {}", output.display())),
        false => Err(anyhow::anyhow!("what was made of {name} is not accepted; please report this")),
    });
    let _ = std::fs::remove_file(&draft);
    settled
}

/// Writes the draft, and takes out what a check of it finds fault with. Whether nothing is left to find fault with.
fn accepted(carried: &mut Carried, draft: &Path, name: &str) -> Result<bool> {
    loop {
        write(draft, &carried.text(name)).with_context(|| format!("cannot write {}", draft.display()))?;
        let Err(errors) = Config::load(Some(draft), &Environment::new()) else { return Ok(true) };
        let before = carried.options.len();
        for problem in errors.0 {
            carried.refuse(&problem.key, &problem.what);
        }
        if carried.options.len() == before {
            return Ok(false);
        }
    }
}

/// What was made of traits that stand in a file of values.
pub struct OfClasses {
    /// Options of ours.
    pub options: Vec<(String, Value)>,
    /// Class, trait, why it has no place, and what to do instead.
    pub left: Vec<(String, String, String, String)>,
}

/// The same for classes with their traits, values and all. What is wrong only without the rest of a configuration stays;
/// `draft` is written for the check, and removed.
pub fn of_classes(traits: Vec<(String, String, Value)>, draft: &Path) -> Result<OfClasses> {
    let settings = traits.into_iter().map(|(class, trait_name, plain)| Setting {
        class,
        trait_name,
        line: 0,
        file: None,
        plain,
        problem: None,
    });
    let mut carried = carry::carry(settings.collect());
    let checked = accepted(&mut carried, draft, "values");
    let _ = std::fs::remove_file(draft);
    checked?;
    Ok(OfClasses {
        options: carried.options.into_iter().map(|(key, value, _)| (key, value)).collect(),
        left: carried
            .left
            .into_iter()
            .map(|left| (left.setting.class, left.setting.trait_name, left.why, left.instead))
            .collect(),
    })
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
