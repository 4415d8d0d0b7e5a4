//! Putting the parts together. `run` sets them going.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hub_core::clock::{Clock, SystemClock};
use hub_core::cookie::CookieSecret;
use hub_core::scope::{Catalogue, Custom};
use hub_core::secret::Secret;
use sha2::{Digest, Sha256};
use spawner_docker::Docker;
use spawner_external::External;
use spawner_kubernetes::Kubernetes;
use spawner_local::Local;
use spawners::{OwnSite, Site, Sites, Spawner};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::spawner::{Driver, LocalMode};
use crate::config::{CRYPT_KEY, Config, SpawnerConfig, cookie_secret};
use crate::control::site::Ways;
use crate::folders::volumes::Volumes;
use crate::hook::Hooks;
use crate::http::url::Paths;
use crate::instance::{self, Instance};
use crate::internal_ssl::{self, InternalSsl};
use crate::keeper::devices::DeviceSettings;
use crate::keeper::folders::{Layout, Owner};
use crate::keeper::prepare::Recipe;
use crate::keeper::signals::Signals;
use crate::keeper::{Keeper, Settings};
use crate::login::Login;
use crate::memory::Memory;
use crate::mounts::Mounts;
use crate::opening::{self, Opened};
use crate::people::Register;
use crate::run::Shutdown;
use crate::task::proxy_process::ProxyProcess;
use crate::task::replicas::{self, Place};
use crate::task::seen::Seen;

/// A proxy that said nothing for this long delays no start.
const PROXY_SILENCE: Duration = Duration::from_secs(15);
/// From the request to stop to the last means.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// So many people can follow the admin panel at a time.
const WATCHERS: usize = 64;

/// So many tokens are remembered.
const TOKENS: usize = 20_000;

/// The parts, before anything runs.
pub struct Parts {
    pub(crate) begun: Instant,
    /// What handlers use.
    pub app: Arc<App>,
    /// The proxy's process.
    pub proxy: ProxyProcess,
    /// Ends last.
    pub(crate) instance: Instance,
    /// Among the hubs of the same database.
    pub(crate) place: Place,
    pub(crate) control_token: Secret,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) shutdown: watch::Receiver<Option<(Shutdown, crate::audit::Actor)>>,
    /// Where the start had to wait, and listened meanwhile.
    pub(crate) signals: Option<crate::run::Signals>,
}

