//! Tokens of people's identity providers, kept fresh: the one road for labs, scripts, the old way of refreshing
//! (`api::facade`) and the hub's own look at who is still let in (`task::upstream`).
//!
//! One refresh of a person at a time: in this process by turns, among hubs by a lease. Whatever a provider gave is kept
//! before it is handed out, because the refresh token before it may be dead; what the database does not take is kept in
//! memory, and tried again (`unkept`); what it took and lost again, because another one took its place, is put there once more
//! (`written`), and until that is over no refresh token is given up for dead (`doubts`). Where a refresh ends the access tokens of before, it waits for a moment in which nobody
//! was given one (`quiet`), and none of before is handed out after it (`Kept::is_outlived`, `others`). It is done apart from the request that asked: a browser that goes away must not take
//! the only good refresh token with it.

mod doubts;
mod failure;
mod flights;
mod kept;
pub mod lab;
mod others;
mod quiet;
mod renew;
mod store;
#[cfg(test)]
mod tests;
mod unkept;
mod written;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_core::secret::Secret;
use hub_store::StoreError;
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::doubts::Doubts;
pub use self::failure::{Code, Failure};
use self::flights::{Flights, Part};
pub use self::kept::Kept;
use self::others::{Good, Others};
use self::quiet::Quiet;
pub use self::renew::next_look;
use self::unkept::Unkept;
use self::written::Written;
use crate::app::App;
use crate::http::Problem;
use crate::login::{Turn, Turns};

/// A hub that died in the middle of a refresh holds nobody's tokens for longer.
const LEASE: TimeDelta = TimeDelta::seconds(45);
/// Who has not given a lease back may be cut off with the only good refresh token: so long it is waited for them after that,
/// once the database answers. Longer than they wait before they ask it again (`unkept`), with the time that takes.
const NOTICE: TimeDelta = TimeDelta::seconds(30);
/// How often it is looked whether another hub is done.
const LOOK: Duration = Duration::from_millis(100);
/// How long another hub is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// So much news may be behind; who misses some looks for itself.
const NEWS: usize = 256;
/// How often those who wait for a change look for what another hub did.
const OTHER_HUBS: Duration = Duration::from_secs(5);

/// What somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Want {
    /// For whom the token is to be; the provider's own choice without it.
    pub audience: Option<String>,
    /// Some of the scopes that were granted; all of them without it.
    pub scope: Option<String>,
    /// The ID token in place of the access token. It is for the hub, whatever the audience.
    pub id_token: bool,
}

impl Want {
    /// Whether it is the access token as the provider gives it by itself.
    pub fn is_plain(&self) -> bool {
        self.audience.is_none() && self.scope.is_none()
    }
}

/// An access token to hand out.
#[derive(Clone)]
pub struct Access {
    /// The token.
    pub token: Secret,
    /// When it ends, where the provider told.
    pub expires_at: Option<Time>,
    /// What it is good for.
    pub scope: Vec<String>,
    /// The provider, by its name in the configuration.
    pub provider: String,
}

/// Why there is no access token.
#[derive(Debug)]
pub enum Refused {
    /// Nothing is kept of this person: they do not come from a provider, or the hub keeps no tokens.
    NotKept,
    /// No rule lets the person in any more.
    NotAdmitted,
    /// The provider wants something, or does not answer. The sentence is for people.
    Failed(Failure),
    /// The provider gives no token for this audience or scope. Its own words are in the log; the sentence says where.
    Target(String),
    /// The hub itself failed.
    Problem(Problem),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Who keeps the tokens fresh.
pub struct Broker {
    app: OnceLock<Weak<App>>,
    turns: Turns,
    others: Others,
    quiet: Quiet,
    flights: Flights<(UserId, Want, TimeDelta), Access>,
    news: broadcast::Sender<UserId>,
    unkept: Unkept,
    written: Written,
    doubts: Doubts,
    tracker: TaskTracker,
    stop: CancellationToken,
    runtime: Handle,
}

impl Broker {
    /// One that does its work where it is made, until told to stop. Nobody is asked before [`Self::begin`].
    pub fn new(tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            app: OnceLock::new(),
            turns: Turns::default(),
            others: Others::default(),
            quiet: Quiet::default(),
            flights: Flights::default(),
            news: broadcast::Sender::new(NEWS),
            unkept: Unkept::default(),
            written: Written::default(),
            doubts: Doubts::default(),
            tracker,
            stop,
            runtime: Handle::current(),
        }
    }

