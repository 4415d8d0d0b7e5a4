//! Other programs of this machine, asked for a line or two.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a program prints. The error is why it prints nothing: not there, an exit, too slow.
pub async fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let done = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(done) => done.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "is not installed".to_owned(),
            _ => format!("cannot be run: {error}"),
        })?,
        Err(_) => return Err(format!("does not answer within {} s", PATIENCE.as_secs())),
    };
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() {
        return Ok(words(&done.stdout));
    }
    let error = words(if done.stderr.is_empty() { &done.stdout } else { &done.stderr });
    Err(format!("ends with {}: {}", done.status, error.lines().next().unwrap_or("no message")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn why_a_program_says_nothing_is_told_apart() {
        assert_eq!(output("echo", &["a", "b"]).await.as_deref(), Ok("a b"));
        assert_eq!(output("no-such-program", &[]).await, Err("is not installed".to_owned()));
        let failed = output("sh", &["-c", "echo broken >&2; exit 3"]).await.unwrap_err();
        assert!(failed.contains("3") && failed.ends_with("broken"), "{failed}");
    }
}
