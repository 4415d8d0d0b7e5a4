//! A real Docker engine: where hubs put their labs in containers, all of which go in the end.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::place;
use crate::specola::Options;

/// What one test makes on the engine, known by the beginning of its names.
pub struct Engine {
    /// The first part of the names of containers and volumes.
    pub prefix: String,
    image: String,
}

/// The image with Python that tests start labs from.
pub fn image() -> Option<String> {
    std::env::var("SPECOLA_DOCKER_IMAGE").ok().filter(|image| !image.is_empty())
}

/// The image with JupyterLab.
pub fn lab_image() -> Option<String> {
    std::env::var("SPECOLA_LAB_IMAGE").ok().filter(|image| !image.is_empty())
}

/// The image `lab` as `images/build` makes it, where it was made.
pub fn built_lab() -> Option<String> {
    let name = std::env::var("SPECOLA_BUILT_LAB").unwrap_or_else(|_| "specola-test/lab:latest".to_owned());
    docker(&["image", "inspect", "--format", "{{.Id}}", &name]).ok().map(|_| name)
}

/// The lab agent as a static program, taken out of that image. The file goes when it is dropped.
pub fn static_agent() -> Option<tempfile::TempPath> {
    let made = docker(&["create", &built_lab()?]).ok()?;
    let file = tempfile::NamedTempFile::new().ok()?.into_temp_path();
    let copied = docker(&["cp", &format!("{made}:/usr/local/bin/specola-lab-agent"), &file.display().to_string()]);
    docker(&["rm", &made]).ok()?;
    copied.ok().map(|_| file)
}

impl Engine {
    /// Labs are started from this image.
    pub fn new(image: &str) -> Engine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Engine { prefix: format!("hub-test-{}-{number}", std::process::id()), image: image.to_owned() }
    }

    /// A hub that containers reach, with containers for labs and a volume for each home.
    pub fn options(&self) -> Result<Options> {
        Ok(self.options_at(&gateway()?))
    }

    /// The same for an engine whose containers reach this machine at an address.
    pub fn options_at(&self, gateway: &str) -> Options {
        let labs = place::package().join("labs").display().to_string();
        Options::default()
            .set("hub", "hub_ip", &format!("{gateway:?}"))
            .set("spawner", "driver", "\"docker\"")
            .set("spawner", "cmd", "[\"python3\", \"/labs/quick.py\"]")
            .set("spawner", "start_timeout", "60")
            .set("spawner", "http_timeout", "60")
            .set("spawner.docker", "image", &format!("{:?}", self.image))
            .set("spawner.docker", "prefix", &format!("{:?}", self.prefix))
            .set("spawner.docker", "pull_policy", "\"never\"")
            .set("spawner.docker", "stop_timeout", "5")
            .set("spawner.docker", "user", "\"1000:1000\"")
            .set("spawner.docker.volumes", &format!("\"{}-home-{{username}}\"", self.prefix), "\"/home/jovyan\"")
            .set("spawner.docker.read_only_volumes", &format!("{labs:?}"), "\"/labs\"")
    }

    /// The name of a person's container.
    pub fn container(&self, user: &str) -> String {
        format!("{}-{user}", self.prefix)
    }

    /// The names of all containers.
    pub fn containers(&self) -> Result<Vec<String>> {
        self.names("ps", &["-a", "--format", "{{.Names}}"])
    }

    fn names(&self, what: &str, rest: &[&str]) -> Result<Vec<String>> {
        let filter = format!("name={}-", self.prefix);
        let names = docker(&[&[what], rest, &["--filter", &filter]].concat())?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for name in self.containers().unwrap_or_default() {
            let _ = try_docker(&["rm", "-fv", &name]);
        }
        for name in self.names("volume", &["ls", "--format", "{{.Name}}"]).unwrap_or_default() {
            let _ = try_docker(&["volume", "rm", &name]);
        }
    }
}

/// A port of a container's own loopback address that leads to one of this machine's.
pub struct Passage(JoinHandle<()>);

impl Passage {
    /// Opens it, until it is dropped or the container ends.
    pub fn into(container: &str, port: u16, here: u16) -> Result<Passage> {
        let process = docker(&["inspect", "--format", "{{.State.Pid}}", container])?;
        let network = File::open(format!("/proc/{process}/ns/net"))?;
        // A thread of its own enters the container's network; the socket that it makes stays there.
        let made = std::thread::spawn(move || -> Result<TcpListener> {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = tokio::net::TcpListener::from_std(made.join().map_err(|_| anyhow!("no listener"))??)?;
        Ok(Passage(tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, here)).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        })))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The address of this machine on the bridge: what the engine tells, or the first of its network, which it takes.
pub fn gateway() -> Result<String> {
    let format = "{{with index .IPAM.Config 0}}{{.Gateway}} {{.Subnet}}{{end}}";
    let told = docker(&["network", "inspect", "bridge", "--format", format])?;
    let mut words = told.split_whitespace().rev();
    let subnet = words.next().context("a bridge without a network")?;
    if let Some(gateway) = words.next() {
        return Ok(gateway.to_owned());
    }
    let first = subnet.split('/').next().unwrap_or_default().parse::<Ipv4Addr>()?;
    Ok(Ipv4Addr::from(u32::from(first) + 1).to_string())
}

/// What Docker's own client says.
pub fn docker(arguments: &[&str]) -> Result<String> {
    let output = try_docker(arguments)?;
    ensure!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn try_docker(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new("docker").args(arguments).output()?)
}
