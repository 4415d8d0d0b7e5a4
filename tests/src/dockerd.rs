//! A Docker engine of a test's own, which can be killed and started again without harm to others: its own containerd,
//! folders, bridge and address, reached on a socket and over TLS.
//!
//! The tests of the driver have this file too, so it uses nothing else of this package.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// What is in the image that `lend` makes: links to what a container is lent of this machine.
const LINKS: [(&str, &str); 3] = [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// The image without a program of its own.
pub const LENT: &str = "lent:latest";

/// The engine.
pub struct Dockerd {
    /// The address of this machine on the bridge of its containers.
    pub gateway: String,
    bridge: String,
    port: u16,
    folder: TempDir,
    containerd: Option<Child>,
    engine: Option<Child>,
    /// Whether containers live on while the engine does not.
    pub live_restore: bool,
}

impl Dockerd {
    /// Starts it and waits until it answers.
    pub fn start(live_restore: bool) -> Result<Dockerd> {
        Dockerd::on(live_restore, None)
    }

    /// One that keeps all that it has on a disk of so many megabytes.
    pub fn small(megabytes: u32) -> Result<Dockerd> {
        Dockerd::on(true, Some(megabytes))
    }

    fn on(live_restore: bool, megabytes: Option<u32>) -> Result<Dockerd> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_mul(7).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % 250;
        let gateway = format!("10.213.{number}.1");
        let folder = tempfile::Builder::new().prefix("dockerd").tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let bridge = format!("hubtest{number}");
        let mut own = Dockerd { gateway, bridge, port, folder, containerd: None, engine: None, live_restore };
        own.certify()?;
        run("ip", &["link", "add", "name", &own.bridge, "type", "bridge"])?;
        run("ip", &["address", "add", &format!("{}/24", own.gateway), "dev", &own.bridge])?;
        run("ip", &["link", "set", &own.bridge, "up"])?;
        if let Some(megabytes) = megabytes {
            fs::create_dir(own.path("data"))?;
            run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}M"), "tmpfs", &own.text("data")])?;
        }
        // A containerd of its own that outlives it, as on a machine with a service manager.
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n",
            own.path("containerd"),
            own.path("containerd-state"),
            own.path("containerd.sock")
        );
        fs::write(own.path("containerd.toml"), config)?;
        own.containerd = Some(own.daemon("containerd", &["--config", &own.text("containerd.toml")])?);
        own.come_up()?;
        Ok(own)
    }

    /// Where it is reached without TLS.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Where it is reached with the certificates `ca.pem`, `cert.pem` and `key.pem`.
    pub fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Fills its disk but for so many bytes, until `make_room`.
    pub fn fill(&self, but: u64) -> Result<()> {
        let mut file = File::create(self.path("data/filled"))?;
        let piece = vec![0; 64 << 10];
        while let Ok(()) = file.write_all(&piece) {}
        let size = file.metadata()?.len();
        Ok(file.set_len(size.saturating_sub(but))?)
    }

    pub fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.path("data/filled"))?)
    }

    /// Starts it where it was, with all that it had, and waits until it answers.
    pub fn come_up(&mut self) -> Result<()> {
        let (socket, tcp) = (self.socket(), self.tcp());
        let paths = ["containerd.sock", "data", "exec", "pid", "ca.pem", "engine.pem", "engine-key.pem"];
        let [containerd, data, exec, pid, ca, cert, key] = paths.map(|name| self.text(name));
        let mut arguments = vec!["--containerd", &containerd, "--data-root", &data, "--exec-root", &exec];
        arguments.extend(["--pidfile", &pid, "-H", &socket, "-H", &tcp, "--bridge", &self.bridge]);
        // What the engine of this machine has set up stays as it is.
        arguments.extend(["--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
        arguments.extend(["--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key]);
        arguments.extend(self.live_restore.then_some("--live-restore"));
        let mut process = self.daemon("dockerd", &arguments)?;
        let begun = Instant::now();
        while self.docker(&["version"]).is_err() {
            if begun.elapsed() > PATIENCE || process.try_wait()?.is_some() {
                bail!("the engine does not come up: {}", fs::read_to_string(self.path("dockerd.log"))?);
            }
            std::thread::sleep(PAUSE);
        }
        self.engine = Some(process);
        Ok(())
    }

    /// Ends it without a word.
    pub fn die(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let _ = engine.kill();
            let _ = engine.wait();
        }
    }

    /// Ends it as a service manager does.
    pub fn stop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            let _ = kill(Pid::from_raw(engine.id().cast_signed()), Signal::SIGTERM);
            let _ = engine.wait();
        }
    }

    /// What its client says.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        run("docker", &[&["-H", &self.socket()], arguments].concat())
    }

    /// The ids of its containers.
    pub fn containers(&self) -> Result<Vec<String>> {
        Ok(self.docker(&["ps", "-aq", "--no-trunc"])?.split_whitespace().map(str::to_owned).collect())
    }

    /// Makes the image `LENT`, made in no time: containers of it need the folder `/usr` of this machine.
    pub fn lend(&self) -> Result<()> {
        let root = self.path("lent");
        lay(&root)?;
        let archive = self.text("lent.tar");
        run("tar", &["-C", &root.display().to_string(), "-cf", &archive, "."])?;
        self.docker(&["import", &archive, LENT]).map(drop)
    }

    /// An authority of its own, with a certificate for the engine and one for its clients.
    fn certify(&self) -> Result<()> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        fs::write(self.path("ca.pem"), authority.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(authority, key);
        for (cert, key, names) in
            [("engine.pem", "engine-key.pem", vec!["127.0.0.1".to_owned()]), ("cert.pem", "key.pem", vec![])]
        {
            let pair = KeyPair::generate()?;
            let signed = CertificateParams::new(names)?.signed_by(&pair, &issuer)?;
            fs::write(self.path(cert), signed.pem())?;
            fs::write(self.path(key), pair.serialize_pem())?;
        }
        Ok(())
    }

    fn daemon(&self, program: &str, arguments: &[&str]) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.path(&format!("{program}.log")))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| program.to_owned())
    }

    fn clear(&mut self) -> Result<()> {
        if self.engine.is_none() {
            self.come_up()?;
        }
        for container in self.containers()? {
            self.docker(&["rm", "-fv", &container])?;
        }
        Ok(())
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("containers are left: {error:#}");
        }
        self.stop();
        if let Some(mut containerd) = self.containerd.take() {
            let _ = kill(Pid::from_raw(containerd.id().cast_signed()), Signal::SIGTERM);
            let _ = containerd.wait();
        }
        let _ = run("ip", &["link", "delete", &self.bridge]);
        for point in mounted_below(self.folder.path()).iter().rev() {
            let _ = run("umount", &["-l", point]);
        }
    }
}

/// Lays the root of an image like `LENT`.
pub fn lay(root: &Path) -> Result<()> {
    for folder in ["usr", "sbin", "tmp", "home/jovyan"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for (link, target) in LINKS {
        std::os::unix::fs::symlink(target, root.join(link))?;
    }
    Ok(())
}

fn mounted_below(folder: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| Path::new(point).starts_with(folder)).map(str::to_owned).collect()
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
