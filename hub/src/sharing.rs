//! What people do with shares and share codes: granted, revoked, exchanged. The one road for REST and pages.

use chrono::TimeDelta;
use hub_core::id::ShareCodeId;
use hub_core::scope::{self, Client, Membership, RawScope, Rights, Scope, Target};
use hub_core::secret::Secret;
use hub_core::token;
use hub_store::{NewShareCode, Server, Share, ShareCode, ShareWith, SharedServer, StoreError, User};
use serde_json::{Value, json};

use crate::app::App;
use crate::audit::{Act, Actor, Object};
use crate::http::{Caller, Problem};

/// The shortest and the longest life of a share code, in seconds: a minute and a year.
pub const CODE_LIFE: std::ops::RangeInclusive<i64> = 60..=525_600 * 60;
/// How long a share code lives unless somebody says otherwise, in seconds.
pub const CODE_LIFE_DEFAULT: i64 = 86_400;

/// Whom somebody wants to share with, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

/// The scopes of a new share as they are asked for, each limited to this server; nothing asked is access. Any other
/// limit, and scopes that do not exist, are refused with 400.
pub fn requested(app: &App, owner: &str, server: &str, asked: &[String]) -> Result<Vec<RawScope>, Problem> {
    let access = [Scope::AccessServers.as_str().to_owned()];
    let scopes = if asked.is_empty() { &access[..] } else { asked };
    let share = scope::Share { owner, server, scopes };
    share.requested(&app.catalogue).map_err(|error| Problem::bad(error.to_string()))
}

/// Nobody gives what he does not hold: 403. `groups` are those of the server's owner.
pub fn check_held(
    app: &App,
    caller: &Caller,
    (owner, groups): (&str, &[String]),
    scopes: &[RawScope],
) -> Result<(), Problem> {
    let wanted = Rights::expand(&app.catalogue, scopes, caller.scope_owner(), Client::Hub);
    let mut members = Membership::none();
    members.learn(owner, groups.iter().cloned());
    match caller.rights.lacks(&wanted, &members).first() {
        None => Ok(()),
        Some(scope) => Err(Problem::forbidden(format!("Do not have permission to grant share with scope {scope}"))),
    }
}

/// Finds who is named, if the caller may know of them. 403 comes before 400, so that nothing tells who exists.
pub async fn find_to_grant(app: &App, caller: &Caller, whom: &Whom) -> Result<ShareWith, Problem> {
    let found = find(app, whom).await?;
    match whom {
        Whom::User(name) => {
            let groups = match found {
                Some(ShareWith::User(id)) => app.store.groups_of(id).await?,
                _ => Vec::new(),
            };
            if !caller.rights.covers(Scope::ReadUsersName, &Target::User { name, groups: &groups }) {
                return Err(Problem::forbidden("Need scope 'read:users:name' to share with users by name"));
            }
            found.ok_or_else(|| Problem::bad(format!("No such user: {name}")))
        }
        Whom::Group(name) => {
            if !caller.rights.covers(Scope::ReadGroupsName, &Target::Group(name)) {
                return Err(Problem::forbidden("Need scope 'read:groups:name' to share with groups by name"));
            }
            found.ok_or_else(|| Problem::bad(format!("No such group: {name}")))
        }
    }
}

/// Finds who is named.
pub async fn find(app: &App, whom: &Whom) -> Result<Option<ShareWith>, StoreError> {
    Ok(match whom {
        // No database holds such a name, and not every one can be asked for it.
        Whom::User(name) | Whom::Group(name) if name.contains('\0') => None,
        Whom::User(name) => app.store.user(name).await?.map(|user| ShareWith::User(user.id)),
        Whom::Group(name) => app.store.group(name).await?.map(|group| ShareWith::Group(group.id)),
    })
}

/// Shares a server, or extends what is shared already.
pub async fn grant(
    app: &App,
    by: &Actor,
    server: &Server,
    with: ShareWith,
    scopes: &[RawScope],
) -> Result<Share, Problem> {
    let share = app.store.change_share(server.id, with, app.now(), |share| share.extended(scopes)).await;
    let share = match share {
        Ok(share) => share.ok_or_else(Problem::not_found)?,
        Err(StoreError::Missing(_)) => return Err(Problem::bad("There is nobody of this name any more")),
        Err(error) => return Err(error.into()),
    };
    app.audited(by, Act::ShareGrant, object(&share.server), told(&share)).await;
    Ok(share)
}

/// Takes scopes away, or all when none are named. Returns what is left.
pub async fn revoke(
    app: &App,
    by: &Actor,
    server: &Server,
    whom: &Whom,
    scopes: Option<&[RawScope]>,
) -> Result<Option<Share>, StoreError> {
    let Some(with) = find(app, whom).await? else { return Ok(None) };
    let left = match scopes {
        Some(scopes) => app.store.change_share(server.id, with, app.now(), |share| share.reduced(scopes)).await?,
        None => {
            app.store.delete_share(server.id, with).await?;
            None
        }
    };
    let (kind, name) = match whom {
        Whom::User(name) => ("user", name),
        Whom::Group(name) => ("group", name),
    };
    let detail =
        json!({ kind: name, "left": left.as_ref().map_or_else(Vec::new, |share| share.as_scopes().current()) });
    app.audited(by, Act::ShareRevoke, Object::Server(&server.user_name, &server.name), detail).await;
    Ok(left)
}

