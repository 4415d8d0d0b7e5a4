//! Servers at several sites: one driver for each, and the site of a server in its state.
//!
//! States without a site are of servers that ran before there were sites: they belong to the first one. A site that cannot
//! be asked says nothing about its servers, and keeps nobody from those of the others.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use hub_core::secret::Secret;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Abilities, Identity, News, Owned, Plan, Record, RenameError, Renaming, SaveError, Sight, Spawner, StartError,
    Started, Stop, Unreachable,
};

/// Where a state has the name of the site.
const SITE: &str = "site";
/// Where a state has that of the driver, if it cannot stand beside the name.
const STATE: &str = "state";

/// A site that takes longer to be looked at counts as one that cannot be asked.
const PATIENCE: Duration = Duration::from_secs(8);
/// A site that was given up longer ago, by what is known, may have been taken back: nothing is said of its servers.
const MEMORY: Duration = Duration::from_secs(6);
/// For so long nobody else waits for a site that has just let somebody wait in vain.
const REST: Duration = Duration::from_secs(5);

/// A site, and what starts servers there.
pub struct Site {
    /// Its name in the configuration, in plans and in states.
    pub name: String,
    /// What people call it.
    pub shown: String,
    /// Its own driver. Those of all sites are of one kind.
    pub driver: Arc<dyn Spawner>,
}

/// The site that a driver is of, where a hub has several. It is written on what is made, since two sites may lead to one
/// cluster or engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSite {
    /// Its name.
    pub name: String,
    /// It has what was made before there were sites, and tells none.
    pub first: bool,
}

impl OwnSite {
    /// Whether something is of a driver's site, by the name that is written on it.
    pub fn has(own: Option<&Self>, written: Option<&str>) -> bool {
        own.is_none_or(|own| written.map_or(own.first, |site| site == own.name))
    }
}

/// A spawner whose servers run at several sites. Clones share everything.
#[derive(Clone)]
pub struct Sites(Arc<Inner>);

struct Inner {
    first: Place,
    others: Vec<Place>,
    /// The site of the hub itself.
    own: Option<String>,
    given_up: RwLock<GivenUp>,
}

struct GivenUp {
    /// By name; a site that is not configured any more can be given up too.
    names: BTreeSet<String>,
    /// When that was so.
    known: Instant,
}

impl GivenUp {
    fn at(known: Instant) -> Self {
        Self { names: BTreeSet::new(), known }
    }
}

struct Place {
    site: Site,
    /// How long one waits for it, and how long nobody does after that.
    patience: (Duration, Duration),
    /// Until when nobody waits for it.
    resting: Mutex<Option<Instant>>,
}

impl Sites {
    /// One driver for each site, of which the first has the servers that tell none. `own` is where a server starts whose plan
    /// names no site. `None` without sites.
    pub fn new(sites: Vec<Site>, own: Option<&str>) -> Option<Self> {
        let mut places =
            sites.into_iter().map(|site| Place { site, patience: (PATIENCE, REST), resting: Mutex::default() });
        let first = places.next()?;
        let (own, given_up) = (own.map(str::to_owned), RwLock::new(GivenUp::at(Instant::now())));
        Some(Self(Arc::new(Inner { first, others: places.collect(), own, given_up })))
    }

    /// Gives these sites up and takes all others back, as it was `known` to be at an instant. While a site is given up nothing
    /// of it is asked: its servers are absent, stopping and forgetting them succeeds, and none is started there. What still
    /// runs when it is taken back is listed again, so that whoever surveys what runs clears it away. It has to be told anew
    /// all the time: what was known a while ago counts for new starts alone.
    pub fn give_up_only(&self, names: BTreeSet<String>, known: Instant) {
        *self.0.given_up.write().unwrap_or_else(PoisonError::into_inner) = GivenUp { names, known };
    }

    /// The site that a state tells: where its server runs.
    pub fn site_of(state: &Value) -> Option<&str> {
        state.get(SITE)?.as_str()
    }

