//! moto: what AWS answers, without AWS. It believes every token, and takes the keys that it gave itself.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Tools;
use crate::mark::Mark;
use crate::place;
use crate::session::Session;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Moto {
    port: u16,
    tools: Tools,
    process: Option<Child>,
    folder: TempDir,
    mark: Mark,
}

impl Moto {
    /// Starts it and waits until it answers.
    pub async fn start(tools: &Tools) -> Result<Moto> {
        let (mark, folder) = (Mark::default(), tempfile::tempdir()?);
        let mut moto = Moto { port: place::free_port()?, tools: tools.clone(), process: None, folder, mark };
        moto.come_up().await?;
        Ok(moto)
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it where it was, without anything it had.
    pub async fn come_up(&mut self) -> Result<()> {
        let mut command = Command::new(self.tools.moto_server());
        command.args(["-H", "127.0.0.1", "-p", &self.port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(self.folder.path().join("moto.log"))?);
        self.mark.put_on(&mut command);
        self.process = Some(command.spawn().context("moto_server")?);
        let mut session = Session::new(&self.endpoint())?;
        until("answer of moto", PATIENCE, async || Ok((session.get("/moto-api/").await?.status == 200).then_some(())))
            .await
    }

    /// Ends it: connections are refused.
    pub fn go_down(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// What it was asked, a line a request.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("moto.log")).unwrap_or_default()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.go_down();
    }
}
