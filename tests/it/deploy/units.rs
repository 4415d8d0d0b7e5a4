//! The units of `deploy/systemd`, run by a real systemd: in a container whose programs are those of this machine.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tests::{Session, need, place, until};

use super::{base, docker, file};

const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a long one of their own";
/// The machine's `/usr` with a layer above it that may be written. A name of the machine's own tells systemd that it is not
/// there for the first time: it would turn on whatever is installed.
const BOOT: &str = "set -e
mkdir -p /run/usr/upper /run/usr/work
mount -t overlay overlay -o lowerdir=/machine/usr,upperdir=/run/usr/upper,workdir=/run/usr/work /usr
echo 5ec01a5ec01a5ec01a5ec01a5ec01a5e >/etc/machine-id
mount -o remount,rw /sys/fs/cgroup 2>/dev/null || true
exec /usr/lib/systemd/systemd --unit=basic.target";

/// A machine with systemd. All of it goes when it is dropped.
struct Machine {
    name: String,
    folder: TempDir,
}

impl Machine {
    async fn boot(base: &str) -> Result<Machine> {
        let machine = Machine { name: format!("specola-units-{}", place::free_port()?), folder: tempfile::tempdir()? };
        let lent = |from: &Path, to: &str| format!("--volume={}:{to}:ro", from.display());
        let program = place::binary()?;
        let mut arguments = vec!["run".to_owned(), "--detach".to_owned(), format!("--name={}", machine.name)];
        // What systemd needs to mount and to make groups of processes, and the hub to look after those of others.
        arguments.extend(["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"].map(|right| format!("--cap-add={right}")));
        arguments.extend(["seccomp", "apparmor"].map(|what| format!("--security-opt={what}=unconfined")));
        arguments.extend(
            ["--cgroupns=private", "--tmpfs=/run", "--tmpfs=/tmp", "--env=container=docker"].map(str::to_owned),
        );
        arguments.extend([
            lent(Path::new("/usr"), "/machine/usr"),
            lent(&file(""), "/repository"),
            lent(program.parent().context("a folder")?, "/program"),
        ]);
        arguments.extend([base, "sh", "-c", BOOT].map(str::to_owned));
        docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        let up = until("systemd", PATIENCE, async || {
            Ok(machine.says("systemctl is-active basic.target").is_ok_and(|state| state == "active").then_some(()))
        });
        up.await.with_context(|| docker(&["logs", &machine.name]).unwrap_or_default())?;
        Ok(machine)
    }

    /// What a line of shell says, as root there.
    fn says(&self, line: &str) -> Result<String> {
        docker(&["exec", &self.name, "sh", "-c", line])
    }

