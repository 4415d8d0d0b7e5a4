//! Asks for a password: twice and unseen at a terminal, once from a pipe.

use std::io::{BufRead, IsTerminal, Read, Write, stdin};

use anyhow::{Context, Result, anyhow};
use hub_core::secret::Secret;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

const LONGEST_LINE: u64 = 4096;

/// Reads a new password for somebody.
pub fn ask(name: &str) -> Result<Secret> {
    if !stdin().is_terminal() {
        return line();
    }
    let _unseen = Unseen::new()?;
    let first = prompt(&format!("New password of {name}: "))?;
    let second = prompt("Once more: ")?;
    if first.matches(second.expose()) { Ok(first) } else { Err(anyhow!("the two are not the same")) }
}

fn prompt(text: &str) -> Result<Secret> {
    eprint!("{text}");
    std::io::stderr().flush().ok();
    let password = line();
    // The line end that was typed is not shown either.
    eprintln!();
    password
}

fn line() -> Result<Secret> {
    let mut line = String::new();
    stdin().lock().take(LONGEST_LINE).read_line(&mut line).context("cannot read the password")?;
    match line.trim_end_matches(['\n', '\r']) {
        "" => Err(anyhow!("no password was given")),
        password => Ok(Secret::new(password)),
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn new() -> Result<Self> {
        let before = tcgetattr(stdin()).context("cannot ask the terminal")?;
        let mut unseen = before.clone();
        unseen.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(stdin(), SetArg::TCSAFLUSH, &unseen).context("cannot hide what is typed")?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), SetArg::TCSAFLUSH, &self.before);
    }
}
