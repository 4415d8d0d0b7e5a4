//! Putting the parts together, and taking them apart again: the one list of what runs beside requests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hub_core::clock::{Clock, SystemClock};
use hub_core::cookie::CookieSecret;
use hub_core::scope::{Catalogue, Custom};
use hub_core::secret::Secret;
use hub_store::{OpenOptions, Store};
use spawner_local::Local;
use spawners::Spawner;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::{Config, cookie_secret};
use crate::http::url::Paths;
use crate::instance::Instance;
use crate::keeper::prepare::Recipe;
use crate::keeper::signals::Signals;
use crate::keeper::{Keeper, Settings};
use crate::login::Login;
use crate::memory::Memory;
use crate::people::Register;
use crate::task::proxy_process::ProxyProcess;
use crate::{control, task};

/// Requests in flight have this long to end when the hub stops.
const DRAIN_SECONDS: u64 = 5;
/// A proxy that said nothing for this long delays no start.
const PROXY_SILENCE: Duration = Duration::from_secs(15);
/// From the request to stop to the last means.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// So many tokens are remembered.
const TOKENS: usize = 20_000;

/// What is to end with the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shutdown {
    /// The proxy too, so that nothing answers any more.
    pub proxy: bool,
    /// People's servers too.
    pub servers: bool,
}

/// The parts, before anything runs.
pub struct Parts {
    /// What handlers use.
    pub app: Arc<App>,
    /// The proxy's process.
    pub proxy: ProxyProcess,
    /// Ends last.
    _instance: Instance,
    control_token: Secret,
    tracker: TaskTracker,
    stop: CancellationToken,
    shutdown: watch::Receiver<Option<Shutdown>>,
}

/// Opens the database and puts the parts together. Nothing listens yet.
pub async fn assemble(config: Config) -> Result<Parts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    std::fs::create_dir_all(&config.hub.data_dir)
        .with_context(|| format!("cannot make the data folder {}", config.hub.data_dir.display()))?;
    let instance = Instance::take(&config.hub.data_dir).await?;
    let store = Store::open(config.hub.database_url().expose(), OpenOptions::new(clock.now())).await?;
    let epoch = store.epoch().await?;
    let adopted_at = adopted_at(&store, clock.as_ref()).await?;
    let catalogue = catalogue(&config)?;
    crate::login::listed::sync(&store, &config.auth, clock.now()).await?;
    crate::roles::check(&config.hub, &catalogue)?;
    crate::roles::sync(&store, &config.hub, clock.now()).await?;
    let secret =
        cookie_secret::obtain(&config.hub, CookieSecret::generate(&mut rand::rng())).map_err(|text| anyhow!(text))?;
    let paths = Paths::new(config.hub.base_path().as_str());
    let driver: Arc<dyn Spawner> = Arc::new(local_driver(&config, &epoch)?);
    let (tracker, stop, signals) = (TaskTracker::new(), CancellationToken::new(), Signals::default());
    let (sender, shutdown) = watch::channel(None);
    let recipe = recipe(&config, &paths, &epoch);
    let holder = holder(&config.hub.data_dir);
    let settings = settings(&config);
    let keeper = Keeper::new(
        store.clone(),
        clock.clone(),
        driver.clone(),
        settings,
        recipe,
        holder,
        signals,
        tracker.clone(),
        stop.clone(),
    );
    store.put_route(&paths.base, &config.hub.hub_url(), &serde_json::json!({ "hub": true })).await?;
    let proxy = proxy_process(&config);
    let control_token = Secret::new(proxy.prepare()?);
    let login = Login::new(&config.auth)?;
    let site = Arc::new(site(&config, &paths)?);
    let app = App {
        people: Register::default(),
        tokens: Memory::new(TOKENS),
        config,
        paths,
        store,
        clock,
        catalogue,
        keeper,
        driver,
        login,
        cookie_secret: secret,
        site,
        adopted_at,
        shutdown: sender,
    };
    Ok(Parts { app: Arc::new(app), proxy, _instance: instance, control_token, tracker, stop, shutdown })
}

/// One name a data folder, so that a restarted hub knows its own leases.
fn holder(data_dir: &Path) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let folder = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    format!("{host}:{}", folder.display())
}