/// Opens the database and puts the parts together. Nothing listens yet. `None` when the process was told to stop while it
/// waited for the database.
pub async fn assemble(config: Config) -> Result<Option<Parts>> {
    crate::metrics::begin(&crate::config::environment::of_process())?;
    crate::events::begin(&config.events)?;
    let begun = Instant::now();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    std::fs::create_dir_all(&config.hub.data_dir)
        .with_context(|| format!("cannot make the data folder {}", config.hub.data_dir.display()))?;
    let instance = Instance::take(&config.hub.data_dir).await?;
    let holder = instance::holder(&config.hub.data_dir)?;
    let internal_ssl = InternalSsl::open(&config, clock.clone())?;
    let proxy = proxy_process(&config);
    let control_token = Secret::new(proxy.prepare()?);
    let proxy_proof = Secret::new(specola_proxy::wire::proof(control_token.expose()));
    let secret =
        cookie_secret::obtain(&config.hub, CookieSecret::generate(&mut rand::rng())).map_err(|text| anyhow!(text))?;
    let elsewhere = config.proxy.control_address.as_ref().map(|_| &proxy_proof);
    let authorities = internal_ssl.as_ref().map(|ssl| ssl.fingerprint());
    let mut shared = replicas::shared(&secret, elsewhere, authorities.as_ref());
    shared["sites"] = replicas::sites(&config.sites);
    let place = Place::new(&holder, shared, clock.now());
    let catalogue = catalogue(&config)?;
    let mut paths = Paths::new(config.hub.base_path().as_str());
    paths.hosts = config.hub.hosts();
    crate::roles::check(&config.hub, &catalogue)?;
    crate::service::sync::check(&config.hub, &catalogue)?;
    let Some(opened) = opening::open(&config, &paths, clock.as_ref(), &place).await? else { return Ok(None) };
    let Opened { store, epoch, adopted_at, announcements, sites, signals: listening } = opened;
    let by_site = by_site(&config, &epoch)?;
    if let Some(by_site) = &by_site {
        let by_site = by_site.clone();
        sites.tell(move |lost, known| by_site.give_up_only(lost, known)).await;
    }
    let bare = match &by_site {
        Some(sites) => Arc::new(sites.clone()) as Arc<dyn Spawner>,
        None => {
            let section = format!("spawner.{}", config.spawner.driver.as_str());
            driver(&config, &config.spawner, None, &epoch, &section)?
        }
    };
    let mounts = Mounts::new(&config, &epoch, bare.clone(), clock.clone())?;
    let driver = mounts.as_ref().map_or(bare, |mounts| Arc::new(mounts.driver.clone()) as Arc<dyn Spawner>);
    let (rules, volumes) = (config.rules()?, Volumes::of(&config));
    let (tracker, stop, signals) = (TaskTracker::new(), CancellationToken::new(), Signals::default());
    let (sender, shutdown) = watch::channel(None);
    let mut recipe = recipe(&config, &paths, &epoch);
    recipe.ways = Arc::new(Ways::of(&config).showing(proxy_proof.clone()));
    let hooks = Arc::new(hooks(&config)?);
    let mut settings = settings(&config, hooks.clone());
    settings.internal_ssl.clone_from(&internal_ssl);
    let keeper = Keeper::new(
        store.clone(),
        clock.clone(),
        driver.clone(),
        settings,
        recipe,
        holder.clone(),
        signals,
        tracker.clone(),
        stop.clone(),
    );
    let login = Login::new(&config.auth)?.with_hooks(&config.hooks);
    let site = Arc::new(site(&config, &paths)?);
    let storage = crate::storage::Storages::new(&config.storage, tracker.clone())?;
    let app = App {
        people: Register::default(),
        tokens: Memory::new(TOKENS),
        seen: Seen::default(),
        rules,
        config,
        paths,
        store,
        clock,
        proofs: crate::http::proof::Proofs::default(),
        services: crate::service::board::Board::default(),
        announcements,
        sites,
        proxy_proof,
        watchers: Arc::new(tokio::sync::Semaphore::new(WATCHERS)),
        leaving: false.into(),
        holder,
        catalogue,
        keeper,
        driver,
        by_site,
        login,
        upstream: crate::upstream::Broker::new(tracker.clone(), stop.clone()),
        storage,
        mounts,
        volumes,
        labs: crate::labs::Labs::default(),
        hooks,
        cookie_secret: secret,
        internal_ssl,
        site,
        adopted_at,
        shutdown: sender,
    };
    let app = Arc::new(app);
    app.upstream.begin(&app);
    if let Some(mounts) = &app.mounts {
        mounts.begin(&app);
    }
    Ok(Some(Parts { begun, app, proxy, instance, place, control_token, tracker, stop, shutdown, signals: listening }))
}

fn catalogue(config: &Config) -> Result<Catalogue> {
    let custom = config.hub.custom_scopes.iter().map(|(name, scope)| {
        let custom = Custom { description: scope.description.clone(), subscopes: scope.subscopes.clone() };
        (name.clone(), custom)
    });
    Catalogue::new(custom.collect()).context("custom_scopes")
}

/// A driver for each site; `None` where there are none.
fn by_site(config: &Config, epoch: &str) -> Result<Option<Sites>> {
    if !config.has_sites() {
        return Ok(None);
    }
    let all = config.sites.iter().enumerate().map(|(index, site)| {
        let own = OwnSite { name: site.name.clone(), first: index == 0 };
        let section = format!("sites[{index}].spawner");
        let driver = driver(config, site.spawner_of(config), Some(own), epoch, &section)?;
        Ok(Site { name: site.name.clone(), shown: site.shown().to_owned(), driver })
    });
    Ok(Sites::new(all.collect::<Result<_>>()?, config.hub.site.as_deref()))
}

