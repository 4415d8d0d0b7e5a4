//! What the admin panel shows of people and their servers: one road for its pages (`page/admin/`) and for the stream that
//! keeps them true (`api/admin.rs`). Each field is shown by the right that REST asks for it.

pub mod asked;
pub mod facts;
pub mod plan;
pub mod rows;

use hub_core::scope::{Scope, Target, Verdict};

use crate::api::users;
use crate::app::App;
use crate::http::guard::{Right, rights};
use crate::http::{Caller, Problem};
use crate::people::Person;

use asked::Asked;

/// So many people are shown together.
pub const PART: u32 = 50;

/// One part of the people that a caller may see.
pub struct People {
    /// In the order asked for.
    pub items: Vec<Person>,
    /// How many there are on all parts.
    pub total: i64,
}

/// Whether a caller may open the panel.
pub fn may_open(caller: &Caller) -> bool {
    caller.rights.may_any(rights::Panel::ANY_OF, &Target::Hub) == Verdict::Allowed
}

/// The people that are asked for, as far as the caller may list them; `None` if that is not at all.
pub async fn people(app: &App, caller: &Caller, asked: &Asked) -> Result<Option<People>, Problem> {
    let reach = caller.rights.reach(Scope::ListUsers);
    // REST refuses what it cannot list; here the page says so.
    let Ok(only) = users::only(&reach) else { return Ok(None) };
    let found = app.people.list(&app.store, &asked.query(only, app.now())).await?;
    Ok(Some(People { items: found.items.clone(), total: found.total }))
}
