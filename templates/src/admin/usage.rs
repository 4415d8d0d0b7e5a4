//! Usage over time: how much ran, by group.

use askama::Template;

use super::chart::Chart;
use super::{Chip, Tab};
use crate::{Frame, Page, Place, sample};

/// Usage over a day, a week or a month.
#[derive(Debug, Template)]
#[template(path = "admin/usage.html")]
pub struct Usage {
    /// What surrounds the page.
    pub frame: Frame,
    /// The periods to choose from.
    pub periods: Vec<Chip>,
    /// Servers, cores, memory, GPUs; those of which there is nothing are left out.
    pub charts: Vec<Chart>,
    /// The groups in the order of the layers from the ground up, then all together.
    pub rows: Vec<Row>,
    /// Whether anybody has looked yet in this period.
    pub looked: bool,
}

/// What one group took.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub label: String,
    /// The number of its colour; none for all together.
    pub colour: Option<usize>,
    /// Servers, cores, memory, GPUs: the mean, and the most at once.
    pub cells: Vec<(String, String)>,
}

impl Usage {
    /// The tab that is open.
    pub fn tab(&self) -> Tab {
        Tab::Usage
    }

    /// The headings of the numbers, in their order.
    pub fn headings(&self) -> [&'static str; 4] {
        let words = self.frame.words;
        [words.usage_servers, words.usage_cores, words.usage_memory, words.usage_gpus]
    }

    /// A heading by its place.
    pub fn heading(&self, place: &usize) -> &'static str {
        self.headings().get(*place).copied().unwrap_or_default()
    }
}

impl Page for Usage {
    const NAME: &'static str = "admin-usage";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::usages()
    }
}