    fn all(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.0.first).chain(&self.0.others)
    }

    /// Those that are not given up.
    fn held(&self) -> impl Iterator<Item = &Place> {
        self.all().filter(|place| !self.is_given_up(&place.site.name))
    }

    fn named(&self, name: &str) -> Option<&Place> {
        self.all().find(|place| place.site.name == name)
    }

    fn is_given_up(&self, name: &str) -> bool {
        self.0.given_up.read().unwrap_or_else(PoisonError::into_inner).names.contains(name)
    }

    /// The same, where what is said of its servers hangs on it.
    fn is_surely_given_up(&self, name: &str) -> Result<bool, Unreachable> {
        let given_up = self.0.given_up.read().unwrap_or_else(PoisonError::into_inner);
        match given_up.names.contains(name) {
            true if given_up.known.elapsed() > MEMORY => {
                Err(Unreachable(anyhow::anyhow!("whether the site {name:?} is still given up is not known")))
            }
            said => Ok(said),
        }
    }

    /// Where a server with this state is. `None` where that site is given up.
    fn place_of(&self, state: &Value) -> Result<Option<&Place>, Unreachable> {
        let name = Self::site_of(state).unwrap_or(&self.0.first.site.name);
        if self.is_surely_given_up(name)? {
            return Ok(None);
        }
        let unknown = || Unreachable(anyhow::anyhow!("the site {name:?} is not configured any more"));
        self.named(name).map(Some).ok_or_else(unknown)
    }

    /// Where a server is to be started.
    fn wanted(&self, plan: &Plan, state: &Value) -> Result<&Place, StartError> {
        let names = [plan.site.as_deref(), Self::site_of(state), self.0.own.as_deref()];
        let Some(name) = names.into_iter().flatten().next() else { return self.open(&self.0.first) };
        match self.named(name) {
            Some(place) => self.open(place),
            None => {
                Err(StartError::refused("no_such_site", format!("There is no site {name} any more. Choose another.")))
            }
        }
    }

    fn open<'a>(&self, place: &'a Place) -> Result<&'a Place, StartError> {
        let Site { name, shown, .. } = &place.site;
        match self.is_given_up(name) {
            true => Err(StartError::refused(
                "site_given_up",
                format!("The site {shown} is out of service. Choose another, or try again when it is back."),
            )),
            false => Ok(place),
        }
    }
}

impl Place {
    fn driver(&self) -> &dyn Spawner {
        self.site.driver.as_ref()
    }

    /// Asks within its patience. Who has to wait in vain waits for all others, for a while.
    async fn ask<T>(&self, asking: impl Future<Output = Result<T, Unreachable>>) -> Result<T, Unreachable> {
        let (name, (patience, rest)) = (&self.site.name, self.patience);
        let resting = *self.resting();
        if resting.is_some_and(|until| Instant::now() < until) {
            return Err(Unreachable(anyhow::anyhow!("the site {name:?} does not answer")));
        }
        let begun = Instant::now();
        let asked = tokio::time::timeout(patience, asking).await;
        let told = asked.unwrap_or_else(|_| Err(Unreachable(anyhow::anyhow!("no answer within {patience:?}"))));
        let in_vain = told.is_err() && begun.elapsed() * 8 >= patience;
        *self.resting() = in_vain.then(|| Instant::now() + rest);
        told.map_err(|Unreachable(error)| Unreachable(error.context(format!("the site {name:?}"))))
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a driver with the name of the site beside it.
fn with_site(own: &Value, site: &str) -> Value {
    match own {
        Value::Null => json!({ SITE: site }),
        Value::Object(all) if !all.contains_key(SITE) && !all.contains_key(STATE) => {
            let mut all = all.clone();
            all.insert(SITE.to_owned(), site.into());
            Value::Object(all)
        }
        own => json!({ SITE: site, STATE: own }),
    }
}

/// What the driver itself has saved.
fn without_site(state: &Value) -> Value {
    let Value::Object(all) = state else { return state.clone() };
    if !all.contains_key(SITE) {
        return state.clone();
    }
    if let Some(own) = all.get(STATE) {
        return own.clone();
    }
    let own: serde_json::Map<_, _> =
        all.iter().filter(|(key, _)| *key != SITE).map(|(key, value)| (key.clone(), value.clone())).collect();
    if own.is_empty() { Value::Null } else { Value::Object(own) }
}

/// Saves the states of one site's driver.
struct Sited<'a> {
    record: &'a dyn Record,
    site: &'a str,
}

#[async_trait]
impl Record for Sited<'_> {
    async fn save(&self, state: &Value) -> Result<(), SaveError> {
        self.record.save(&with_site(state, self.site)).await
    }

    async fn progress(&self, percent: u8, message: &str) {
        self.record.progress(percent, message).await;
    }

    async fn patience(&self, at_most: Duration) {
        self.record.patience(at_most).await;
    }
}

