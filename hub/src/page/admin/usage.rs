//! `/admin/usage`: how much ran over a day, a week or a month, by group.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::scope::Target;
use hub_store::{Usage, UsageOf, UsageShare};
use pages::admin::Chip;
use pages::admin::chart::{Chart, LAYERS, Measure, Period, Series};
use pages::admin::usage::{Row, Usage as Page};
use pages::words::{ENGLISH, Words};

use super::{opened, require};
use crate::app::App;
use crate::http::Answer;
use crate::http::guard::rights;
use crate::http::url::argument;
use crate::page::{href, show, surround};

/// What can be looked at: its name in the query, the seconds of one span, and how many of them.
const PERIODS: [(&str, u32, usize); 3] = [("day", 1800, 48), ("week", 10_800, 56), ("month", 86_400, 30)];

/// `GET /admin/usage`
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Answer {
    let caller = match opened(&request, &app, None).await? {
        Ok(caller) => caller,
        Err(login) => return Ok(login),
    };
    // It tells of everybody together and of groups, as the metrics and the description of the hub do.
    require::<rights::ReadHub>(&caller, &Target::Hub)?;
    let wanted = argument(&request, "period").unwrap_or_default();
    let (name, span, spans) = PERIODS.into_iter().find(|(name, ..)| *name == wanted).unwrap_or(PERIODS[0]);
    let period = Period { from: beginning(app.now(), span, spans), span, spans };
    let found = app.store.usage(period.from, span).await?;
    let drawn = draw(&found, period, &ENGLISH);
    let labels = [ENGLISH.usage_day, ENGLISH.usage_week, ENGLISH.usage_month];
    let chip = |((known, ..), label): (&(&str, u32, usize), &str)| Chip {
        label: label.to_owned(),
        url: href(&app.paths.hub(&format!("admin/usage?period={known}"))),
        on: *known == name,
        leaves: false,
    };
    let (frame, cookie) = surround(&request, &app, Some(&caller), "admin").parts();
    let page = Page {
        frame,
        periods: PERIODS.iter().zip(labels).map(chip).collect(),
        charts: drawn.charts,
        rows: drawn.rows,
        looked: !found.is_empty(),
    };
    show(&page, StatusCode::OK, cookie)
}

/// Where the first span begins, so that the last one is the present one.
fn beginning(now: Time, span: u32, spans: usize) -> Time {
    let span = i64::from(span);
    let last = now.timestamp().div_euclid(span) * span;
    let first = last - span * (spans as i64 - 1);
    Time::from_timestamp(first, 0).unwrap_or(now - TimeDelta::days(1))
}

/// Takes one number out of what servers take.
type Value = fn(&Usage) -> i64;

struct Drawn {
    charts: Vec<Chart>,
    rows: Vec<Row>,
}

/// Puts shares into charts and a table.
fn draw(found: &[UsageShare], period: Period, words: &'static Words) -> Drawn {
    let order = order(found);
    // In the units of a `Measure`.
    let measures: [(Measure, Value, &str, &str); 4] = [
        (Measure::Servers, |usage| usage.servers * 1000, words.usage_servers, words.usage_servers_what),
        (Measure::Cores, |usage| usage.millicores, words.usage_cores, words.usage_cores_what),
        (Measure::Memory, |usage| usage.memory, words.usage_memory, words.usage_memory_what),
        (Measure::Gpus, |usage| usage.gpus * 1000, words.usage_gpus, words.usage_gpus_what),
    ];
    let looked: BTreeSet<usize> = found.iter().filter_map(|share| place(share, period)).collect();
    let mut charts = Vec::new();
    let mut rows: Vec<Row> = order
        .iter()
        .enumerate()
        .map(|(colour, of)| Row { label: label(of, words), colour: Some(colour), cells: Vec::new() })
        .collect();
    let mut together = Row { label: words.usage_all.to_owned(), colour: None, cells: Vec::new() };
    for (measure, value, title, what) in measures {
        let mut series = Vec::new();
        let mut all = 0;
        for (row, of) in rows.iter_mut().zip(&order) {
            let mut values: Vec<Option<i64>> = vec![None; period.spans];
            for index in &looked {
                if let Some(slot) = values.get_mut(*index) {
                    *slot = Some(0);
                }
            }
            let mut most: BTreeMap<usize, i64> = BTreeMap::new();
            for share in found.iter().filter(|share| kept(&share.of, &order) == *of) {
                let Some(index) = place(share, period) else { continue };
                if let Some(slot) = values.get_mut(index) {
                    *slot = Some(slot.unwrap_or(0).saturating_add(value(&share.sum) / share.looks.max(1)));
                }
                *most.entry(index).or_default() += value(&share.most);
            }
            let mean = values.iter().flatten().sum::<i64>() / i64::try_from(looked.len().max(1)).unwrap_or(1);
            all += mean;
            row.cells.push((measure.told(mean), measure.told(most.values().copied().max().unwrap_or(0))));
            series.push(Series { label: row.label.clone(), values });
        }
        together.cells.push((measure.told(all), String::new()));
        let chart = Chart::stacked(title, what, measure, period, &series);
        // The first one stands there also when nothing ran; of the others nothing need be said.
        if !chart.is_empty() || measure == Measure::Servers {
            charts.push(chart);
        }
    }
    rows.push(together);
    Drawn { charts, rows }
}

