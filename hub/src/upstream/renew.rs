//! One refresh, and what follows from it. Whoever calls has the turn and the lease.

use std::sync::Arc;

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_store::User;
use serde_json::json;

use super::store::Keeping;
use super::{Access, Code, Failure, Kept, Refused, Want, busy, hold_on, others, quiet, store, unkept, written};
use crate::admission;
use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::problem::reference;
use crate::login::allow::Verdict;
use crate::login::oidc::{Ask, Provider, RefreshError, Tokens, Trouble};
use crate::page::session;

/// A token that is nearly over is still handed out while the provider does not answer.
const LAST_MOMENTS: TimeDelta = TimeDelta::seconds(2);

const NO_REFRESH_TOKEN: &str = "there is no refresh token";

const IN_DOUBT: &str = "the refresh token is not good any more, and another hub may have a better one";

/// How long until a provider that did not say who somebody is is asked again, at least.
const PAUSE: TimeDelta = TimeDelta::seconds(30);

/// Gets an access token from the provider, keeps what has to be kept, and asks who the person is now.
pub(super) async fn renew(app: &Arc<App>, user: UserId, want: &Want) -> Result<Access, Refused> {
    let mut quiet = None;
    loop {
        hold_on(app, user).await?;
        if let Err(error) = unkept::settle(app, user).await {
            // A second token that is not kept would be no better than the first.
            tracing::warn!(%user, "no fresh tokens while those at hand cannot be kept: {error}");
            return Err(busy());
        }
        let kept = store::kept(app, user).await?.ok_or(Refused::NotKept)?;
        if written::is_lost(app, user, &kept).await? {
            continue;
        }
        let provider = provider_of(app, &kept).ok_or(Refused::NotKept)?;
        let Some(refresh_token) = kept.refresh_token() else {
            if !want.is_plain() || want.id_token {
                return Err(no_target(user, provider, NO_REFRESH_TOKEN));
            }
            // For as long as was asked for it is not good, but there is no other.
            if kept.is_good(app.now(), LAST_MOMENTS) {
                return access_of(app, &kept).ok_or(Refused::NotKept);
            }
            return Err(ended(app, user, provider).await?);
        };
        if app.upstream.doubts.has(user, &refresh_token) {
            return failed(app, user, want, provider, &kept, Code::Unreachable, IN_DOUBT).await;
        }
        if quiet.is_none() && ends_tokens(app, &kept) {
            let moment = quiet::moment(kept.life());
            quiet = Some(app.upstream.quiet.begin(user, moment, app.store.is_shared()).await);
        }
        let ask = Ask { scope: want.scope.as_deref(), audience: want.audience.as_deref() };
        let error = match provider.refresh(&refresh_token, &ask, app.now()).await {
            Ok(tokens) => {
                let outcome = renewed(app, user, want, provider, &kept, tokens).await;
                if outcome.is_ok() && !endures(app, &kept, want) {
                    app.upstream.quiet.handed(user);
                }
                return outcome;
            }
            Err(error) => error,
        };
        if matches!(error, RefreshError::InvalidGrant { .. }) {
            // Another login, or a hub that was slow to write, may have put a better one there meanwhile.
            let now = store::kept(app, user).await?;
            let other = now.and_then(|now| now.refresh_token()).filter(|other| !other.matches(refresh_token.expose()));
            if other.is_some() {
                continue;
            }
            if app.store.is_shared() && app.upstream.doubts.begin(user, &refresh_token) {
                return failed(app, user, want, provider, &kept, Code::Unreachable, IN_DOUBT).await;
            }
        }
        return refused(app, user, want, provider, &kept, error).await;
    }
}

