//! What was found in a database that is to be taken over, as an operator reads it.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use hub_core::name::{ServerName, UserName};
use hub_store::{Inventory, RunningServer};

/// So many names are shown of a long list.
const SHOWN: usize = 5;

/// Encrypted auth states, and whether they can be opened.
pub struct AuthStates {
    /// How many there are.
    pub total: usize,
    /// How many the key opens.
    pub opened: usize,
    /// Where the key came from; `None` without one.
    pub key: Option<String>,
}

/// Everything that was found.
pub struct Findings {
    /// The database.
    pub url: String,
    /// The JupyterHub it belongs to.
    pub made_by: String,
    /// Whether the schema has to be changed.
    pub is_older: bool,
    /// Whether Specola has had it before.
    pub knows_specola: bool,
    /// Who works with it at this moment.
    pub in_use_by: Vec<String>,
    /// JupyterHub's cookie secret.
    pub cookie_secret: Option<PathBuf>,
    /// What is wrong with it.
    pub faults: Vec<String>,
    /// Encrypted auth states.
    pub auth_states: AuthStates,
    /// What is in it.
    pub inventory: Inventory,
}

impl Findings {
    /// What has to be put right before it can be taken over.
    pub fn obstacles(&self) -> Vec<String> {
        let mut all = self.faults.clone();
        let named = |user: &&String| UserName::parse(user).is_err();
        let unnamed: Vec<String> = self.inventory.users.iter().filter(named).map(|name| format!("{name:?}")).collect();
        if !unnamed.is_empty() {
            all.push(format!(
                "users whose names JupyterHub 6 refuses: {}; rename or delete them in the old JupyterHub",
                some(&unnamed)
            ));
        }
        if self.inventory.unreadable_scopes > 0 {
            all.push(format!("{} lists of scopes cannot be read", self.inventory.unreadable_scopes));
        }
        if let Some(secret) = self.cookie_secret.as_ref().filter(|file| !file.is_file()) {
            all.push(format!("there is no cookie secret file {}", secret.display()));
        }
        all
    }

    /// What goes on, but not as before.
    fn notes(&self) -> Vec<String> {
        let mut all = Vec::new();
        let old = |(_, name): &&(String, String)| !ServerName::stored(name.as_str()).is_current();
        let old: Vec<String> =
            self.inventory.named.iter().filter(old).map(|(user, name)| format!("{user}/{name}")).collect();
        if !old.is_empty() {
            all.push(format!(
                "named servers with names of before JupyterHub 6 start, and cannot be made anew: {}",
                some(&old)
            ));
        }
        let AuthStates { total, opened, key } = &self.auth_states;
        match key {
            None if *total > 0 => {
                all.push("set JUPYTERHUB_CRYPT_KEY to see whether the auth states can be opened".into())
            }
            Some(key) if opened < total => {
                all.push(format!("{key} does not open {} of the auth states", total - opened))
            }
            _ => {}
        }
        if self.cookie_secret.is_none() && self.inventory.sessions > 0 {
            all.push("without --cookie-secret-file everybody has to log in again".into());
        }
        let elsewhere: Vec<String> =
            self.inventory.running.iter().filter(|server| kind(server) != LOCAL).map(place).collect();
        if !elsewhere.is_empty() {
            all.push(format!("servers that Specola cannot take over yet, stop them first: {}", some(&elsewhere)));
        }
        let secured: Vec<String> = self.inventory.running.iter().filter(|server| server.tls).map(place).collect();
        if !secured.is_empty() {
            all.push(format!(
                "servers that speak TLS with authorities of JupyterHub (internal_ssl), which are not taken over, stop them \
                 first: {}",
                some(&secured)
            ));
        }
        all.extend(self.in_use_by.iter().map(|user| format!("in use by {user}: stop that hub before --yes")));
        all
    }

    /// What to do once it is taken over.
    pub fn next_steps(&self) -> String {
        let shown = without_password(&self.url);
        let mut text =
            format!("Put this into specola.toml, then start `specola serve`:\n\n[hub]\ndb_url = {shown:?}\n");
        if shown != self.url {
            text += "# with the password; or put the whole URL into a file and name that with db_url_file\n";
        }
        if let Some(file) = &self.cookie_secret {
            text += &format!("cookie_secret_file = {:?}\n", file.display().to_string());
        }
        text + "\nTo go back: stop Specola, start JupyterHub 6.1 on the same database."
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Inventory { users, admins, active, groups, memberships, roles, tokens, used_tokens, .. } = &self.inventory;
        let Inventory { sessions, oauth_tokens, shares, share_codes, services, stopped, running, .. } = &self.inventory;
        let mut line = |name: &str, text: String| writeln!(f, "{name:<18} {text}");
        line("Database", without_password(&self.url))?;
        line("Made by", self.made_by.clone())?;
        let change =
            if self.is_older { "is brought to that of JupyterHub 6.1, with a backup first" } else { "stays as it is" };
        let again = if self.knows_specola { "; Specola had it before" } else { "" };
        line("Its schema", format!("{change}{again}"))?;
        line("Users", format!("{}, {admins} administrators, {active} active in the last 30 days", users.len()))?;
        line("Groups", format!("{}, {memberships} memberships", groups.len()))?;
        line("Roles", format!("{}", roles.len()))?;
        line("API tokens", format!("{tokens}, {used_tokens} used in the last 30 days"))?;
        line("Browser sessions", format!("{sessions}, {oauth_tokens} tokens of browsers and servers"))?;
        let AuthStates { total, opened, key } = &self.auth_states;
        let opened = key.as_ref().map_or(String::new(), |key| format!(", {opened} opened by {key}"));
        line("Auth states", format!("{total} encrypted{opened}"))?;
        line("Shares", format!("{shares}, {share_codes} share codes"))?;
        line(
            "Services",
            if services.is_empty() { "0".into() } else { format!("{}: {}", services.len(), some(services)) },
        )?;
        let shown: Vec<String> = running.iter().map(place).collect();
        line("Servers", format!("{} running, {stopped} stopped", running.len()))?;
        for server in shown {
            line("", server)?;
        }
        for (title, sentences) in [("In the way", self.obstacles()), ("Mind", self.notes())] {
            for (number, sentence) in sentences.iter().enumerate() {
                line(if number == 0 { title } else { "" }, sentence.clone())?;
            }
        }
        Ok(())
    }
}

