//! A question to a program: written to its standard input, answered on its standard output.

use std::collections::BTreeMap;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::Trouble;
use crate::excerpt::excerpt;

/// So much of the end of standard error is kept.
const STDERR_BYTES: usize = 4096;
/// Where programs are searched that are named without a folder.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Kills a program and all it has started, unless it is told that the program ended well.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // What has ended already is no trouble.
            killpg(leader, Signal::SIGKILL).ok();
        }
    }
}

/// Composes the program's call: no shell, nothing of the hub's environment, a process group of its own.
pub fn command(argv: &[String], environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(argv.first().map_or("", String::as_str));
    command.args(argv.iter().skip(1)).env_clear();
    command.env("PATH", PATH).env("LANG", "C.UTF-8").envs(environment);
    // The terminal's signals are for the hub, and the whole group can be killed.
    command.process_group(0).current_dir("/").kill_on_drop(false);
    command
}

/// Runs the program, and returns what it wrote if it ended with exit status 0.
pub(crate) async fn ask(
    argv: &[String],
    environment: &BTreeMap<String, String>,
    question: &Value,
    answer_bytes: usize,
) -> Result<Vec<u8>, Trouble> {
    let program = argv.first().cloned().unwrap_or_default();
    let broken = |cause: std::io::Error| Trouble::NotStarted { program: program.clone(), cause };
    let mut command = command(argv, environment);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(&broken)?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut input), Some(output), Some(errors)) = pipes else {
        return Err(broken(std::io::ErrorKind::BrokenPipe.into()));
    };
    let text = question.to_string();
    let write = async {
        // A program that does not read its question may still answer.
        input.write_all(text.as_bytes()).await.ok();
        drop(input);
        Ok(())
    };
    let read =
        async { read_bounded(output, answer_bytes).await.map_err(&broken)?.ok_or(Trouble::TooMuch(answer_bytes)) };
    let ended = async { child.wait().await.map_err(&broken) };
    let ((), answer, stderr, status) =
        tokio::try_join!(write, read, async { read_end(errors).await.map_err(&broken) }, ended)?;
    if !status.success() {
        return Err(Trouble::Failed { status, stderr: excerpt(&stderr, 500) });
    }
    // What a program that ended well left running was meant to go on, such as a queue it had to start.
    group.0 = None;
    Ok(answer)
}

/// Reads to the end; `None` when there is more than so many bytes.
async fn read_bounded(from: impl AsyncRead + Unpin, longest: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(longest as u64 + 1).read_to_end(&mut bytes).await?;
    Ok((bytes.len() <= longest).then_some(bytes))
}

/// Reads to the end, and keeps only the last part.
async fn read_end(mut from: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let (mut kept, mut chunk) = (Vec::new(), vec![0; STDERR_BYTES]);
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(chunk.get(..count).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(STDERR_BYTES));
    }
}