/// What follows when an access token has ended that nothing renews. JupyterHub ends the session here. A provider that never
/// gives a refresh token would end everybody's once in each life of an access token, and nothing was refused.
async fn ended(app: &Arc<App>, user: UserId, provider: &Provider) -> Result<Refused, Refused> {
    let is_strict = app.config.auth.auth_refresh_strict == Some(true);
    let code = if is_strict { Code::SignInNeeded } else { Code::TokenEnded };
    fail(app, user, provider, code, NO_REFRESH_TOKEN).await
}

/// Asks the provider about somebody, with the access token at hand if it is good.
pub(super) async fn check(app: &Arc<App>, user: UserId) -> Result<(), Refused> {
    let kept = store::kept(app, user).await?.ok_or(Refused::NotKept)?;
    let provider = provider_of(app, &kept).ok_or(Refused::NotKept)?;
    let ends = ends_tokens(app, &kept);
    let due = kept.renewal(ends).is_some_and(|at| at <= app.now()) || ends && kept.is_outlived();
    let tokens = kept.tokens().filter(|_| !due && kept.is_good(app.now(), TimeDelta::zero()));
    if let Some(tokens) = tokens
        && look(app, user, provider, &kept, tokens).await? == Looked::Done
    {
        return Ok(());
    }
    // It was refused: a provider may end access tokens before their time.
    if kept.refresh_token().is_none() {
        return Err(ended(app, user, provider).await?);
    }
    renew(app, user, &Want::default()).await.map(drop)
}

/// The token that is kept, to be handed out.
pub(super) fn access_of(app: &App, kept: &Kept) -> Option<Access> {
    let (tokens, provider) = (kept.tokens()?, provider_of(app, kept)?);
    Some(access(provider, &tokens))
}

/// The ID token that is kept, if it is good for so long or for half of its life.
pub(super) fn id_of(app: &App, kept: &Kept, at_least: TimeDelta) -> Option<Access> {
    let (token, begin, end) = kept.id_token()?;
    let provider = provider_of(app, kept)?;
    let good = end - app.now() > at_least.min((end - begin) / 2);
    good.then(|| Access { token, expires_at: Some(end), scope: Vec::new(), provider: provider.name().to_owned() })
}

/// The ID token after a refresh, which need not have brought another one.
pub(super) async fn renewed_id(app: &App, user: UserId) -> Result<Access, Refused> {
    let kept = store::kept(app, user).await?.ok_or(Refused::NotKept)?;
    id_of(app, &kept, LAST_MOMENTS)
        .ok_or_else(|| Refused::Target("The identity provider gives no fresh ID token.".to_owned()))
}

fn access(provider: &Provider, tokens: &Tokens) -> Access {
    Access {
        token: tokens.access_token.clone(),
        expires_at: tokens.expires_at,
        scope: tokens.scope.clone(),
        provider: provider.name().to_owned(),
    }
}

