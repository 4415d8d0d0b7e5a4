//! Which people are asked for: read from a query, and written as one again for the links of the page.

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_store::{Only, Sort, SortKey, UserQuery, UserState};

use super::PART;
use crate::http::url::{encode_pairs, form_pairs};

/// A server that was not used for so long is idle.
const IDLE: TimeDelta = TimeDelta::days(1);

/// What is asked for. JupyterHub's own links to the panel may ask for what there is not; that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// A part of the name.
    pub name: String,
    /// A group.
    pub group: String,
    /// Only people with servers in use.
    pub running: bool,
    /// Only administrators.
    pub admins: bool,
    /// Only people with a server that nobody has used for a day.
    pub idle: bool,
    /// Only people with a server that failed.
    pub failed: bool,
    /// The order.
    pub sort: Sort,
    /// So many are left out.
    pub offset: u32,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            name: String::new(),
            group: String::new(),
            running: false,
            admins: false,
            idle: false,
            failed: false,
            sort: Sort { key: SortKey::Name, descending: false },
            offset: 0,
        }
    }
}

/// What the columns are called in a query.
const KEYS: [(&str, SortKey); 3] =
    [("name", SortKey::Name), ("last_activity", SortKey::LastActivity), ("created", SortKey::Created)];

impl Asked {
    /// Reads a query string. What is said twice counts as it was said last.
    pub fn read(query: &str) -> Self {
        let mut asked = Self::default();
        for (key, value) in form_pairs(query) {
            let on = value == "1";
            // No name holds such a character, and not every database can be asked for it.
            let text = || value.trim().replace('\0', "");
            match key.as_str() {
                "q" => asked.name = text(),
                "group" => asked.group = text(),
                "running" => asked.running = on,
                "admins" => asked.admins = on,
                "idle" => asked.idle = on,
                "failed" => asked.failed = on,
                "sort" => asked.sort = sort(&value).unwrap_or(Self::default().sort),
                "offset" => asked.offset = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        asked
    }

    /// As a query string, without what goes without saying.
    pub fn write(&self) -> String {
        encode_pairs(self.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)))
    }

    /// As pairs of a query, without what goes without saying.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let flags = [("running", self.running), ("admins", self.admins), ("idle", self.idle), ("failed", self.failed)];
        let texts = [("q", &self.name), ("group", &self.group)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, text.clone()));
        let flags = flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "1".to_owned()));
        let mut pairs: Vec<_> = texts.chain(flags).collect();
        if self.sort != Self::default().sort {
            let name = KEYS.iter().find(|(_, key)| *key == self.sort.key).map_or("name", |(name, _)| name);
            pairs.push(("sort", format!("{}{name}", if self.sort.descending { "-" } else { "" })));
        }
        if self.offset > 0 {
            pairs.push(("offset", self.offset.to_string()));
        }
        pairs
    }

    /// The same from its beginning, with a change.
    pub fn changed(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = Self { offset: 0, ..self.clone() };
        change(&mut other);
        other
    }

    /// Ordered by a column: the other way round if it is already.
    pub fn ordered(&self, key: SortKey) -> Self {
        // What was last is looked for first, but names are read from A.
        let first = key != SortKey::Name;
        let descending = if self.sort.key == key { !self.sort.descending } else { first };
        self.changed(|asked| asked.sort = Sort { key, descending })
    }

    /// How a column orders the list: `ascending` or `descending`.
    pub fn order_of(&self, key: SortKey) -> Option<&'static str> {
        (self.sort.key == key).then_some(if self.sort.descending { "descending" } else { "ascending" })
    }

    /// What the database is asked, of those that `only` lets be seen.
    pub fn query(&self, only: Option<Only>, now: Time) -> UserQuery {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        UserQuery {
            state: self.running.then_some(UserState::Active),
            name_filter: text(&self.name),
            sort: self.sort,
            offset: self.offset,
            limit: Some(PART),
            only,
            admins: self.admins,
            group: text(&self.group),
            // To the minute, so that the same question within it has the same answer in memory.
            idle_since: self.idle.then(|| minute(now) - IDLE),
            failed: self.failed,
        }
    }
}

fn minute(now: Time) -> Time {
    now - TimeDelta::milliseconds(now.timestamp_millis().rem_euclid(60_000))
}

fn sort(text: &str) -> Option<Sort> {
    let name = text.strip_prefix('-').unwrap_or(text);
    let (_, key) = KEYS.iter().find(|(known, _)| *known == name)?;
    Some(Sort { key: *key, descending: text.starts_with('-') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for query in [
            "",
            "q=al&group=a%26b%3D+c",
            "running=1&admins=1&idle=1&failed=1",
            "sort=-name",
            "sort=last_activity&offset=50",
            "sort=-created",
        ] {
            assert_eq!(Asked::read(query).write(), query);
        }
    }

    #[test]
    fn nonsense_counts_as_nothing() {
        for query in
            ["sort=running", "sort=admin", "sort=--name", "offset=-1", "offset=x", "running=yes", "%00", "q=%00"]
        {
            assert_eq!(Asked::read(query), Asked::default(), "{query}");
        }
        assert_eq!(Asked::read("q=a&q=b&q=+c+").name, "c");
    }

    #[test]
    fn a_column_turns_round_and_begins_anew() {
        let asked = Asked::read("offset=50");
        assert_eq!(asked.ordered(SortKey::Name).write(), "sort=-name");
        assert_eq!(asked.ordered(SortKey::LastActivity).write(), "sort=-last_activity");
        assert_eq!(asked.ordered(SortKey::LastActivity).ordered(SortKey::LastActivity).write(), "sort=last_activity");
        assert_eq!(asked.order_of(SortKey::Name), Some("ascending"));
        assert_eq!(asked.order_of(SortKey::Created), None);
    }
}
