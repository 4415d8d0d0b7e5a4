//! What operators say of a site: that it takes no starts, that it is given up, when it is maintained. Pure.

use crate::clock::Time;

/// Longer texts about a maintenance nobody reads, in characters.
pub const LONGEST: usize = 500;

/// How a site is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteState {
    /// It takes no new starts; what runs goes on.
    pub drained: bool,
    /// It is given up: what ran there is gone.
    pub lost: bool,
    /// When it is, or was, maintained.
    pub window: Option<Window>,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// From when no server starts there.
    pub begins: Time,
    /// Until when.
    pub ends: Time,
    /// What people are told; may be empty.
    pub text: String,
    /// Whether servers that run there are stopped at the beginning.
    pub stops_servers: bool,
}

/// Why a site takes no starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed<'s> {
    /// It is given up.
    Lost,
    /// It is under maintenance.
    Maintenance(&'s Window),
    /// It is drained.
    Drained,
}

impl SiteState {
    /// Why it takes no starts at an instant; nothing where it does.
    pub fn closed(&self, now: Time) -> Option<Closed<'_>> {
        if self.lost {
            return Some(Closed::Lost);
        }
        let maintained = self.window.as_ref().filter(|window| window.is_on(now)).map(Closed::Maintenance);
        maintained.or(self.drained.then_some(Closed::Drained))
    }

    /// The window, unless it is over.
    pub fn window_ahead(&self, now: Time) -> Option<&Window> {
        self.window.as_ref().filter(|window| now < window.ends)
    }

    /// Whether servers that run there are to be stopped now.
    pub fn stops_servers(&self, now: Time) -> bool {
        self.window.as_ref().is_some_and(|window| window.stops_servers && window.is_on(now))
    }

    /// What may not be, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        let Some(window) = &self.window else { return Ok(()) };
        if window.ends <= window.begins {
            return Err("A maintenance ends after it begins".to_owned());
        }
        if window.text.chars().count() > LONGEST {
            return Err(format!("The text of a maintenance has at most {LONGEST} characters"));
        }
        if window.text.chars().any(char::is_control) {
            return Err("The text of a maintenance is one line without control characters".to_owned());
        }
        Ok(())
    }
}

impl Window {
    /// Whether it has begun and is not over.
    pub fn is_on(&self, now: Time) -> bool {
        self.begins <= now && now < self.ends
    }
}

impl Closed<'_> {
    /// Why, in a sentence for people. `site` is what people call it.
    pub fn sentence(&self, site: &str) -> String {
        match self {
            Self::Lost => format!("{site} is out of service."),
            Self::Drained => format!("{site} takes no new servers at present."),
            Self::Maintenance(window) => {
                let until = window.ends.format("%Y-%m-%d %H:%M UTC");
                let text = if window.text.is_empty() { "." } else { ": " };
                let end = if window.text.is_empty() || window.text.ends_with(['.', '!', '?']) { "" } else { "." };
                format!("{site} is under maintenance until {until}{text}{}{end}", window.text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(seconds, 0).unwrap()
    }

    fn window(text: &str) -> Window {
        Window { begins: at(100), ends: at(200), text: text.to_owned(), stops_servers: true }
    }

    #[test]
    fn a_window_closes_from_its_beginning_to_before_its_end() {
        let state = SiteState { window: Some(window("")), ..SiteState::default() };
        for (now, closed, ahead) in [(0, false, true), (100, true, true), (199, true, true), (200, false, false)] {
            let found = (state.closed(at(now)).is_some(), state.window_ahead(at(now)).is_some());
            assert_eq!(found, (closed, ahead), "{now}");
            assert_eq!(state.stops_servers(at(now)), closed, "{now}");
        }
        let drained = SiteState { drained: true, ..state.clone() };
        assert_eq!(drained.closed(at(0)), Some(Closed::Drained));
        assert_eq!(drained.closed(at(100)), Some(Closed::Maintenance(&window(""))));
        assert_eq!(SiteState { lost: true, ..drained }.closed(at(100)), Some(Closed::Lost));
    }

    #[test]
    fn people_read_why_and_until_when() {
        let told = |text: &str| Closed::Maintenance(&window(text)).sentence("CNAF");
        assert_eq!(told(""), "CNAF is under maintenance until 1970-01-01 00:03 UTC.");
        assert_eq!(told("New disks"), "CNAF is under maintenance until 1970-01-01 00:03 UTC: New disks.");
        assert_eq!(told("New disks!"), "CNAF is under maintenance until 1970-01-01 00:03 UTC: New disks!");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |window: Window| SiteState { window: Some(window), ..SiteState::default() }.check().is_ok();
        assert!(check(window("")) && check(window(&"é".repeat(LONGEST))));
        assert!(!check(Window { ends: at(100), ..window("") }));
        assert!(!check(window(&"é".repeat(LONGEST + 1))) && !check(window("a\u{0}b")) && !check(window("a\nb")));
    }
}