#[async_trait]
impl Spawner for Sites {
    fn kind(&self) -> &'static str {
        self.0.first.driver().kind()
    }

    fn abilities(&self) -> Abilities {
        self.0.first.driver().abilities()
    }

    async fn start(&self, plan: &Plan, state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        let place = self.wanted(plan, state)?;
        let name = &place.site.name;
        // What was saved at another site leads to nothing here; what is left there, the survey finds.
        let here = Self::site_of(state).unwrap_or(&self.0.first.site.name) == name;
        let own = if here { without_site(state) } else { Value::Null };
        let started = place.driver().start(plan, &own, &Sited { record, site: name }).await?;
        Ok(Started { url: started.url, state: with_site(&started.state, name) })
    }

    async fn kept_token(&self, server: &Identity) -> Result<Option<Secret>, Unreachable> {
        self.kept_token_at(server, None).await
    }

    /// Of the site alone that the start goes to. One that takes no start says so when it is asked for one.
    async fn kept_token_at(&self, server: &Identity, site: Option<&str>) -> Result<Option<Secret>, Unreachable> {
        let name = site.or(self.0.own.as_deref()).unwrap_or(&self.0.first.site.name);
        match self.named(name).filter(|_| !self.is_given_up(name)) {
            Some(place) => place.ask(place.driver().kept_token(server)).await,
            None => Ok(None),
        }
    }

    fn given_up(&self, state: &Value) -> Option<String> {
        let name = Self::site_of(state).unwrap_or(&self.0.first.site.name);
        let shown = self.named(name).map_or(name, |place| &place.site.shown);
        self.is_given_up(name).then(|| shown.to_owned())
    }

    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable> {
        let Some(place) = self.place_of(state)? else { return Ok(Sight::Absent) };
        place.ask(place.driver().look(server, &without_site(state))).await
    }

    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable> {
        let Some(place) = self.place_of(state)? else { return Ok(()) };
        place.driver().stop(server, &without_site(state), how).await
    }

    /// At all sites that are not given up: a server that was at several has left something at each.
    async fn forget(&self, server: &Identity, state: &Value) -> Result<(), Unreachable> {
        for place in self.all() {
            self.is_surely_given_up(&place.site.name)?;
        }
        let there = Self::site_of(state).unwrap_or(&self.0.first.site.name);
        let own = without_site(state);
        let asked = self.held().map(|place| {
            let state = if place.site.name == there { &own } else { &Value::Null };
            place.driver().forget(server, state)
        });
        join_all(asked).await.into_iter().collect()
    }

    /// At all sites. While one is given up nobody knows what a person has there, so that nobody may get their name.
    async fn rename(&self, renaming: &Renaming<'_>) -> Result<(), RenameError> {
        if let Some(place) = self.all().find(|place| self.is_given_up(&place.site.name)) {
            let shown = &place.site.shown;
            return Err(RenameError::Refused(format!(
                "While the site {shown} is out of service nobody can get another name: what they have there would not follow."
            )));
        }
        join_all(self.all().map(|place| place.driver().rename(renaming))).await.into_iter().collect()
    }

    /// What runs at the sites that answer: what is not in it may be at another. An error when none answers.
    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        let lists = self.held().map(async |place| {
            let owned = place.ask(place.driver().list_owned()).await?;
            let name = &place.site.name;
            Ok::<_, Unreachable>(
                owned.into_iter().map(move |owned| Owned { state: with_site(&owned.state, name), ..owned }),
            )
        });
        let (mut all, mut trouble, mut answered) = (Vec::new(), Ok(()), 0);
        for list in join_all(lists).await {
            match list {
                Ok(owned) => {
                    answered += 1;
                    all.extend(owned);
                }
                Err(error) => {
                    tracing::warn!("what runs there is not known: {error}");
                    trouble = Err(error);
                }
            }
        }
        if answered == 0 {
            trouble?;
        }
        Ok(all)
    }

    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken) {
        join_all(self.all().map(|place| place.driver().watch(news.clone(), stop.clone()))).await;
    }

    /// Of the site that has been silent for longest, of those that are not given up.
    fn heard(&self) -> Option<Duration> {
        self.held().filter_map(|place| place.driver().heard()).max()
    }

    async fn logs(&self, server: &Identity, state: &Value, lines: usize) -> Result<String, Unreachable> {
        let Some(place) = self.place_of(state)? else { return Ok(String::new()) };
        place.driver().logs(server, &without_site(state), lines).await
    }
}

#[cfg(test)]
#[path = "sites_tests.rs"]
mod tests;
