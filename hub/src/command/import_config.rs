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
    let settled = loop {
        if let Err(error) = write(&draft, &carried.text(name)) {
            break Err(error).with_context(|| format!("cannot write in {}", folder.display()));
        }
        let Err(errors) = Config::load(Some(&draft), &Environment::new()) else {
            break std::fs::hard_link(&draft, output).with_context(|| format!("cannot write {}", output.display()));
        };
        let before = carried.options.len();
        for problem in errors.0 {
            carried.refuse(&problem.key, &problem.what);
        }
        if carried.options.len() == before {
            break Err(anyhow::anyhow!("what was made of {name} is not accepted; please report this"));
        }
    };
    let _ = std::fs::remove_file(&draft);
    settled
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
