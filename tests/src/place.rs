//! Where the things outside this workspace are. `tests/run` exports them; a test without its thing says so and ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// The binary under test: `SPECOLA_BIN`, or what cargo built beside this test program.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SPECOLA_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let path = own.ancestors().nth(2).context("a test program lies in target/PROFILE/deps")?.join("specola");
    if !path.exists() {
        bail!("{} is missing: run `cargo build` first, or use tests/run", path.display());
    }
    Ok(path)
}

/// What runs beside labs, built with the binary.
pub fn agent() -> PathBuf {
    binary().unwrap_or_default().with_file_name("specola-lab-agent")
}

/// The folder of this package, where its scripts are.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The workspace's build folder, where screenshots go.
pub fn target() -> PathBuf {
    package().parent().unwrap_or(package()).join("target")
}

fn python(variable: &str, environment: &str) -> Option<PathBuf> {
    let path = match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => target().join("tests").join(environment).join("bin/python"),
    };
    path.exists().then_some(path)
}

/// The interpreter that has JupyterHub 6.1 and JupyterLab.
pub fn jupyterhub6() -> Option<PathBuf> {
    python("SPECOLA_JUPYTERHUB_PYTHON", "jupyterhub-6")
}

/// The interpreter that has JupyterHub 5.x and JupyterLab.
pub fn jupyterhub5() -> Option<PathBuf> {
    python("SPECOLA_JUPYTERHUB5_PYTHON", "jupyterhub-5")
}

/// The interpreter that has JupyterHub 6.1 and what its own tests need.
pub fn jupyterhub_suite() -> Option<PathBuf> {
    python("SPECOLA_JUPYTERHUB_SUITE_PYTHON", "jupyterhub-suite")
}

/// The interpreter that has schemathesis.
pub fn schemathesis() -> Option<PathBuf> {
    python("SPECOLA_SCHEMATHESIS_PYTHON", "schemathesis")
}

/// Real configurable-http-proxy.
pub fn configurable_http_proxy() -> Option<PathBuf> {
    let given = std::env::var_os("SPECOLA_CHP").map(PathBuf::from);
    given.or_else(|| command("configurable-http-proxy")).filter(|path| path.exists())
}

/// The test runner of configurable-http-proxy, beside what its tests need.
pub fn jasmine() -> Option<PathBuf> {
    let path = match std::env::var_os("SPECOLA_JASMINE") {
        Some(path) => PathBuf::from(path),
        None => target().join("tests/chp/node_modules/.bin/jasmine"),
    };
    path.exists().then_some(path)
}

/// A command on the search path.
pub fn command(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// An interpreter for the small stand-in labs: Debian's first, because any system user can run it.
pub fn plain_python() -> Result<PathBuf> {
    let debian = PathBuf::from("/usr/bin/python3");
    if debian.exists() { Ok(debian) } else { command("python3").context("python3 is not on the path") }
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The names of breakpoints this binary stops at.
pub fn breakpoints() -> Result<Vec<String>> {
    let output = Command::new(binary()?).args(["serve", "--list-breakpoints"]).output()?;
    if !output.status.success() {
        bail!("serve --list-breakpoints: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
}

/// A loopback port nobody listens on, below the range the kernel hands out by itself, and not given out before by
/// this process: what labs and clients get at random cannot take it in the meantime.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 18_000;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + (std::process::id().wrapping_mul(131).wrapping_add(step)) % COUNT)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}

/// Ends the test early, with the reason, when something from outside is missing; fails instead when `tests/run` has
/// promised it.
#[macro_export]
macro_rules! need {
    ($thing:expr, $what:literal, $promise:literal) => {
        match $thing {
            Some(thing) => thing,
            None if std::env::var_os($promise).is_some() => {
                anyhow::bail!("{} is missing, though {} is set", $what, $promise)
            }
            None => {
                eprintln!("SKIPPED: {} is missing", $what);
                return Ok(());
            }
        }
    };
}