/// Takes the server back from everybody.
pub async fn revoke_all(app: &App, by: &Actor, server: &Server) -> Result<(), StoreError> {
    let count = app.store.delete_shares_of(server.id).await?;
    let object = Object::Server(&server.user_name, &server.name);
    app.audited(by, Act::ShareRevoke, object, json!({ "count": count })).await;
    Ok(())
}

/// Gives up what is shared, for the user or for the whole group.
pub async fn leave(app: &App, by: &Actor, share: &Share) -> Result<(), StoreError> {
    app.store.delete_share(share.server.id, share.with).await?;
    app.audited(by, Act::ShareLeave, object(&share.server), told(share)).await;
    Ok(())
}

fn object(server: &SharedServer) -> Object<'_> {
    Object::Server(&server.owner, &server.name)
}

fn told(share: &Share) -> Value {
    let kind = match share.with {
        ShareWith::User(_) => "user",
        ShareWith::Group(_) => "group",
    };
    json!({ kind: share.with_name, "scopes": share.as_scopes().current() })
}

/// Refuses a share code that would live too short or too long.
pub fn check_code_life(seconds: i64) -> Result<(), Problem> {
    let (least, most) = (CODE_LIFE.start(), CODE_LIFE.end());
    if CODE_LIFE.contains(&seconds) {
        return Ok(());
    }
    Err(Problem::bad(format!("expires_in must be between {least} and {most} seconds")))
}

/// Makes a share code for a server; returns its row and its text, which is told this once.
pub async fn make_code(
    app: &App,
    by: &Actor,
    server: &Server,
    scopes: &[RawScope],
    seconds: i64,
) -> Result<(ShareCode, Secret), Problem> {
    check_code_life(seconds)?;
    let (now, mut random) = (app.now(), rand::rng());
    let code = token::generate_share_code(&mut random);
    let named = scope::Share { owner: &server.user_name, server: &server.name, scopes: &[] };
    let new = NewShareCode {
        server: server.id,
        hashed: Secret::new(token::hash(code.expose(), token::GENERATED_ROUNDS, &mut random)),
        prefix: token::prefix(code.expose()).to_owned(),
        scopes: named.extended(scopes),
        expires_at: now + TimeDelta::seconds(seconds),
        now,
    };
    let row = app.store.insert_share_code(&new).await?.ok_or_else(Problem::not_found)?;
    let detail = json!({ "code": code_id(row.id), "scopes": row.as_scopes().current(), "expires_in": seconds });
    app.audited(by, Act::ShareCodeCreate, object(&row.server), detail).await;
    Ok((row, code))
}

/// Finds the code in force with this text.
pub async fn find_code(app: &App, text: &str) -> Result<Option<ShareCode>, StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.len() > token::LONGEST || !text.bytes().all(plain) {
        return Ok(None);
    }
    let candidates = app.store.share_codes_by_prefix(token::prefix(text), app.now()).await?;
    Ok(candidates.into_iter().find(|candidate| token::verify(candidate.hashed.expose(), text)))
}

/// JupyterHub's name of a code: `sc_5`.
pub fn code_id(id: ShareCodeId) -> String {
    format!("sc_{id}")
}

/// Reads JupyterHub's name of a code.
pub fn parse_code_id(text: &str) -> Option<ShareCodeId> {
    let digits = text.strip_prefix("sc_")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok().map(ShareCodeId)).flatten()
}

/// Deletes one code of a server; tells whether there was one.
pub async fn delete_code(app: &App, by: &Actor, server: &Server, id: ShareCodeId) -> Result<bool, StoreError> {
    let deleted = app.store.delete_share_code(server.id, id).await?;
    if deleted {
        let object = Object::Server(&server.user_name, &server.name);
        app.audited(by, Act::ShareCodeDelete, object, json!({ "code": code_id(id) })).await;
    }
    Ok(deleted)
}

/// Deletes all codes of a server.
pub async fn delete_codes(app: &App, by: &Actor, server: &Server) -> Result<(), StoreError> {
    let count = app.store.delete_share_codes_of(server.id).await?;
    let object = Object::Server(&server.user_name, &server.name);
    app.audited(by, Act::ShareCodeDelete, object, json!({ "count": count })).await;
    Ok(())
}

/// Exchanges a code for a share. `None` when it has just expired or was deleted.
pub async fn exchange(app: &App, by: &Actor, code: &ShareCode, user: &User) -> Result<Option<Share>, StoreError> {
    let scopes = app.catalogue.parse_stored(code.as_scopes().current());
    let change = |share: scope::Share<'_>| share.extended(&scopes);
    let share = app.store.exchange_share_code(code.id, user.id, app.now(), change).await?;
    if let Some(share) = &share {
        let mut detail = told(share);
        detail["code"] = code_id(code.id).into();
        app.audited(by, Act::ShareAccept, object(&share.server), detail).await;
    }
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_whole_or_not_at_all() {
        assert_eq!(parse_code_id("sc_12"), Some(ShareCodeId(12)));
        for text in ["", "sc_", "12", "sc_+1", "sc_-1", "sc_1x", "sc_99999999999999999999", "SC_1"] {
            assert_eq!(parse_code_id(text), None, "{text}");
        }
    }
}