    fn address(&self) -> Result<String> {
        docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &self.name])
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let from = self.folder.path().join("text");
        fs::write(&from, text)?;
        docker(&["cp", &from.display().to_string(), &format!("{}:{path}", self.name)]).map(drop)
    }

    fn install(&self, more: &str) -> Result<String> {
        self.says(&format!("/repository/deploy/systemd/install.sh --binary /program/specola {more} 2>&1"))
            .with_context(|| self.journal())
    }

    fn main_process(&self, unit: &str) -> Result<String> {
        self.says(&format!("systemctl show --property MainPID --value {unit}"))
    }

    /// Rights and user of a unit's main process.
    fn rights(&self, unit: &str) -> Result<String> {
        let process = self.main_process(unit)?;
        self.says(&format!("stat -c %U /proc/{process}; grep ^CapEff /proc/{process}/status | cut -f2"))
    }

    fn journal(&self) -> String {
        self.says("journalctl --no-pager -n 200 -u specola -u specola-proxy").unwrap_or_default()
    }

    /// A browser that believes the certificate which the proxy made.
    fn browser(&self) -> Result<Session> {
        let pem = self.says("cat /var/lib/specola/proxy/self-signed.crt")?;
        let path = self.folder.path().join("proxy.crt");
        fs::write(&path, pem)?;
        Session::trusting(&format!("https://{}", self.address()?), &path)
    }

    /// Waits until the hub answers through the proxy.
    async fn answers(&self) -> Result<()> {
        let answers = until("answer of the hub", PATIENCE, async || {
            let Ok(mut browser) = self.browser() else { return Ok(None) };
            let answer = browser.get("/hub/api").await;
            Ok(answer.ok().filter(|answer| answer.status == 200).map(drop))
        });
        answers.await.with_context(|| self.journal())
    }

    fn add(&self, name: &str) -> Result<()> {
        let specola = "SPECOLA_CONFIG=/etc/specola/specola.toml specola user";
        self.says(&format!("{specola} add {name} --admin"))?;
        let mut command = Command::new("docker");
        command.args(["exec", "--interactive", &self.name, "sh", "-c", &format!("{specola} password {name}")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("its input")?.write_all(format!("{PASSWORD}\n").as_bytes())?;
        ensure!(child.wait()?.success(), "no password was set");
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

/// What the lab of ada says of itself.
async fn lab(browser: &mut Session) -> Result<Value> {
    browser.get("/user/ada/").await?.expect(&[200])?.json()
}

#[tokio::test]
async fn labs_outlive_hub_and_proxy_as_systemd_restarts_them() -> Result<()> {
    let base = need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_DOCKER");
    let systemd = Path::new("/usr/lib/systemd/systemd").exists().then_some(());
    need!(systemd, "systemd", "SPECOLA_REQUIRE_DOCKER");
    let machine = Machine::boot(&base).await?;

    // As it comes along, but for the address of an engine that is not here: nothing of it is root's.
    machine.says("groupadd --system docker && useradd --create-home ada && mkdir -p /etc/specola")?;
    let shipped = fs::read_to_string(file("deploy/systemd/specola.toml"))?;
    let public = format!("public_url = \"https://{}\"", machine.address()?);
    let own = shipped.replace("172.17.0.1", "127.0.0.1").replace("#public_url = \"https://hub.example.org\"", &public);
    ensure!(own.contains(&public), "{own}");
    machine.write("/etc/specola/specola.toml", &own)?;
    machine.install("")?;
    machine.answers().await?;
    assert_eq!(machine.rights("specola")?, "specola\n0000000000000000");
    assert_eq!(machine.rights("specola-proxy")?, "specola\n0000000000000400", "ports below 1024, and nothing else");
    machine.add("ada")?;

    // With labs that are processes of the machine.
    let labs = "driver = \"local\"\ncmd = [\"python3\", \"/repository/tests/labs/quick.py\"]";
    machine.write("/etc/specola/specola.toml", &own.replace("driver = \"docker\"", labs))?;
    machine.install("--local-labs")?;
    machine.says("systemctl restart specola-proxy")?;
    machine.answers().await?;
    let mut browser = machine.browser()?;
    browser.log_in("ada", PASSWORD).await?.expect(&[302, 303])?;
    browser.start_server("ada").await.with_context(|| machine.journal())?;
    let before = lab(&mut browser).await?;
    assert_eq!(before["uid"].to_string(), machine.says("id -u ada")?, "{before}");

    let hub = machine.main_process("specola")?;
    machine.says("systemctl restart specola")?;
    assert_ne!(machine.main_process("specola")?, hub);
    assert_eq!(lab(&mut browser).await?, before, "the lab is reached meanwhile");
    machine.answers().await?;
    browser.server_ready("ada").await?;
    machine.says("systemctl restart specola-proxy")?;
    machine.answers().await?;
    assert_eq!(lab(&mut browser).await?, before);
    // The installed program takes over, and nothing is refused.
    let proxy = machine.main_process("specola-proxy")?;
    machine.says("systemctl kill --signal USR2 --kill-whom=main specola-proxy")?;
    until("another proxy", PATIENCE, async || {
        assert_eq!(lab(&mut browser).await?, before);
        Ok((machine.main_process("specola-proxy")? != proxy).then_some(()))
    })
    .await
    .with_context(|| machine.journal())?;
    machine.says("systemctl stop specola specola-proxy && systemctl start specola specola-proxy")?;
    machine.answers().await?;
    browser.server_ready("ada").await?;
    assert_eq!(lab(&mut browser).await?, before, "the same lab, after both were away");

    assert_eq!(machine.says("systemctl is-active specola specola-proxy")?, "active\nactive");
    browser.stop_server("ada").await?;
    let left = machine.says("pgrep -u ada || echo none")?;
    assert_eq!(left, "none");
    Ok(())
}