    /// Tells whom it works for.
    pub fn begin(&self, app: &Arc<App>) {
        let _ = self.app.set(Arc::downgrade(app));
    }

    /// An access token of somebody that is good for `at_least`, or for half of the life that the provider gives.
    pub async fn access(&self, user: UserId, want: Want, at_least: TimeDelta) -> Result<Access, Refused> {
        let app = self.app()?;
        let want = simplest(&app, user, want).await?;
        // What is good already costs no task.
        if let Some(found) = ready(&app, user, &want, at_least).await?
            && (found.endures || self.quiet.hand_out(user))
        {
            return Ok(found.access);
        }
        let lead = match self.flights.join((user, want.clone(), at_least)) {
            Part::Leads(lead) => Some(lead),
            Part::Follows(follow) => match follow.wait().await {
                Some(access) => return Ok(access),
                None => None,
            },
        };
        self.apart(async move {
            let outcome = turn(&app, user, &want, at_least).await;
            if let (Some(lead), Ok(access)) = (lead, &outcome) {
                lead.tell(access.clone());
            }
            outcome
        })
        .await
    }

    /// Waits for as long as an access token is the one to be handed out: until another one is, or for `patience`. `None`:
    /// it is still that one.
    pub async fn next(
        &self,
        user: UserId,
        at_least: TimeDelta,
        patience: Duration,
        is_known: impl Fn(&Access) -> bool,
    ) -> Result<Option<Access>, Refused> {
        let app = self.app()?;
        let deadline = tokio::time::Instant::now() + patience;
        let mut news = self.news.subscribe();
        loop {
            let access = self.access(user, Want::default(), at_least).await?;
            if !is_known(&access) {
                return Ok(Some(access));
            }
            let heard = async {
                // Who was too slow to hear all may have missed it.
                while news.recv().await.is_ok_and(|whose| whose != user) {}
            };
            let look = if app.store.is_shared() { OTHER_HUBS } else { patience };
            tokio::select! {
                () = heard => {}
                () = tokio::time::sleep(look) => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
                () = self.stop.cancelled() => return Ok(None),
            }
        }
    }

    /// Tells those who wait that it stands otherwise with somebody's tokens.
    fn tell(&self, user: UserId) {
        // Nobody has to wait.
        let _ = self.news.send(user);
    }

    /// Asks the provider about somebody, unless it vouched for them within `age`: groups, admin right, and whether they
    /// are let in at all. A provider that does not answer changes nothing.
    pub async fn check(&self, user: UserId, age: TimeDelta) -> Result<(), Refused> {
        let app = self.app()?;
        if is_checked(&app, user, age).await? {
            return Ok(());
        }
        self.apart(async move { check(&app, user, age).await }).await
    }

    /// Asks the provider about somebody who is due. Where another hub does, or has just done so, there is nothing to do.
    pub async fn check_due(&self, user: UserId) -> Result<(), Refused> {
        let app = self.app()?;
        self.apart(async move { check_due(&app, user).await }).await
    }

    /// Puts what a database has lost of what was kept lately into it again.
    pub async fn keep_again(&self) -> Result<(), StoreError> {
        match self.app() {
            Ok(app) => written::look(&app).await,
            Err(_) => Ok(()),
        }
    }

    /// The provider that somebody comes from, by its name in the configuration; `None` where nothing is kept.
    pub async fn provider(&self, user: UserId) -> Result<Option<String>, StoreError> {
        let Ok(app) = self.app() else { return Ok(None) };
        let kept = store::kept(&app, user).await?;
        Ok(kept.and_then(|kept| renew::provider_of(&app, &kept).map(|provider| provider.name().to_owned())))
    }