/// The provider of a state. Another hub's tells of none: then it is the only one.
pub(super) fn provider_of<'a>(app: &'a App, kept: &Kept) -> Option<&'a Provider> {
    match (kept.provider(), app.login.providers()) {
        (Some(name), _) => app.login.provider(Some(name)),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Whether a refresh ends the access tokens of before at the provider of a state.
pub(super) fn ends_tokens(app: &App, kept: &Kept) -> bool {
    provider_of(app, kept).is_some_and(|provider| provider.config().ends_tokens())
}

/// Whether a token for a wish is good until it ends, whatever is refreshed: the provider has it so, or those for whom it is
/// never ask the provider.
pub(super) fn endures(app: &App, kept: &Kept, want: &Want) -> bool {
    let by_itself = |name: &String| {
        provider_of(app, kept).is_some_and(|provider| provider.config().offline_audiences.contains(name))
    };
    want.id_token || !ends_tokens(app, kept) || want.audience.as_ref().is_some_and(by_itself)
}

async fn renewed(
    app: &Arc<App>,
    user: UserId,
    want: &Want,
    provider: &Provider,
    kept: &Kept,
    tokens: Tokens,
) -> Result<Access, Refused> {
    let access = access(provider, &tokens);
    if !want.is_plain() {
        let next = tokens.refresh_token.as_ref();
        let state = kept.rotated(next, app.now());
        let rotated = Kept::new(kept.sealed.clone(), state.clone());
        if next.is_some() || provider.config().ends_tokens() {
            store::keep(app, user, kept, state).await;
            app.upstream.tell(user);
        }
        if let Some(rotated) = rotated {
            others::remember(app, user, &rotated, want, &access).await;
        }
        tracing::debug!(%user, provider = provider.name(), "a fresh token for others");
        return Ok(access);
    }
    let keeping = store::keep(app, user, kept, kept.renewed(&tokens, app.now())).await;
    app.upstream.tell(user);
    match keeping {
        Keeping::Done => {}
        // Who the person is now is asked when it is kept.
        Keeping::Later => return Ok(access),
        Keeping::Superseded => {
            // A new login came meanwhile: its tokens count.
            let kept = store::kept(app, user).await?.ok_or(Refused::NotKept)?;
            return access_of(app, &kept).ok_or(Refused::NotKept);
        }
    }
    tracing::debug!(%user, provider = provider.name(), "fresh tokens");
    let kept = store::kept(app, user).await?.ok_or(Refused::NotKept)?;
    app.store.upstream_renewed(user, next_look(app, &kept, app.now())).await?;
    if look(app, user, provider, &kept, tokens).await? == Looked::Refused {
        tracing::warn!(%user, provider = provider.name(), "the provider refuses to say who has the token it gave");
    }
    Ok(access)
}

#[derive(PartialEq, Eq)]
enum Looked {
    Done,
    /// The provider does not take this access token.
    Refused,
}

/// Asks the provider who the person is now, and does what follows. Refuses whom no rule lets in any more.
async fn look(
    app: &Arc<App>,
    user: UserId,
    provider: &Provider,
    kept: &Kept,
    tokens: Tokens,
) -> Result<Looked, Refused> {
    let Some(before) = kept.before() else {
        // Another hub kept it, and there is nobody to ask for: only the token is looked after.
        later(app, user, kept).await?;
        return Ok(Looked::Done);
    };
    let Some(person) = app.store.user_by_id(user).await? else { return Err(Refused::NotKept) };
    let known = match provider.look_again(tokens, &before, app.now()).await {
        Ok(known) => known,
        Err(Trouble::Denied { .. }) => return Ok(Looked::Refused),
        Err(Trouble::Required(claim)) => {
            let why = format!("the claim {claim} is not one of required_claims");
            admission::refuse(app, &Actor::part("sign-in"), &person, &why).await?;
            return Err(Refused::NotAdmitted);
        }
        Err(trouble) => {
            // Not to be found out now: nobody loses anything for that.
            tracing::warn!(user = person.name, provider = provider.name(), "not asked who is let in: {trouble}");
            later(app, user, kept).await?;
            return Ok(Looked::Done);
        }
    };
    let verdict = admission::readmit(app, &person, &known.claims).await?;
    store::put(app, user, kept, &kept.with(&known)).await?;
    if !matches!(verdict, Verdict::Allowed { .. }) {
        return Err(Refused::NotAdmitted);
    }
    let now = app.now();
    app.store.upstream_good(user, now, next_look(app, kept, now)).await?;
    Ok(Looked::Done)
}

/// Looks again after a while, for who could not be asked about now.
async fn later(app: &App, user: UserId, kept: &Kept) -> Result<(), Refused> {
    let now = app.now();
    let due = next_look(app, kept, now).map(|due| due.max(now + PAUSE).min(now + PAUSE * 10));
    Ok(app.store.upstream_renewed(user, due).await?)
}

/// When to ask again: before the token ends, and often enough to notice who has left.
pub fn next_look(app: &App, kept: &Kept, now: Time) -> Option<Time> {
    let age = app.config.auth.refresh_age();
    let regular = (!age.is_zero()).then(|| now + age);
    [kept.renewal(ends_tokens(app, kept)), regular].into_iter().flatten().min()
}

async fn refused(
    app: &Arc<App>,
    user: UserId,
    want: &Want,
    provider: &Provider,
    kept: &Kept,
    error: RefreshError,
) -> Result<Access, Refused> {
    let code = match &error {
        RefreshError::InvalidTarget { description } => return Err(no_target(user, provider, description)),
        // What else was wrong with a wish of somebody's own says nothing of the login.
        RefreshError::Other(what) if !want.is_plain() => return Err(no_target(user, provider, what)),
        RefreshError::InvalidGrant { .. } => Code::SignInNeeded,
        RefreshError::Suspended { .. } => Code::Suspended,
        RefreshError::UsagePolicy { .. } => Code::UsagePolicy,
        RefreshError::Unreachable(_) => Code::Unreachable,
        RefreshError::Other(_) => Code::Refused,
    };
    failed(app, user, want, provider, kept, code, &error.to_string()).await
}

/// What follows when there is no fresh token: the one at hand, if it will do for the moment.
async fn failed(
    app: &Arc<App>,
    user: UserId,
    want: &Want,
    provider: &Provider,
    kept: &Kept,
    code: Code,
    cause: &str,
) -> Result<Access, Refused> {
    let failed = fail(app, user, provider, code, cause).await?;
    let is_alive = !(ends_tokens(app, kept) && kept.is_outlived());
    let at_hand = want.is_plain() && code == Code::Unreachable && is_alive && kept.is_good(app.now(), LAST_MOMENTS);
    at_hand.then(|| access_of(app, kept)).flatten().ok_or(failed)
}

/// The provider's own words are for the log: who knows what is in them.
fn no_target(user: UserId, provider: &Provider, words: &str) -> Refused {
    let reference = reference();
    tracing::warn!(%user, provider = provider.name(), reference, "no token for an audience or scope: {words}");
    let name = provider.config().shown();
    Refused::Target(format!("{name} gives no token for this audience or scope. Reference: {reference}"))
}

/// Records what keeps tokens from being renewed, and ends what has to end.
async fn fail(app: &Arc<App>, user: UserId, provider: &Provider, code: Code, cause: &str) -> Result<Refused, Refused> {
    let person = app.store.user_by_id(user).await?.ok_or(Refused::NotKept)?;
    let failure = Failure::new(code, provider.config());
    let before = app.store.upstream(user).await?.unwrap_or_default();
    let due = failure.pause(before.failures).map(|pause| app.now() + pause);
    tracing::warn!(user = person.name, provider = provider.name(), ?code, "tokens are not renewed: {cause}");
    let known = before.failure.and_then(|known| serde_json::from_value::<Failure>(known).ok());
    let is_new = known.is_none_or(|known| known.code != code);
    if is_new {
        // First: what is recorded is never done again, and this may be done twice.
        follow(app, &person, code).await?;
    }
    app.store.upstream_failed(user, &json!(failure), app.now(), due).await?;
    if is_new {
        app.upstream.tell(user);
    }
    Ok(Refused::Failed(failure))
}

/// What a failure means for the person, once.
async fn follow(app: &Arc<App>, person: &User, code: Code) -> Result<(), Refused> {
    let by = Actor::part("sign-in");
    match code {
        Code::SignInNeeded => {
            // Labs go on; whoever sits before one logs in again.
            session::end_all(app, person).await?;
        }
        Code::Suspended => admission::refuse(app, &by, person, "suspended at the identity provider").await?,
        Code::TokenEnded | Code::UsagePolicy | Code::Unreachable | Code::Refused => {}
    }
    if !matches!(code, Code::Unreachable | Code::TokenEnded) {
        app.audited(&by, Act::UserTokensLost, Object::User(&person.name), json!({ "why": code })).await;
    }
    Ok(())
}
