//! What a wish for many comes to: decided once for the question that is asked before, and again when it is done.

use hub_core::scope::{Scope, Target};
use hub_store::{Server, User};

use crate::api::view;
use crate::http::Caller;
use crate::people::Person;

/// What is wanted for those who are ticked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Their default servers run.
    Start,
    /// None of their servers runs.
    Stop,
    /// They are no users any more.
    Delete,
}

/// What it comes to.
#[derive(Debug, Default)]
pub struct Plan {
    /// The people something is done to.
    pub people: Vec<User>,
    /// The servers that are stopped, by whatever wish.
    pub servers: Vec<Server>,
    /// The names of those for whom the caller may not do it.
    pub left_out: Vec<String>,
}

/// Decides what a caller's wish comes to. People for whom there is nothing to do are passed over.
pub fn of(caller: &Caller, wish: Wish, people: &[Person]) -> Plan {
    let mut plan = Plan::default();
    for person in people {
        let Person { user, groups, servers, .. } = person;
        let may = |scope, name: &str| caller.rights.covers(scope, &Target::Server { user: &user.name, name, groups });
        let active = || servers.iter().filter(|server| view::is_active(server));
        let done = match wish {
            Wish::Start if person.server("").is_some_and(view::is_active) => continue,
            Wish::Start => may(Scope::StartServers, ""),
            Wish::Stop if active().next().is_none() => continue,
            Wish::Stop => {
                let mine: Vec<&Server> = active().filter(|server| may(Scope::DeleteServers, &server.name)).collect();
                plan.servers.extend(mine.iter().copied().cloned());
                !mine.is_empty()
            }
            Wish::Delete => {
                let target = Target::User { name: &user.name, groups };
                let allowed = caller.rights.covers(Scope::DeleteUsers, &target)
                    && caller.user().is_none_or(|caller| caller.id != user.id);
                if allowed {
                    plan.servers.extend(active().cloned());
                }
                allowed
            }
        };
        if done {
            plan.people.push(user.clone());
        } else {
            plan.left_out.push(user.name.clone());
        }
    }
    plan
}
