//! Several hubs on one PostgreSQL and several proxies, with haproxy between and before them as a load balancer.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::elsewhere::Elsewhere;
use crate::jupyterhub::Ground;
use crate::postgres::Postgres;
use crate::specola::Options;
use crate::{Mark, Session, Specola, place, until};

const SOON: Duration = Duration::from_secs(60);
const TOKEN: &str = "the-token-that-hubs-and-proxies-share";

/// A proxy that is to be started.
#[derive(Clone)]
pub struct Door {
    pub port: u16,
    /// What its configuration says besides, in its section `[proxy]` and after it.
    pub more: String,
}

pub struct Replicas {
    pub hubs: Vec<Specola>,
    pub proxies: Vec<Elsewhere>,
    pub database: Postgres,
    /// Where people come in: any proxy that lives.
    pub origin: String,
    /// Where proxies and scripts find the hubs: any that lives.
    hub: String,
    control: String,
    _balancer: Balancer,
    folder: TempDir,
}

impl Replicas {
    /// Starts all and waits until each proxy has its routes and each hub answers.
    pub async fn start(database: Postgres, hubs: usize, proxies: usize, options: Options) -> Result<Replicas> {
        let doors: Result<Vec<_>> =
            (0..proxies).map(|_| Ok(Door { port: place::free_port()?, more: String::new() })).collect();
        Replicas::with(database, vec![options; hubs], &doors?).await
    }

    /// The same with hubs and proxies that differ.
    pub async fn with(database: Postgres, hubs: Vec<Options>, proxies: &[Door]) -> Result<Replicas> {
        let folder = tempfile::tempdir()?;
        let token = folder.path().join("token");
        fs::write(&token, TOKEN)?;
        let secret = folder.path().join("cookie_secret");
        fs::write(&secret, "5f".repeat(32))?;
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let [front, hub, control] = [(); 3].map(|()| place::free_port());
        let (front, hub, control) = (front?, hub?, control?);
        let [hub_url, control_url] = [hub, control].map(|port| format!("http://127.0.0.1:{port}"));
        let (mut all, mut behind) = (Vec::new(), Vec::new());
        for (number, options) in hubs.into_iter().enumerate() {
            let own = folder.path().join(format!("hub{number}"));
            fs::create_dir(&own)?;
            let ground = Ground { folder: own, port: front, hub_port: place::free_port()? };
            let door = place::free_port()?;
            behind.push((ground.hub_port, door));
            let text = |path: &Path| format!("{:?}", path.display().to_string());
            let own = Options::default()
                .set("hub", "db_url", &format!("{:?}", database.url()))
                .set("hub", "cookie_secret_file", &text(&secret))
                .set("hub", "hub_connect_url", &format!("{hub_url:?}"))
                .set("proxy", "should_start", "false")
                .set("proxy", "token_file", &text(&token))
                .set("proxy", "control_address", &format!("\"127.0.0.1:{door}\""))
                .set("spawner.local", "homes_dir", &text(&folder.path().join("home")));
            all.push(Specola::on(ground, own.and(options), Mark::default()));
        }
        for hub in &mut all {
            hub.launch(&[])?;
        }
        let others = proxies
            .iter()
            .enumerate()
            .map(|(number, door)| {
                let name = format!("proxy{number}");
                Elsewhere::at(door.port, &name, folder.path(), TOKEN, &hub_url, &control_url, &door.more)
            })
            .collect::<Result<Vec<_>>>()?;
        let balancer = Balancer::start(folder.path(), [front, hub, control], &behind, &others)?;
        let replicas = Replicas {
            hubs: all,
            proxies: others,
            database,
            origin: format!("http://127.0.0.1:{front}"),
            hub: hub_url,
            control: control_url,
            _balancer: balancer,
            folder,
        };
        for number in 0..replicas.hubs.len() {
            replicas.answers(number).await?;
        }
        for proxy in &replicas.proxies {
            proxy.is_ready().await?;
        }
        until("an answer through the balancer", SOON, async || {
            Ok(Some(Session::new(&replicas.origin)?.get("/hub/api").await?.expect(&[200])?))
        })
        .await?;
        Ok(replicas)
    }

    /// Where one hub itself listens.
    pub fn hub_origin(&self, number: usize) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}", self.hubs.get(number).context("a hub of that number")?.ground.hub_port))
    }

    /// Waits until a hub answers by itself.
    pub async fn answers(&self, number: usize) -> Result<()> {
        let mut session = Session::new(&self.hub_origin(number)?)?;
        until("an answer of a hub", SOON, async || Ok(Some(session.get("/hub/api").await?.expect(&[200])?)))
            .await
            .map(drop)
            .with_context(|| self.hubs.get(number).map(Specola::log).unwrap_or_default())
    }

    /// One more proxy, or one in the place of another.
    pub fn new_proxy(&self, name: &str) -> Result<Elsewhere> {
        Elsewhere::start(name, self.folder.path(), TOKEN, &self.hub, &self.control)
    }

    /// The same at a port, with more configuration.
    pub fn proxy_at(&self, name: &str, door: &Door) -> Result<Elsewhere> {
        Elsewhere::at(door.port, name, self.folder.path(), TOKEN, &self.hub, &self.control, &door.more)
    }

    /// How many labs run, whichever hub started them.
    pub fn labs(&self) -> usize {
        self.hubs.iter().map(|hub| hub.labs().len()).sum()
    }
}

/// haproxy: asks each hub how it is, and leads to those that answer.
struct Balancer(Child);

impl Balancer {
    fn start(folder: &Path, ports: [u16; 3], hubs: &[(u16, u16)], proxies: &[Elsewhere]) -> Result<Balancer> {
        let [front, hub, control] = ports;
        let mut text = format!(
            "defaults\n timeout connect 2s\n timeout client 1h\n timeout server 1h\n option http-server-close\n option redispatch 1\n retries 10\n\
             listen people\n mode http\n bind 127.0.0.1:{front}\n"
        );
        for (number, proxy) in proxies.iter().enumerate() {
            text +=
                &format!(" server p{number} {} check inter 200ms fall 1 rise 1\n", proxy.origin.replace("http://", ""));
        }
        text += &format!("listen hubs\n mode http\n bind 127.0.0.1:{hub}\n option httpchk GET /hub/health\n");
        for (number, (port, _)) in hubs.iter().enumerate() {
            text += &format!(" server h{number} 127.0.0.1:{port} check inter 200ms fall 1 rise 1\n");
        }
        text += &format!("listen control\n mode tcp\n bind 127.0.0.1:{control}\n");
        for (number, (_, door)) in hubs.iter().enumerate() {
            text += &format!(" server c{number} 127.0.0.1:{door} check inter 200ms fall 1 rise 1\n");
        }
        let file = folder.join("haproxy.cfg");
        fs::write(&file, &text)?;
        let log = fs::File::create(folder.join("haproxy.log"))?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&file).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let balancer = Balancer(command.spawn().context("haproxy")?);
        let listens = || TcpListener::bind(("127.0.0.1", front)).is_err();
        ensure!(crate::wait::came_true(SOON, listens), "haproxy does not listen");
        Ok(balancer)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
