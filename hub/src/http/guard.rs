//! Rights as types: a handler that takes one of these has a caller who may do what the type says, to what it names.
//!
//! There is no other way to a user, server or group for a REST handler. The order of checks and the choice between 403
//! and 404 are JupyterHub's: nothing tells a stranger whether something exists.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use hub_core::scope::{Scope, Target, Verdict};
use hub_store::{Server, User};

use super::{Caller, Problem, caller, url, xsrf};
use crate::app::App;
use crate::people::Person;

type Found<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// Names the scopes of which one is needed.
pub trait Right: 'static {
    /// Any of these will do.
    const ANY_OF: &'static [Scope];
}

/// The rights that handlers ask for.
pub mod rights {
    use super::{Right, Scope};

    macro_rules! rights {
        ($($(#[$doc:meta])* $name:ident [$($scope:ident),+];)+) => {$(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Right for $name {
                const ANY_OF: &'static [Scope] = &[$(Scope::$scope),+];
            }
        )+};
    }

    rights! {
        /// See anything about a user.
        ReadUser [ReadUsers, ReadUsersName, ReadServers, ReadUsersGroups, ReadUsersActivity, ReadRolesUsers];
        /// See users in lists.
        ListUsers [ListUsers];
        /// Make and change users.
        AdminUsers [AdminUsers];
        /// Delete users.
        DeleteUsers [DeleteUsers];
        /// Report activity.
        Activity [UsersActivity];
        /// See tokens.
        ReadTokens [ReadTokens];
        /// Make and delete tokens.
        Tokens [Tokens];
        /// See servers.
        ReadServers [ReadServers];
        /// Start and edit servers.
        StartServers [StartServers];
        /// Stop and delete servers.
        DeleteServers [DeleteServers];
        /// See groups in lists.
        ListGroups [ListGroups];
        /// See a group.
        ReadGroup [ReadGroups, ReadGroupsName, ReadRolesGroups];
        /// Make groups.
        AdminGroups [AdminGroups];
        /// Delete groups.
        DeleteGroups [DeleteGroups];
        /// Change members and properties of groups.
        Groups [Groups];
        /// See who may use somebody's servers.
        ReadShares [ReadShares];
        /// Share servers.
        Shares [Shares];
        /// See what is shared with a user.
        ReadUsersShares [ReadUsersShares];
        /// End what is shared with a user.
        UsersShares [UsersShares];
        /// See what is shared with a group.
        ReadGroupsShares [ReadGroupsShares];
        /// End what is shared with a group.
        GroupsShares [GroupsShares];
        /// See services in lists.
        ListServices [ListServices];
        /// See a service.
        ReadService [ReadServices, ReadServicesName, ReadRolesServices];
        /// Make and delete services.
        AdminServices [AdminServices];
        /// See what the hub is made of.
        ReadHub [ReadHub];
        /// See and mend routes.
        Proxy [Proxy];
        /// All about servers.
        Servers [Servers];
        /// Write announcements.
        Announce [AdminUi];
        /// Say of a site that it takes no starts, that it is given up, or when it is maintained.
        Sites [Shutdown];
        /// Stop the hub.
        Shutdown [Shutdown];
        /// Open the admin panel. What can be done there has rights of its own.
        Panel [AdminUi];
        /// See all roles, and who holds them.
        ReadRoles [ReadRoles];
        /// Use servers.
        AccessServers [AccessServers];
    }
}

/// A caller, whatever the rights.
pub struct Anyone(pub Arc<Caller>);

/// A caller or nobody: the handler recognises who else may ask, by what is in the body.
pub struct Anybody(pub Option<Arc<Caller>>);

/// A caller with a right that is about nothing in particular.
pub struct May<R>(pub Arc<Caller>, PhantomData<R>);

/// A caller with a right, filtered or not; the handler restricts what it lists by `caller.rights.reach`.
pub struct Listing<R>(pub Arc<Caller>, PhantomData<R>);

/// A caller with a right on the user that the path names, and that user.
pub struct OnUser<R> {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Whom it is about.
    pub person: Arc<Person>,
    right: PhantomData<R>,
}

/// A caller with a right on the server that the path names, its user, and the server if there is one.
pub struct OnServer<R> {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Whose server it is.
    pub person: Arc<Person>,
    /// The server's name; empty for the default one.
    pub name: String,
    right: PhantomData<R>,
}

/// A caller with a right on the group that the path names. Whether the group exists is for the handler to find.
pub struct OnGroup<R> {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The group's name.
    pub name: String,
    right: PhantomData<R>,
}

/// A caller with a right on the service that the path names. Whether the service exists is for the handler to find.
pub struct OnService<R> {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The service's name.
    pub name: String,
    right: PhantomData<R>,
}