/// The driver of these options; `section` is where they are written.
fn driver(
    config: &Config,
    spawner: &SpawnerConfig,
    site: Option<OwnSite>,
    epoch: &str,
    section: &str,
) -> Result<Arc<dyn Spawner>> {
    let wrong = |what: String| anyhow!("{section}: {what}");
    Ok(match spawner.driver {
        Driver::Local => Arc::new(local_driver(config, epoch)?),
        Driver::Docker => {
            let settings = spawner_docker::Config { site, ..spawner.docker.driver(epoch) };
            Arc::new(Docker::new(settings).map_err(wrong)?)
        }
        Driver::Kubernetes => {
            let mut settings = spawner.kubernetes.driver(epoch);
            settings.internal_ssl = config.hub.internal_ssl;
            settings.site = site;
            settings.start_timeout = Some(spawner.start_timeout.duration());
            Arc::new(Kubernetes::new(settings).map_err(wrong)?)
        }
        Driver::External => {
            let callout = spawner.external.callout().with_context(|| format!("{section} names nobody to ask"))?;
            Arc::new(External::new(epoch, callout))
        }
    })
}

fn local_driver(config: &Config, epoch: &str) -> Result<Local> {
    let local = config.spawner.local(epoch, &config.hub.data_dir);
    Local::open(local).context("cannot open the folder of the local spawner")
}

fn hooks(config: &Config) -> Result<Hooks> {
    let keys = config.crypt_keys.as_ref().map(Secret::expose);
    let hooks = Hooks::new(&config.hooks, keys).context(CRYPT_KEY)?;
    if config.auth.enable_auth_state && !hooks.auth_states.has_key() {
        return Err(anyhow!("auth.enable_auth_state needs a key: set {CRYPT_KEY}, such as by `openssl rand -hex 32`"));
    }
    Ok(hooks)
}

pub(crate) fn settings(config: &Config, hooks: Arc<Hooks>) -> Settings {
    let stop = |spawner: &SpawnerConfig| match spawner.driver {
        Driver::Local => spawner.local.interrupt_timeout.duration() + spawner.local.term_timeout.duration(),
        Driver::Docker => spawner.docker.stop_timeout.duration(),
        Driver::Kubernetes => spawner.kubernetes.delete_grace_period.duration(),
        Driver::External => spawner.external.timeout.duration(),
    };
    let stop = config.spawners().into_iter().map(stop).max().unwrap_or_default();
    Settings {
        internal_ssl: None,
        start_timeout: config.spawner.start_timeout.duration(),
        http_timeout: config.spawner.http_timeout.duration(),
        stop_timeout: stop + STOP_GRACE,
        proxy_silence: PROXY_SILENCE,
        hooks,
        layout: Arc::new(layout(config)),
        devices: DeviceSettings {
            known: Arc::new(config.spawner.devices.clone()),
            timeout: Some(config.spawner.device_timeout.duration()).filter(|timeout| !timeout.is_zero()),
        },
    }
}

fn layout(config: &Config) -> Layout {
    let root = nix::unistd::Uid::effective().is_root();
    let owner = match (config.spawner.driver, config.spawner.local.mode) {
        (Driver::Local, Some(LocalMode::Folders)) => Owner::Hub,
        (Driver::Local, None) if !root => Owner::Hub,
        (Driver::Local, _) => Owner::Account,
        _ => Owner::Image,
    };
    let offers = config.storage.iter().cloned().map(crate::storage::Offer::new).collect();
    Layout {
        folders: config.folders.clone(),
        mounts: config.spawner.mounts.clone(),
        offers,
        owner,
        volumes: Volumes::of(config),
    }
}

