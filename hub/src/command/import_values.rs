//! `specola import-values`: turns values of Zero to JupyterHub into values of the chart in `deploy/helm`, and lists what has
//! no place there.

mod advice;
mod carry;
mod schema;
mod yaml;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

/// More than this is no file of values.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Write values for the Helm chart in deploy/helm out of values of Zero to JupyterHub, and list what could not be carried
/// over
#[derive(Debug, Args)]
pub struct ImportValues {
    /// Their values, in YAML. A chart around theirs may have them under `jupyterhub`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write; must not be there yet.
    #[arg(short, long, value_name = "FILE", default_value = "specola-values.yaml")]
    output: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &ImportValues) -> Result<()> {
    let (file, output) = (&arguments.file, &arguments.output);
    if output.exists() {
        bail!("{} is there already; name another file with --output", output.display());
    }
    // Classes of JupyterHub are checked in a file of their own, which may hold secrets: where the values will be.
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = folder.join(format!(".specola-import-{}.toml", std::process::id()));
    let carried = carry::carry(read(file)?, &draft)?;
    let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    write(output, &carried, &name).with_context(|| format!("cannot write {}", output.display()))?;
    println!("{}: {} values written, for the chart in deploy/helm.", output.display(), carried.count);
    if !carried.left.is_empty() {
        println!("\nNot carried over from {name}:");
    }
    for left in &carried.left {
        println!("  {}: {}", left.path, left.why);
        println!("      {}", left.instead);
    }
    Ok(())
}

fn read(file: &Path) -> Result<Value> {
    let about = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(about.is_file() && about.len() <= LARGEST, "{} is no file of values", file.display());
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let values: Value = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.to_string().lines().next().unwrap_or_default().to_owned();
        anyhow::anyhow!("{} is not YAML: {line}", file.display())
    })?;
    ensure!(values.is_object(), "{} is not a table of values", file.display());
    Ok(values)
}

/// For its owner alone: there may be secrets in it.
fn write(output: &Path, carried: &carry::Carried, name: &str) -> std::io::Result<()> {
    let mut text = format!("# Made of {name} by `specola import-values`.\n");
    for left in &carried.left {
        text += &format!("# Not carried over: {}\n", left.path.replace(char::is_control, " "));
    }
    text += &yaml::text(&carried.values);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(output)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests;