    /// What keeps somebody's tokens from being renewed at present, to be told on pages.
    pub async fn shown_failure(&self, user: UserId) -> Result<Option<Failure>, StoreError> {
        let app = self.app.get().and_then(Weak::upgrade).filter(|app| !app.login.providers().is_empty());
        let Some(app) = app else { return Ok(None) };
        Ok(store::failure(&app, user).await?.map(|(failure, _)| failure).filter(Failure::is_shown))
    }

    /// Whether somebody has to log in anew, because the provider takes the refresh token no more: nobody knows since then
    /// whether they are still let in.
    pub async fn needs_login(&self, user: UserId) -> Result<bool, StoreError> {
        let Ok(app) = self.app() else { return Ok(false) };
        let Some(upstream) = app.store.upstream(user).await? else { return Ok(false) };
        let failure = upstream.failure.and_then(|failure| serde_json::from_value::<Failure>(failure).ok());
        let is_it = failure.is_some_and(|failure| failure.code == Code::SignInNeeded);
        // By another method they may have logged in since.
        Ok(is_it && upstream.checked_at <= upstream.failed_at)
    }

    fn app(&self) -> Result<Arc<App>, Refused> {
        self.app.get().and_then(Weak::upgrade).filter(|app| !app.login.providers().is_empty()).ok_or(Refused::NotKept)
    }

    /// Does something that goes on when nobody waits for it any more.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refused>> + Send + 'static,
    ) -> Result<T, Refused> {
        match self.tracker.spawn_on(work, &self.runtime).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Refused::Problem(Problem::internal("a refresh of tokens", error))),
        }
    }
}

/// A wish in its simplest form: who wishes for all scopes that were granted, as oidc-agent does each time, wishes for none in
/// particular.
async fn simplest(app: &App, user: UserId, want: Want) -> Result<Want, Refused> {
    let Some(scope) = &want.scope else { return Ok(want) };
    let granted = store::kept(app, user).await?.and_then(|kept| kept.tokens()).map(|tokens| tokens.scope);
    let wished: BTreeSet<&str> = scope.split_whitespace().collect();
    let is_all = granted.is_some_and(|granted| granted.iter().map(String::as_str).collect::<BTreeSet<_>>() == wished);
    Ok(if is_all { Want { scope: None, ..want } } else { want })
}

/// A token at hand.
struct Found {
    access: Access,
    /// No refresh ends it.
    endures: bool,
}

impl Found {
    /// To whoever has the turn.
    fn hand_out(self, app: &App, user: UserId) -> Access {
        if !self.endures {
            app.upstream.quiet.handed(user);
        }
        self.access
    }
}

/// The token at hand, if it will do. Refuses whom no refresh would help.
async fn ready(app: &App, user: UserId, want: &Want, at_least: TimeDelta) -> Result<Option<Found>, Refused> {
    if app.store.refusal(user).await?.is_some() {
        return Err(Refused::NotAdmitted);
    }
    let kept = store::kept(app, user).await?.ok_or(Refused::NotKept)?;
    let now = app.now();
    let endures = renew::endures(app, &kept, want);
    let access = if want.id_token {
        renew::id_of(app, &kept, at_least)
    } else if !want.is_plain() {
        others::get(app, user, &kept, want, Good { at_least, of_last_refresh: !endures }).await?
    } else if kept.is_good(now, at_least) && (endures || !kept.is_outlived()) {
        renew::access_of(app, &kept)
    } else {
        None
    };
    if let Some(access) = access {
        // Last of all, because another hub may be about to end what is at hand.
        let ends = !endures && is_elsewhere(app, user).await?;
        return Ok((!ends).then_some(Found { access, endures }));
    }
    match store::failure(app, user).await? {
        Some((failure, since)) if failure.stands(since, now) => Err(Refused::Failed(failure)),
        _ => Ok(None),
    }
}

/// Whether another hub has somebody's tokens at present.
async fn is_elsewhere(app: &App, user: UserId) -> Result<bool, StoreError> {
    Ok(app.store.is_shared() && app.store.is_upstream_held(user, &app.holder).await?)
}

