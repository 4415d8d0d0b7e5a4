//! The admin panel, one file a page. Whoever holds `admin-ui` may open it; what is shown and done there has the rights that
//! REST asks for the same, and takes the same road.

pub mod act;
pub mod audit;
pub mod people;
pub mod person;
pub mod roles;
pub mod services;
pub mod sites;
pub mod usage;

use actix_web::{HttpRequest, HttpResponse};
use hub_core::name::escape_path;
use hub_core::scope::Target;

use super::Form;
use crate::app::App;
use crate::http::guard::{self, Right, rights};
use crate::http::{Caller, Problem};

/// The caller, who may open the panel; or the way to the login page.
pub async fn opened(
    request: &HttpRequest,
    app: &App,
    form: Option<&Form>,
) -> Result<Result<Caller, HttpResponse>, Problem> {
    let found = super::person(request, app, form).await?;
    if let Ok(caller) = &found {
        require::<rights::Panel>(caller, &Target::Hub)?;
    }
    Ok(found)
}

/// Refuses a caller without the right, as REST does.
pub fn require<R: Right>(caller: &Caller, target: &Target<'_>) -> Result<(), Problem> {
    guard::require(caller.rights.may_any(R::ANY_OF, target), R::ANY_OF)
}

/// The page of a person.
pub fn path(app: &App, name: &str) -> String {
    app.paths.hub(&format!("admin/users/{}", escape_path(name)))
}

/// A form that misses what it needs.
pub fn incomplete() -> Problem {
    Problem::bad("This form is not complete")
}