async fn adopted_at(store: &Store, clock: &dyn Clock) -> Result<hub_core::clock::Time> {
    const NAME: &str = "adopted_at";
    if let Some(text) = store.meta(NAME).await? {
        return Ok(chrono::DateTime::parse_from_rfc3339(&text).context("specola_meta.adopted_at")?.to_utc());
    }
    let now = clock.now();
    store.set_meta(NAME, &now.to_rfc3339()).await?;
    Ok(now)
}

fn catalogue(config: &Config) -> Result<Catalogue> {
    let custom = config.hub.custom_scopes.iter().map(|(name, scope)| {
        let custom = Custom { description: scope.description.clone(), subscopes: scope.subscopes.clone() };
        (name.clone(), custom)
    });
    Catalogue::new(custom.collect()).context("custom_scopes")
}

fn local_driver(config: &Config, epoch: &str) -> Result<Local> {
    let local = config.spawner.local(epoch, &config.hub.data_dir);
    Local::open(local).context("cannot open the folder of the local spawner")
}

fn settings(config: &Config) -> Settings {
    let local = &config.spawner.local;
    let stop = [local.interrupt_timeout, local.term_timeout].iter().map(|seconds| seconds.duration()).sum::<Duration>();
    Settings {
        start_timeout: config.spawner.start_timeout.duration(),
        http_timeout: config.spawner.http_timeout.duration(),
        stop_timeout: stop + STOP_GRACE,
        proxy_silence: PROXY_SILENCE,
    }
}

fn recipe(config: &Config, paths: &Paths, epoch: &str) -> Recipe {
    let spawner = &config.spawner;
    Recipe {
        hub: epoch.to_owned(),
        base_url: paths.base.clone(),
        api_url: format!("{}{}", config.hub.hub_url(), paths.hub("api")),
        public_origin: config.hub.public_url.as_ref().map(|url| url.origin().to_owned()).unwrap_or_default(),
        cmd: spawner.cmd.clone(),
        args: spawner.args.clone(),
        environment: spawner.environment.clone(),
        notebook_dir: spawner.notebook_dir.clone().unwrap_or_default(),
        default_url: spawner.default_url.clone().unwrap_or_default(),
        token_scopes: if spawner.server_token_scopes.is_empty() {
            hub_core::role::SERVER.scopes.iter().map(|scope| (*scope).to_owned()).collect()
        } else {
            spawner.server_token_scopes.clone()
        },
        client_allowed_scopes: spawner.oauth_client_allowed_scopes.clone(),
        mem_limit: spawner.mem_limit.map(|size| size.0),
        mem_guarantee: spawner.mem_guarantee.map(|size| size.0),
        cpu_limit: spawner.cpu_limit,
        cpu_guarantee: spawner.cpu_guarantee,
        debug: spawner.debug,
        disable_user_config: spawner.disable_user_config,
        local_ip: spawner.local.ip.clone(),
    }
}

/// The proxy's process, as the configuration wants it.
pub fn proxy_process(config: &Config) -> ProxyProcess {
    let proxy = &config.proxy;
    let seconds = |name: &str, value: crate::config::unit::Seconds| format!("--{name}={}", value.0);
    let mut arguments = vec![
        format!("--max-connections={}", proxy.max_connections),
        format!("--header-bytes={}", proxy.header_bytes.0),
        format!("--pool-size={}", proxy.pool_size),
        seconds("header-timeout", proxy.header_timeout),
        seconds("connect-timeout", proxy.connect_timeout),
        seconds("pool-idle", proxy.pool_idle),
        seconds("upload-idle", proxy.upload_idle),
        seconds("route-grace", proxy.route_grace),
        seconds("hub-wait", proxy.hub_wait),
        seconds("drain-timeout", proxy.drain_timeout),
        seconds("activity-interval", proxy.activity_interval),
    ];
    arguments.extend(config.hub.trusted_downstream_ips.iter().map(|ip| format!("--trusted-proxy={ip}")));
    let folder = config.hub.data_dir.join("proxy");
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    ProxyProcess { folder, listen: config.hub.bind_url.listen(), default_target: config.hub.hub_url(), arguments }
}

