//! MinIO, where a machine has it: `SPECOLA_MINIO` names the program. It verifies tokens by the provider's keys, and judges
//! requests by the policy that a claim of the person names.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::mark::Mark;
use crate::place;
use crate::session::Session;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// The claim that names a policy.
const CLAIM: &str = "policy";

pub struct Minio {
    port: u16,
    process: Child,
    folder: TempDir,
    _mark: Mark,
}

/// None where no program is named.
pub fn minio() -> Option<PathBuf> {
    std::env::var_os("SPECOLA_MINIO").map(PathBuf::from).filter(|path| path.is_file())
}

impl Minio {
    /// Starts it and waits until it answers. It takes tokens of the provider that are for the client.
    pub async fn start(program: &Path, issuer: &str, client: &str) -> Result<Minio> {
        let (mark, folder, port) = (Mark::default(), tempfile::tempdir()?, place::free_port()?);
        let said = File::create(folder.path().join("minio.log"))?;
        let mut command = Command::new(program);
        command.args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")]).arg(folder.path().join("data"));
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).env("MINIO_BROWSER", "off");
        command.env("HOME", folder.path()).env("CI", "true");
        command.env("MINIO_IDENTITY_OPENID_CONFIG_URL", format!("{issuer}/.well-known/openid-configuration"));
        command.env("MINIO_IDENTITY_OPENID_CLIENT_ID", client).env("MINIO_IDENTITY_OPENID_CLAIM_NAME", CLAIM);
        mark.put_on(&mut command);
        let process = command.spawn().with_context(|| program.display().to_string())?;
        let minio = Minio { port, process, folder, _mark: mark };
        let mut session = Session::new(&minio.endpoint())?;
        let answers = until("answer of MinIO", PATIENCE, async || {
            Ok((session.get("/minio/health/ready").await?.status == 200).then_some(()))
        });
        answers.await.with_context(|| minio.log())?;
        Ok(minio)
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("minio.log")).unwrap_or_default()
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