const LOCAL: &str = "local process";

/// What a server runs on, told by what its spawner saved.
fn kind(server: &RunningServer) -> &'static str {
    let has = |key: &str| server.state.get(key).is_some();
    match () {
        () if has("pid") => LOCAL,
        () if has("object_id") || has("object_name") => "Docker container",
        () if has("pod_name") => "Kubernetes pod",
        () if has("job_id") => "batch job",
        () => "spawner unknown",
    }
}

fn place(server: &RunningServer) -> String {
    let name =
        if server.server.is_empty() { server.user.clone() } else { format!("{}/{}", server.user, server.server) };
    format!("{name} ({})", kind(server))
}

/// The first of some names, and how many more there are.
fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let first = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// A URL that may be shown: a password in it is left out, wherever it stands.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| !scheme.starts_with("sqlite")) else {
        return url.to_owned();
    };
    // A careless password may hold any character, so that what comes before the last @ is taken for it.
    let shown = match rest.rsplit_once('@').and_then(|(who, place)| Some((who.split_once(':')?.0, place))) {
        Some((user, place)) => format!("{user}:…@{place}"),
        None => rest.to_owned(),
    };
    let (place, query) = shown.split_once('?').unwrap_or((&shown, ""));
    let hidden = |part: &str| match part.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}=…"),
        _ => part.to_owned(),
    };
    let query: Vec<String> = query.split('&').filter(|part| !part.is_empty()).map(hidden).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{place}{mark}{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings() -> Findings {
        let running = |user: &str, state, tls| RunningServer { user: user.into(), server: String::new(), state, tls };
        Findings {
            url: "postgresql://hub:secret@db/jupyterhub".into(),
            made_by: "JupyterHub 5 (schema 4621fec11365)".into(),
            is_older: true,
            knows_specola: false,
            in_use_by: vec!["process 7 (jupyterhub)".into()],
            cookie_secret: None,
            faults: vec!["the column users.state is missing".into()],
            auth_states: AuthStates { total: 3, opened: 2, key: Some("JUPYTERHUB_CRYPT_KEY".into()) },
            inventory: Inventory {
                users: vec!["ann".into(), " bob".into()],
                named: vec![("ann".into(), "My Lab".into())],
                sessions: 1,
                running: vec![
                    running("ann", json!({ "pid": 1 }), true),
                    running("eve", json!({ "object_id": "x" }), false),
                ],
                unreadable_scopes: 1,
                ..Inventory::default()
            },
        }
    }

    #[test]
    fn all_that_is_in_the_way_is_named_with_what_to_do() {
        let text = findings().to_string();
        for part in [
            "postgresql://hub:…@db/jupyterhub",
            "the column users.state is missing",
            "\" bob\"",
            "1 lists of scopes cannot be read",
            "ann/My Lab",
            "does not open 1 of the auth states",
            "everybody has to log in again",
            "stop them first: eve (Docker container)",
            "which are not taken over, stop them first: ann (local process)\n",
            "in use by process 7 (jupyterhub)",
            "ann (local process)",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(!text.contains("secret@"), "{text}");
    }

    #[test]
    fn a_clean_database_has_nothing_in_the_way() {
        let mut findings = findings();
        findings.faults.clear();
        findings.inventory = Inventory { users: vec!["ann".into()], ..Inventory::default() };
        assert_eq!(findings.obstacles(), Vec::<String>::new());
        assert!(findings.next_steps().contains("db_url = \"postgresql://hub:…@db/jupyterhub\""));
    }

    #[test]
    fn a_url_is_shown_whole_but_for_its_password() {
        for (url, shown) in [
            ("sqlite:////srv/a@b:c@d/hub.sqlite", "sqlite:////srv/a@b:c@d/hub.sqlite"),
            ("postgresql://hub@db/hub", "postgresql://hub@db/hub"),
            ("postgresql://hub:p?w@db/hub", "postgresql://hub:…@db/hub"),
            ("postgresql://hub:pw@/hub?host=/run&password=pw", "postgresql://hub:…@/hub?host=/run&password=…"),
            ("postgresql:///hub?sslpassword=pw&user=me", "postgresql:///hub?sslpassword=…&user=me"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