pub(crate) fn recipe(config: &Config, paths: &Paths, epoch: &str) -> Recipe {
    let spawner = &config.spawner;
    Recipe {
        hub: epoch.to_owned(),
        paths: paths.clone(),
        api_url: format!("{}{}", config.hub.hub_url(), paths.hub("api")),
        public_origin: config.hub.public_url.as_ref().map(|url| url.origin().to_owned()).unwrap_or_default(),
        cmd: spawner.cmd.clone(),
        args: spawner.args.clone(),
        environment: spawner.environment.clone(),
        notebook_dir: spawner.notebook_dir.clone().unwrap_or_default(),
        default_url: spawner.default_url.clone().unwrap_or_default(),
        token_scopes: spawner.server_token_scopes.clone(),
        client_allowed_scopes: spawner.oauth_client_allowed_scopes.clone(),
        mem_limit: spawner.mem_limit.map(|size| size.0),
        mem_guarantee: spawner.mem_guarantee.map(|size| size.0),
        cpu_limit: spawner.cpu_limit,
        cpu_guarantee: spawner.cpu_guarantee,
        debug: spawner.debug,
        disable_user_config: spawner.disable_user_config,
        local_ip: spawner.local.ip.clone(),
        oidc_environment: spawner.oidc_environment.clone(),
        tokens_in_shared_servers: config.auth.tokens_in_shared_servers,
        provider: match config.auth.providers.as_slice() {
            [only] => Some(only.name.clone()),
            _ => None,
        },
        storage: config.storage.iter().cloned().map(crate::storage::Offer::new).collect(),
        collaboration: config.collaboration.clone(),
        ways: Arc::new(Ways::of(config)),
        chosen: hub_core::policy::Resolved::default(),
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
        seconds("stall-timeout", proxy.stall_timeout),
        seconds("tls-handshake-timeout", proxy.tls_handshake_timeout),
        seconds("websocket-handshake-timeout", proxy.websocket_handshake_timeout),
        format!("--connections-per-address={}", proxy.connections_per_address),
        format!("--new-connections-per-address={}", proxy.new_connections_per_address),
        format!("--new-connections-per-address-burst={}", proxy.new_connections_per_address_burst),
        format!("--requests-per-address={}", proxy.requests_per_address),
        format!("--requests-per-address-burst={}", proxy.requests_per_address_burst),
        format!("--concurrent-per-server={}", proxy.concurrent_per_server),
        format!("--requests-per-server={}", proxy.requests_per_server),
        format!("--requests-per-server-burst={}", proxy.requests_per_server_burst),
        seconds("route-grace", proxy.route_grace),
        seconds("hub-wait", proxy.hub_wait),
        seconds("drain-timeout", proxy.drain_timeout),
        seconds("activity-interval", proxy.activity_interval),
    ];
    arguments.extend(config.hub.trusted_downstream_ips.iter().map(|ip| format!("--trusted-proxy={ip}")));
    if let Some(socket) = &proxy.listen_socket {
        let socket = std::path::absolute(socket).unwrap_or_else(|_| socket.clone());
        arguments.push(format!("--listen-socket={}", socket.display()));
    }
    arguments.extend(proxy.proxy_protocol_from.iter().map(|network| format!("--proxy-protocol-from={network}")));
    if proxy.cookie_firewall {
        let names = [hub_core::cookie::LOGIN, hub_core::cookie::SERVICES];
        arguments.extend(names.iter().map(|name| format!("--guard-cookie={name}")));
    }
    arguments.extend(proxy.metrics_address.iter().map(|address| format!("--metrics-address={address}")));
    if let Some(file) = &proxy.access_log_file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        arguments.push(format!("--access-log={}", file.display()));
    }
    if let Some(file) = &config.file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        arguments.push(format!("--config={}", file.display()));
    }
    let folder = config.hub.data_dir.join("proxy");
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let tls = proxy_tls(config, &folder);
    let site = proxy.site.as_ref().or(config.hub.site.as_ref()).map(|site| format!("--site={site}"));
    let absolute = |file: &std::path::PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone());
    let mut of_mark: Vec<String> = tls.iter().flatten().chain(&site).cloned().collect();
    arguments.extend(site);
    arguments.extend(tls.into_iter().flatten());
    if config.hub.internal_ssl {
        let theirs = proxy.internal_ssl_folder.as_ref().map(absolute);
        let [shown, trust, of_hub] = internal_ssl::files_of_proxy(theirs.as_ref().unwrap_or(&folder));
        // A proxy reads them when it first needs them: one that believes others is no use any more.
        of_mark.extend([&trust, &of_hub].map(|file| std::fs::read_to_string(file).unwrap_or_default()));
        arguments.push(format!("--client-certificate={}", shown.display()));
        arguments.push(format!("--client-ca={}", trust.display()));
        arguments.push(format!("--hub-ca={}", of_hub.display()));
    } else if let Some(file) = &proxy.client_ca_file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        arguments.push(format!("--client-ca={}", file.display()));
    }
    let mark = (!of_mark.is_empty()).then(|| hex::encode(Sha256::digest(of_mark.join("\n"))));
    let (listen, default_target) = (config.hub.bind_url.listen(), config.hub.hub_url());
    ProxyProcess {
        folder,
        listen,
        default_target,
        control_url: proxy.control_url.clone(),
        token: proxy.token_file.as_ref().map(absolute),
        more: arguments,
        mark,
    }
}