async fn turn(app: &Arc<App>, user: UserId, want: &Want, at_least: TimeDelta) -> Result<Access, Refused> {
    let turn = app.upstream.turns.wait(user.to_string()).await.ok_or_else(busy)?;
    // Whoever had the turn before may have brought it.
    if let Some(found) = ready(app, user, want, at_least).await? {
        return Ok(found.hand_out(app, user));
    }
    hold(app, user).await?;
    let outcome = match ready(app, user, want, at_least).await {
        Ok(Some(found)) => Ok(found.hand_out(app, user)),
        Ok(None) => match renew::renew(app, user, want).await {
            Ok(_) if want.id_token => renew::renewed_id(app, user).await,
            outcome => outcome,
        },
        Err(refused) => Err(refused),
    };
    release(app, user).await;
    make_way(app, turn);
    outcome
}

/// Lets nobody of this hub have the next turn at once: another hub, which can but look now and then, would never have its own.
fn make_way(app: &App, turn: Turn) {
    if app.store.is_shared() {
        app.upstream.runtime.spawn(async move {
            tokio::time::sleep(LOOK * 4).await;
            drop(turn);
        });
    }
}

async fn check(app: &Arc<App>, user: UserId, age: TimeDelta) -> Result<(), Refused> {
    let _turn = app.upstream.turns.wait(user.to_string()).await.ok_or_else(busy)?;
    hold(app, user).await?;
    let outcome = match is_checked(app, user, age).await {
        Ok(true) => Ok(()),
        Ok(false) => renew::check(app, user).await,
        Err(refused) => Err(refused),
    };
    release(app, user).await;
    outcome
}

async fn check_due(app: &Arc<App>, user: UserId) -> Result<(), Refused> {
    let _turn = app.upstream.turns.wait(user.to_string()).await.ok_or_else(busy)?;
    if !claim(app, user, LEASE).await? {
        return Ok(());
    }
    // Other hubs look for who is due as well: one of them may have been quicker.
    let outcome = match app.store.upstream(user).await {
        Ok(Some(upstream)) if upstream.due_at.is_some_and(|due| due <= app.now()) => renew::check(app, user).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    };
    release(app, user).await;
    outcome
}

async fn is_checked(app: &App, user: UserId, age: TimeDelta) -> Result<bool, Refused> {
    let checked = app.store.upstream(user).await?.and_then(|upstream| upstream.checked_at);
    Ok(checked.is_some_and(|at| app.now() - at < age))
}

/// Takes the lease, or prolongs it. False while another hub has it.
async fn claim(app: &App, user: UserId, lease: TimeDelta) -> Result<bool, StoreError> {
    app.store.claim_upstream(user, &app.holder, lease, NOTICE).await
}

/// Takes the lease, after whichever hub has it.
async fn hold(app: &App, user: UserId) -> Result<(), Refused> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if claim(app, user, LEASE).await? {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(busy());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Holds on for as long as providers may take to answer, their description included: a lease that ends in the middle would
/// let another hub use the same refresh token. What is kept is to be read after this, because another hub may have had it.
async fn hold_on(app: &App, user: UserId) -> Result<(), Refused> {
    let limits = app.login.providers().iter().map(|provider| provider.config().timeout.duration());
    let longest = limits.max().and_then(|limit| TimeDelta::from_std(limit).ok()).unwrap_or_default();
    if claim(app, user, LEASE + longest * 2).await? { Ok(()) } else { Err(busy()) }
}

/// Gives the lease back, unless what it brought is still to be kept: another hub would use the refresh token before it.
async fn release(app: &App, user: UserId) {
    if app.upstream.unkept.has(user) {
        return;
    }
    if let Err(error) = app.store.release_upstream(user, &app.holder).await {
        tracing::warn!(%user, "a lease on tokens is given back when it runs out: {error}");
    }
}

fn busy() -> Refused {
    let problem = Problem::new(
        actix_web::http::StatusCode::SERVICE_UNAVAILABLE,
        "Your credentials are being renewed, which takes longer than usual. Try again.",
    );
    Refused::Problem(problem.retry_after(2))
}
