//! One certificate from an ACME authority for several proxies: real Pebble, and a place that they share.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use specola_proxy::secure::{CertificateSource, Challenge, Entries, Redirect, Storage, TlsOptions};

use crate::{
    acme::{ordered, port, served},
    client::until,
    hub::route,
    pebble::{self, Pebble},
    upstream::Upstream,
    world::{World, world_with},
};

/// The place, as one proxy has it.
#[derive(Debug, Default, Clone)]
struct Place {
    shared: Arc<Shared>,
    /// Others are always quicker than this one.
    slow: bool,
}

#[derive(Default)]
struct Shared {
    kept: Mutex<(u64, Entries)>,
    away: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a place of the tests")
    }
}

impl Place {
    fn slow(&self) -> Self {
        Self { slow: true, ..self.clone() }
    }

    fn away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    fn there(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.shared.away.load(Ordering::SeqCst), "it is away");
        Ok(())
    }
}

impl Storage for Place {
    fn read(&self) -> BoxFuture<'_, anyhow::Result<Entries>> {
        Box::pin(async { self.there().map(|()| self.shared.kept.lock().unwrap().1.clone()) })
    }

    fn write(&self, entries: Entries) -> BoxFuture<'_, anyhow::Result<Option<String>>> {
        Box::pin(async move {
            self.there()?;
            let mut kept = self.shared.kept.lock().unwrap();
            if self.slow || kept.1.version != entries.version {
                return Ok(None);
            }
            kept.0 += 1;
            kept.1.version = kept.0.to_string();
            kept.1.entries.extend(entries.entries);
            Ok(Some(kept.1.version.clone()))
        })
    }
}

struct Ground {
    pebble: Pebble,
    upstream: Upstream,
    /// Where the authority looks.
    http: u16,
    tls: u16,
    place: Place,
}

impl Ground {
    async fn new(seconds: u32) -> Option<Self> {
        let program = pebble::program().unwrap()?;
        let (http, tls) = (port().await, port().await);
        let pebble = Pebble::start(&program, http, tls, seconds).await.unwrap();
        Some(Self { pebble, upstream: Upstream::named("x").await, http, tls, place: Place::default() })
    }

    /// A proxy of its own machine; the authority comes to it, or to another.
    async fn proxy(&self, folder: &Path, place: Place, challenge: Challenge, looked_at: bool) -> World {
        let (http, tls) = if looked_at { (self.http, self.tls) } else { (0, 0) };
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut order = ordered(&self.pebble, folder, challenge);
        order.shared = Some(Arc::new(place));
        let mut wanted = TlsOptions::new(CertificateSource::Acme(order));
        wanted.redirect = Some(Redirect { listen: local(http), port: None });
        world_with(vec![route("/", &format!("http://{}", self.upstream.address))], |options| {
            options.listen = vec![local(tls)];
            options.tls = Some(wanted);
            options.limits.acme_pause = Duration::from_millis(100);
            options.limits.acme_retry = Duration::from_millis(100);
            options.limits.acme_retry_max = Duration::from_millis(400);
            options.limits.acme_look = Duration::from_millis(200);
        })
        .await
    }

    /// Waits until a proxy shows the shared certificate.
    async fn certified(&self, world: &World) -> Vec<u8> {
        self.certified_after(world, None).await
    }

    async fn certified_after(&self, world: &World, before: Option<&[u8]>) -> Vec<u8> {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                if let Some(kept) = self.kept()
                    && before != Some(&kept)
                    && served(world.address).await.as_ref() == Some(&kept)
                {
                    return kept;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("no certificate came:\n{}", self.pebble.log()))
    }

    fn kept(&self) -> Option<Vec<u8>> {
        use rustls_pki_types::{CertificateDer, pem::PemObject};
        let kept = self.place.shared.kept.lock().unwrap();
        let (_, pem) = kept.1.entries.iter().find(|(name, _)| name.ends_with(".certificate.pem"))?;
        CertificateDer::from_pem_slice(pem).ok().map(|certificate| certificate.to_vec())
    }

    fn orders(&self) -> usize {
        self.pebble.said("Added order ")
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn item_28_one_of_several_proxies_orders_and_another_answers_the_authority() {
    for challenge in [Challenge::TlsAlpn01, Challenge::Http01] {
        let Some(mut ground) = Ground::new(3600).await else { return };
        let (one, other, late) = (folder(), folder(), folder());
        let looked_at = ground.proxy(one.path(), ground.place.slow(), challenge, true).await;
        let orders = ground.proxy(other.path(), ground.place.clone(), challenge, false).await;
        let first = ground.certified(&orders).await;
        assert_eq!(ground.certified(&looked_at).await, first, "{challenge:?}");
        assert_eq!(ground.orders(), 1, "{}", ground.pebble.log());
        // One that comes later has it at once, also when the authority is away.
        ground.pebble.stop();
        let late = ground.proxy(late.path(), ground.place.clone(), challenge, false).await;
        assert_eq!(served(late.address).await, Some(first), "{challenge:?}");
        // Nobody shows a proof any more.
        let kept = ground.place.shared.kept.lock().unwrap().1.clone();
        let (_, turn) = kept.entries.iter().find(|(name, _)| name.ends_with(".turn.json")).unwrap();
        assert!(String::from_utf8_lossy(turn).contains(r#""proofs":[]"#), "{turn:?}");
    }
}

#[tokio::test]
async fn item_28_proxies_that_start_at_once_order_once() {
    let Some(ground) = Ground::new(3600).await else { return };
    let folders = [folder(), folder(), folder()];
    let at = |index: usize| ground.proxy(folders[index].path(), ground.place.clone(), Challenge::Http01, index == 1);
    let worlds = tokio::join!(at(0), at(1), at(2));
    let first = ground.certified(&worlds.0).await;
    for world in [&worlds.1, &worlds.2] {
        assert_eq!(ground.certified(world).await, first);
    }
    assert_eq!(ground.orders(), 1, "{}", ground.pebble.log());
}

#[tokio::test]
async fn item_28_proxies_serve_on_while_what_they_share_is_away() {
    let Some(ground) = Ground::new(6).await else { return };
    let (one, other) = (folder(), folder());
    ground.place.away(true);
    // At the first start of all there is nothing yet, but somebody answers.
    let mut world = ground.proxy(one.path(), ground.place.clone(), Challenge::TlsAlpn01, true).await;
    let stopgap = served(world.address).await.unwrap();
    let beside = ground.proxy(other.path(), ground.place.clone(), Challenge::TlsAlpn01, false).await;
    assert_eq!(ground.orders(), 0, "nobody orders without the others knowing");
    ground.place.away(false);
    let first = ground.certified(&world).await;
    assert!(first != stopgap);
    // It is away when the next one is due: what there is is shown on, also after a restart.
    let before = loop {
        let shown = ground.certified(&beside).await;
        ground.place.away(true);
        let both = [served(world.address).await, served(beside.address).await];
        if both == [Some(shown.clone()), Some(shown.clone())] {
            break shown;
        }
        ground.place.away(false);
    };
    world.end().await;
    world.start().await;
    assert_eq!(served(world.address).await.as_ref(), Some(&before));
    ground.place.away(false);
    let next = ground.certified_after(&world, Some(&before)).await;
    assert!(next != before);
    until("the other has a new one too", async || served(beside.address).await.is_some_and(|now| now != before)).await;
}