async fn recognise(request: &HttpRequest) -> Result<(web::Data<App>, Arc<Caller>), Problem> {
    let app = caller::app_of(request)?;
    let found = caller::of_api(request, &app).await?;
    xsrf::check_api(request, &app, found.as_deref())?;
    let found = accepted(request, found).ok_or_else(|| Problem::forbidden("Missing or invalid credentials."))?;
    Ok((app, found))
}

fn accepted(request: &HttpRequest, found: Option<Arc<Caller>>) -> Option<Arc<Caller>> {
    let found = found.filter(|caller| caller.by_token() || !is_form(request));
    if let Some(found) = &found {
        caller::remember(request, found);
    }
    found
}

/// A body that a form on another site can send does not act in the name of a cookie.
fn is_form(request: &HttpRequest) -> bool {
    let changes = *request.method() == actix_web::http::Method::POST;
    let kind = request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    changes && !kind.is_empty() && !kind.eq_ignore_ascii_case("application/json")
}

/// Turns a verdict into JupyterHub's answer.
pub fn require(verdict: Verdict, any_of: &[Scope]) -> Result<(), Problem> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Hidden => {
            let message = "No access to resources or resources not found";
            Err(Problem::new(actix_web::http::StatusCode::NOT_FOUND, message))
        }
        Verdict::Forbidden => {
            let names: Vec<&str> = any_of.iter().map(|scope| scope.as_str()).collect();
            let names = names.join(", ");
            Err(Problem::forbidden(format!("Action is not authorized with current scopes; requires any of [{names}]")))
        }
    }
}

impl<R> OnUser<R> {
    /// The user.
    pub fn user(&self) -> &User {
        &self.person.user
    }
}

impl<R> OnServer<R> {
    /// The server's owner.
    pub fn user(&self) -> &User {
        &self.person.user
    }

    /// The server, if it was ever made.
    pub fn server(&self) -> Option<&Server> {
        self.person.server(&self.name)
    }
}

impl FromRequest for Anyone {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Ok(Self(recognise(&request).await?.1)) })
    }
}

impl FromRequest for Anybody {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let app = caller::app_of(&request)?;
            let found = caller::of_api(&request, &app).await?;
            if found.is_some() {
                xsrf::check_api(&request, &app, found.as_deref())?;
            }
            Ok(Self(accepted(&request, found)))
        })
    }
}

impl<R: Right> FromRequest for May<R> {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (_, caller) = recognise(&request).await?;
            require(caller.rights.may_any(R::ANY_OF, &Target::Hub), R::ANY_OF)?;
            Ok(Self(caller, PhantomData))
        })
    }
}

impl<R: Right> FromRequest for Listing<R> {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (_, caller) = recognise(&request).await?;
            let held = R::ANY_OF.iter().any(|scope| caller.rights.reach(*scope) != hub_core::scope::Reach::Nothing);
            require(if held { Verdict::Allowed } else { Verdict::Forbidden }, R::ANY_OF)?;
            Ok(Self(caller, PhantomData))
        })
    }
}

impl<R: Right> FromRequest for OnUser<R> {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (app, caller) = recognise(&request).await?;
            let name = url::piece(&request, "user")?;
            let person = app.people.person(&app.store, &name).await?;
            let groups = person.as_deref().map_or(&[][..], |person| &person.groups);
            let target = Target::User { name: &name, groups };
            require(caller.rights.may_any(R::ANY_OF, &target), R::ANY_OF)?;
            let person = person.ok_or_else(Problem::not_found)?;
            Ok(Self { caller, person, right: PhantomData })
        })
    }
}

impl<R: Right> FromRequest for OnServer<R> {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (app, caller) = recognise(&request).await?;
            let (owner, name) = (url::piece(&request, "user")?, url::piece(&request, "server")?);
            let person = app.people.person(&app.store, &owner).await?;
            let groups = person.as_deref().map_or(&[][..], |person| &person.groups);
            let target = Target::Server { user: &owner, name: &name, groups };
            require(caller.rights.may_any(R::ANY_OF, &target), R::ANY_OF)?;
            let person = person.ok_or_else(Problem::not_found)?;
            Ok(Self { caller, person, name, right: PhantomData })
        })
    }
}

impl<R: Right> FromRequest for OnGroup<R> {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (_, caller) = recognise(&request).await?;
            let name = url::piece(&request, "group")?;
            require(caller.rights.may_any(R::ANY_OF, &Target::Group(&name)), R::ANY_OF)?;
            Ok(Self { caller, name, right: PhantomData })
        })
    }
}

impl<R: Right> FromRequest for OnService<R> {
    type Error = Problem;
    type Future = Found<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (_, caller) = recognise(&request).await?;
            let name = url::piece(&request, "service")?;
            require(caller.rights.may_any(R::ANY_OF, &Target::Service(&name)), R::ANY_OF)?;
            Ok(Self { caller, name, right: PhantomData })
        })
    }
}
