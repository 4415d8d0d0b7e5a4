//! A real Slurm cluster of one node, of a test's own: on loopback ports, gone with the test. Needs root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::mark::send;
use crate::place;
use crate::wait::came_true;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Slurm {
    /// Ended in this order.
    daemons: Vec<Child>,
    folder: TempDir,
}

/// Whether Slurm and munge are installed, and may be run.
pub fn is_here() -> Option<()> {
    let programs = ["slurmctld", "slurmd", "munged", "sbatch", "setpriv"];
    let found = programs.iter().all(|name| {
        place::command(name).is_some()
            || ["/usr/sbin", "/sbin"].iter().any(|folder| Path::new(folder).join(name).is_file())
    });
    (found && place::is_root()).then_some(())
}

impl Slurm {
    pub fn start() -> Result<Slurm> {
        let mut slurm = Slurm { daemons: Vec::new(), folder: tempfile::tempdir()? };
        let folder = slurm.folder.path().to_owned();
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        for name in ["state", "spool"] {
            fs::create_dir(folder.join(name))?;
        }
        let key = folder.join("munge.key");
        fs::write(&key, uuid_like())?;
        fs::set_permissions(&key, Permissions::from_mode(0o400))?;
        fs::write(slurm.config(), configuration(&folder)?)?;
        let file = |name: &str| folder.join(name).display().to_string();
        let options = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            format!("--key-file={}", file("munge.key")),
            format!("--socket={}", file("munge.sock")),
            format!("--pid-file={}", file("munged.pid")),
            format!("--log-file={}", file("munged.log")),
            format!("--seed-file={}", file("munge.seed")),
        ];
        slurm.daemon("/usr/sbin/munged", &options.iter().map(String::as_str).collect::<Vec<_>>())?;
        ensure!(came_true(PATIENCE, || folder.join("munge.sock").exists()), "munged does not come up");
        slurm.daemon("/usr/sbin/slurmctld", &["-D", "-c"])?;
        slurm.daemon("/usr/sbin/slurmd", &["-D", "-N", "localhost"])?;
        let idle = || slurm.run("sinfo", &["-h", "-o", "%T"]).is_ok_and(|state| state.trim() == "idle");
        ensure!(came_true(PATIENCE, idle), "the node does not become idle: {}", slurm.logs());
        slurm.daemons.reverse();
        Ok(slurm)
    }

    /// The file that its commands are told by `SLURM_CONF`.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    /// The jobs in its queue as `USER STATE`.
    pub fn jobs(&self) -> Result<Vec<String>> {
        Ok(self.run("squeue", &["-h", "-o", "%u %T"])?.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Lets jobs wait, or go.
    pub fn let_jobs_start(&self, yes: bool) -> Result<()> {
        let state = if yes { "State=UP" } else { "State=DOWN" };
        self.run("scontrol", &["update", "PartitionName=main", state]).map(drop)
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(program).args(arguments).env("SLURM_CONF", self.config()).output()?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.config()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.daemons.push(command.spawn().with_context(|| program.to_owned())?);
        Ok(())
    }

    fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        ["munged.log", "slurmctld.log", "slurmd.log"].map(read).concat()
    }
}

/// Something no other test's cluster has.
fn uuid_like() -> Vec<u8> {
    let mut key = format!("{:?}{}", std::time::SystemTime::now(), std::process::id()).into_bytes();
    key.resize(1024, b'x');
    key
}

fn configuration(folder: &Path) -> Result<String> {
    let folder = folder.display();
    let (control, node) = (place::free_port()?, place::free_port()?);
    Ok(format!(
        "ClusterName=specola
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=5
NodeName=localhost NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"
    ))
}

impl Drop for Slurm {
    fn drop(&mut self) {
        if self.jobs().is_ok_and(|jobs| !jobs.is_empty()) {
            let _ = self.run("scancel", &["--partition=main"]);
            came_true(Duration::from_secs(15), || self.jobs().is_ok_and(|jobs| jobs.is_empty()));
        }
        for daemon in &mut self.daemons {
            send(daemon.id().cast_signed(), Signal::SIGTERM);
            if !came_true(Duration::from_secs(10), || matches!(daemon.try_wait(), Ok(Some(_)))) {
                let _ = daemon.kill();
            }
            let _ = daemon.wait();
        }
    }
}