fn site(config: &Config, paths: &Paths) -> Result<pages::Site> {
    let wanted = &config.pages;
    let link = |path: &str| pages::Href::parse(path).map_err(|error| anyhow!("{error}"));
    let footer = |link_config: &crate::config::pages::LinkConfig| {
        Ok(pages::Link::new(link_config.text.clone(), link(&link_config.url)?))
    };
    Ok(pages::Site {
        name: wanted.name.clone(),
        logo: wanted.logo_file.as_ref().map(|_| link(&paths.hub("logo"))).transpose()?,
        accent: wanted.accent.as_deref().map(pages::Accent::parse).transpose().map_err(|error| anyhow!("{error}"))?,
        base_url: link(&paths.hub)?,
        prefix: link(&paths.base)?,
        footer_links: wanted.footer_links.iter().map(footer).collect::<Result<_>>()?,
        extra_css: wanted.extra_css_file.as_ref().map(|_| link(&paths.hub("extra.css"))).transpose()?,
    })
}

impl Parts {
    /// Serves until a signal or `POST /shutdown`. `announce` is called once everything answers.
    pub async fn run(self, announce: impl FnOnce(&App)) -> Result<()> {
        let Parts { app, proxy, _instance, control_token, tracker, stop, mut shutdown } = self;
        let control = control::serve(app.clone(), control_token, &proxy.control_socket()).await?;
        let (control_handle, control_task) = (control.handle(), tokio::spawn(control));
        let hub = crate::http::server::serve(app.clone(), DRAIN_SECONDS)?;
        let (hub_handle, mut hub_task) = (hub.handle(), tokio::spawn(hub));
        tracker.spawn(app.keeper.clone().run());
        let period = app.config.spawner.poll_interval.duration();
        tracker.spawn(task::survey::run(app.clone(), period.max(Duration::from_secs(1)), stop.clone()));
        tracker.spawn(task::cleanup::run(app.clone(), stop.clone()));
        if app.config.proxy.should_start {
            let status = proxy.ensure().await?;
            tracing::debug!(pid = status.pid, "proxy");
            let (proxy, stop) = (proxy.clone(), stop.clone());
            tracker.spawn(async move { proxy.watch(stop).await });
        }
        announce(&app);
        let how = tokio::select! {
            how = signal() => how?,
            how = shutdown.wait_for(Option::is_some) => how.ok().and_then(|how| *how).unwrap_or_default(),
            ended = &mut hub_task => {
                ended.context("the hub's server")?.context("the hub's server")?;
                Shutdown::default()
            }
        };
        tracing::info!(proxy = how.proxy, servers = how.servers, "stopping the hub");
        if how.servers {
            stop_servers(&app).await;
        }
        stop.cancel();
        tracker.close();
        hub_handle.stop(true).await;
        control_handle.stop(false).await;
        let _ = tokio::time::timeout(STOP_GRACE, tracker.wait()).await;
        let _ = control_task.await;
        if how.proxy && app.config.proxy.should_start {
            proxy.stop().await;
        }
        app.store.close().await;
        Ok(())
    }
}

/// SIGTERM and SIGHUP stop the hub alone: open notebooks go on, and a new hub takes over. A second one within
/// half a second, or SIGINT from a terminal, takes the proxy with it.
async fn signal() -> Result<Shutdown> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => return Ok(Shutdown { proxy: true, servers: false }),
    }
    // A second signal close behind the first.
    let again = tokio::time::timeout(Duration::from_millis(500), terminate.recv()).await.is_ok();
    Ok(Shutdown { proxy: again, servers: false })
}

async fn stop_servers(app: &App) {
    let servers = match app.store.active_servers().await {
        Ok(servers) => servers,
        Err(error) => {
            tracing::error!("servers are left running: {error}");
            return;
        }
    };
    for server in &servers {
        if let Err(problem) = crate::intent::want_stopped(app, server).await {
            tracing::error!(user = server.user_name, server = server.name, "left running: {problem}");
        }
    }
    // One deadline for all: they stop side by side.
    let local = &app.config.spawner.local;
    let patience = local.interrupt_timeout.duration() + local.term_timeout.duration() + STOP_GRACE;
    let deadline = tokio::time::Instant::now() + patience;
    for server in &servers {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match crate::intent::wait_at_most(app, server.id, crate::intent::Until::Stopped, left).await {
            Ok(true) => {}
            Ok(false) => tracing::error!(user = server.user_name, server = server.name, "did not stop in time"),
            Err(problem) => tracing::error!(user = server.user_name, server = server.name, "{problem}"),
        }
    }
}