/// The span of a share, counted from the first.
fn place(share: &UsageShare, period: Period) -> Option<usize> {
    let index = (share.at - period.from).num_seconds().div_euclid(i64::from(period.span.max(1)));
    usize::try_from(index).ok().filter(|index| *index < period.spans)
}

/// The groups to draw: those with most servers, then all others together, then nobody's; as many as there are colours.
fn order(found: &[UsageShare]) -> Vec<UsageOf> {
    let mut sums: BTreeMap<&UsageOf, i64> = BTreeMap::new();
    for share in found {
        *sums.entry(&share.of).or_default() += share.sum.servers;
    }
    let mut groups: Vec<(i64, &UsageOf)> =
        sums.iter().filter(|(of, _)| matches!(of, UsageOf::Group(_))).map(|(of, sum)| (*sum, *of)).collect();
    groups.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let most = LAYERS - 2;
    let mut order: Vec<UsageOf> = groups.iter().take(most).map(|(_, of)| (*of).clone()).collect();
    if groups.len() > most || sums.contains_key(&UsageOf::Others) {
        order.push(UsageOf::Others);
    }
    if sums.get(&UsageOf::Nobody).is_some_and(|sum| *sum > 0) || order.is_empty() {
        order.push(UsageOf::Nobody);
    }
    order
}

/// Whose layer a share is drawn in.
fn kept(of: &UsageOf, order: &[UsageOf]) -> UsageOf {
    match of {
        UsageOf::Group(_) if !order.contains(of) => UsageOf::Others,
        of => of.clone(),
    }
}

fn label(of: &UsageOf, words: &'static Words) -> String {
    match of {
        UsageOf::Group(name) => name.clone(),
        UsageOf::Others => words.usage_others.to_owned(),
        UsageOf::Nobody => words.usage_nobody.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(at: i64, of: UsageOf, servers: i64) -> UsageShare {
        let usage = Usage { servers, ..Usage::default() };
        let most = Usage { servers: servers + 1, ..usage };
        UsageShare { at: Time::from_timestamp(at, 0).unwrap(), of, sum: usage, looks: 1, most }
    }

    fn group(name: &str) -> UsageOf {
        UsageOf::Group(name.to_owned())
    }

    const PERIOD: Period = Period { from: Time::UNIX_EPOCH, span: 100, spans: 4 };

    #[test]
    fn the_last_span_is_the_present_one() {
        let now = Time::from_timestamp(1_773_912_600, 0).unwrap();
        let from = beginning(now, 1800, 48);
        assert_eq!((now - from).num_seconds(), 47 * 1800);
    }

    #[test]
    fn groups_are_drawn_by_size_and_small_ones_together() {
        let mut found: Vec<UsageShare> =
            (0..9).map(|index| share(0, group(&format!("g{index}")), 10 - index)).collect();
        found.push(share(100, UsageOf::Nobody, 3));
        let drawn = draw(&found, PERIOD, &ENGLISH);
        let labels: Vec<&str> = drawn.rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(
            labels,
            ["g0", "g1", "g2", "g3", "g4", ENGLISH.usage_others, ENGLISH.usage_nobody, ENGLISH.usage_all]
        );
        assert_eq!(drawn.charts.len(), 1, "nothing is known of cores, memory and GPUs");
        assert_eq!(drawn.charts[0].layers.len(), LAYERS);
        // Two spans were looked at, and the others' four groups had 5 + 4 + 3 + 2 in one of them.
        assert_eq!(drawn.rows[5].cells[0], ("7".to_owned(), "18".to_owned()));
    }

    #[test]
    fn cores_memory_and_gpus_of_groups_have_a_chart_each() {
        let usage = |servers, millicores, gib: i64, gpus| Usage { servers, millicores, memory: gib << 30, gpus };
        let of = |at, name: &str, sum: Usage| UsageShare {
            at: Time::from_timestamp(at, 0).unwrap(),
            of: group(name),
            sum,
            looks: 1,
            most: sum,
        };
        let found = [
            of(0, "staff", usage(2, 4000, 8, 1)),
            of(100, "staff", usage(4, 8000, 16, 3)),
            of(100, "guests", usage(1, 1000, 1, 0)),
        ];
        let drawn = draw(&found, PERIOD, &ENGLISH);
        // The guests had no GPUs: there is nothing to draw of them in the last chart.
        let layers: Vec<usize> = drawn.charts.iter().map(|chart| chart.layers.len()).collect();
        assert_eq!(layers, [2, 2, 2, 1]);
        let cells =
            |at: usize| drawn.rows[at].cells.iter().map(|(mean, most)| format!("{mean} {most}")).collect::<Vec<_>>();
        assert_eq!(cells(0), ["3 4", "6 8", "12 GiB 16 GiB", "2 3"]);
        assert_eq!(cells(1), ["0.5 1", "0.5 1", "0.5 GiB 1 GiB", "0 0"]);
    }

    #[test]
    fn a_time_in_which_nothing_ran_is_drawn_empty() {
        let drawn = draw(&[share(0, UsageOf::Nobody, 0)], PERIOD, &ENGLISH);
        assert!(drawn.charts[0].is_empty());
        assert_eq!(drawn.rows.len(), 2);
    }
}