/// The proxy's arguments about TLS; `None` for plain HTTP.
fn proxy_tls(config: &Config, folder: &Path) -> Option<Vec<String>> {
    use crate::config::proxy::{AcmeChallenge, Tls};
    let proxy = &config.proxy;
    let file = |name: &str, file: &Path| {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        format!("--{name}={}", file.display())
    };
    let mut arguments = Vec::new();
    match proxy.tls()? {
        Tls::Off => return None,
        Tls::Files => {
            let first = (proxy.ssl_cert.as_deref(), proxy.ssl_key.as_deref());
            let more =
                proxy.certificates.iter().map(|more| (Some(more.ssl_cert.as_path()), Some(more.ssl_key.as_path())));
            for (certificate, key) in std::iter::once(first).chain(more) {
                arguments.extend(certificate.map(|certificate| file("ssl-cert", certificate)));
                arguments.extend(key.map(|key| file("ssl-key", key)));
            }
        }
        Tls::SelfSigned => {
            arguments.push(file("self-signed", folder));
            let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
            let names = config.self_signed_names(machine);
            arguments.extend(names.iter().map(|name| format!("--self-signed-name={name}")));
        }
        Tls::Acme => {
            arguments.push(file("acme", &folder.join("acme")));
            arguments.push(format!("--acme-directory={}", proxy.acme_directory));
            arguments.extend(config.acme_domains().iter().map(|name| format!("--acme-domain={name}")));
            arguments.extend(proxy.acme_email.as_ref().map(|email| format!("--acme-email={email}")));
            arguments.extend(proxy.acme_ca_file.as_deref().map(|ca| file("acme-ca", ca)));
            arguments.extend(proxy.acme_secret.as_ref().map(|secret| format!("--acme-secret={secret}")));
            let by_http = proxy.redirect_port.is_some() && proxy.acme_challenge.is_none()
                || proxy.acme_challenge == Some(AcmeChallenge::Http01);
            arguments.push(format!("--acme-challenge={}", if by_http { "http-01" } else { "tls-alpn-01" }));
        }
    }
    if !proxy.http2 {
        arguments.push("--no-http2".to_owned());
    }
    if let Some(port) = proxy.redirect_port {
        arguments.push(format!("--redirect-port={port}"));
        // Where another port is published than the one that is listened on, `public_url` tells.
        let public = config.hub.public_url.as_ref().and_then(|url| url::Url::parse(url.as_str()).ok());
        let public = public.filter(|url| url.scheme() == "https").and_then(|url| url.port_or_known_default());
        arguments.push(format!("--redirect-to={}", public.unwrap_or(config.hub.bind_url.port)));
    }
    if proxy.hsts_max_age.0 > 0.0 {
        arguments.push(format!("--hsts-max-age={}", proxy.hsts_max_age.0));
    }
    if let Some(ca) = &proxy.ssl_ca {
        arguments.push(file("ssl-ca", ca));
        if proxy.client_certificate_optional {
            arguments.push("--client-certificate-optional".to_owned());
        }
    }
    Some(arguments)
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
