//! Stacked areas over time as the parts of an SVG: it prints, works without scripts and says in words what it shows.
//!
//! Every layer is drawn from the ground to the top of all layers up to it, the topmost first, so that one edge a layer is
//! enough. A value holds for its whole span; where nobody looked there is a gap.

use chrono::TimeDelta;
use hub_core::clock::Time;

/// The drawing's size and where the plot lies in it, in its own units.
const WIDTH: u32 = 960;
const HEIGHT: u32 = 220;
const LEFT: u32 = 0;
/// The scale is right of it, beside what is now.
const RIGHT: u32 = 880;
const TOP: u32 = 28;
const BOTTOM: u32 = 188;

/// So many layers can be told apart by colour.
pub const LAYERS: usize = 7;

/// What is measured, and how its numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Servers, in thousandths: a mean need not be whole.
    Servers,
    /// Cores, in thousandths.
    Cores,
    /// Memory, in bytes.
    Memory,
    /// GPUs, in thousandths.
    Gpus,
}

/// The values of one group over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its name.
    pub label: String,
    /// One value a span; none where nobody looked.
    pub values: Vec<Option<i64>>,
}

/// A chart, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// What it shows: its title.
    pub title: String,
    /// The same in a sentence, with the highest value.
    pub description: String,
    /// The areas in the order to draw them.
    pub layers: Vec<Layer>,
    /// Lines across, from the ground up.
    pub rules: Vec<Mark>,
    /// Instants below.
    pub days: Vec<Mark>,
}

/// One area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The number of its colour.
    pub colour: usize,
    /// Whose it is.
    pub label: String,
    /// The path.
    pub path: String,
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where, in units of the drawing.
    pub at: u32,
    /// What stands there.
    pub label: String,
}

/// The time that a chart covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Where it begins.
    pub from: Time,
    /// Seconds of one span.
    pub span: u32,
    /// How many spans.
    pub spans: usize,
}

impl Measure {
    /// A value for people, with its unit.
    pub fn told(self, value: i64) -> String {
        const GIB: f64 = (1u64 << 30) as f64;
        match self {
            Self::Servers | Self::Cores | Self::Gpus => short(value as f64 / 1000.0),
            Self::Memory if value as f64 >= 1024.0 * GIB => format!("{} TiB", short(value as f64 / GIB / 1024.0)),
            Self::Memory => format!("{} GiB", short(value as f64 / GIB)),
        }
    }

    /// The smallest step that lines across can have.
    fn unit(self) -> i64 {
        match self {
            Self::Servers | Self::Cores | Self::Gpus => 1000,
            Self::Memory => 1 << 30,
        }
    }
}

/// At most one digit behind the point, and none where it says nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Chart {
    /// Stacks the series, the first one at the ground. `description` has `{}` where the highest value goes.
    pub fn stacked(title: &str, description: &str, measure: Measure, period: Period, series: &[Series]) -> Self {
        let tops = tops(period.spans, series);
        let most = tops.last().into_iter().flatten().flatten().copied().max().unwrap_or(0);
        let step = step(most, measure.unit());
        let ceiling = (most.max(1) + step - 1) / step * step;
        let height = i64::from(BOTTOM - TOP);
        let y = |value: i64| {
            BOTTOM
                - u32::try_from(i128::from(value) * i128::from(height) / i128::from(ceiling))
                    .unwrap_or(0)
                    .min(BOTTOM - TOP)
        };
        let drawn = series.iter().zip(&tops).enumerate();
        let layer = |(colour, (series, top)): (usize, (&Series, &Vec<Option<i64>>))| {
            let path = path(period.spans, top, y);
            (!path.is_empty() && series.values.iter().flatten().any(|value| *value > 0)).then(|| Layer {
                colour: colour % LAYERS,
                label: series.label.clone(),
                path,
            })
        };
        let mut layers: Vec<Layer> = drawn.filter_map(layer).collect();
        layers.reverse();
        let rules = (0..=ceiling / step).map(|count| Mark { at: y(count * step), label: measure.told(count * step) });
        Self {
            title: title.to_owned(),
            description: crate::words::fill(description, measure.told(most)),
            layers,
            rules: rules.collect(),
            days: days(period),
        }
    }

    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The size of the drawing.
    pub fn view(&self) -> String {
        format!("0 0 {WIDTH} {HEIGHT}")
    }

    /// Where the plot begins and ends, and its ground.
    pub fn sides(&self) -> (u32, u32, u32) {
        (LEFT, RIGHT, BOTTOM)
    }
}

/// The upper edge of every series on top of those before it.
fn tops(spans: usize, series: &[Series]) -> Vec<Vec<Option<i64>>> {
    let mut top: Vec<Option<i64>> = vec![None; spans];
    let mut all = Vec::with_capacity(series.len());
    for series in series {
        for (top, value) in top.iter_mut().zip(&series.values) {
            if let Some(value) = value {
                *top = Some(top.unwrap_or(0).saturating_add((*value).max(0)));
            }
        }
        all.push(top.clone());
    }
    all
}

/// A step of 1, 2 or 5 times a power of ten units, so that there are at most five lines.
fn step(most: i64, unit: i64) -> i64 {
    let mut power = unit;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if most <= step.saturating_mul(4) || step == i64::MAX {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn x(spans: usize, index: usize) -> u32 {
    let width = u64::from(RIGHT - LEFT);
    LEFT + u32::try_from(width * index as u64 / spans.max(1) as u64).unwrap_or(0)
}

/// Steps from span to span, one closed piece for each run without a gap.
fn path(spans: usize, top: &[Option<i64>], y: impl Fn(i64) -> u32) -> String {
    let mut text = String::new();
    let mut at: Option<(u32, u32)> = None;
    for (index, value) in top.iter().enumerate().chain([(spans, &None)]) {
        let here = x(spans, index);
        match (value, at) {
            (Some(value), None) => {
                let level = y(*value);
                text.push_str(&format!("M{here} {BOTTOM}V{level}"));
                at = Some((here, level));
            }
            (Some(value), Some((_, level))) => {
                let next = y(*value);
                if next != level {
                    text.push_str(&format!("H{here}V{next}"));
                    at = Some((here, next));
                }
            }
            (None, Some(_)) => {
                text.push_str(&format!("H{here}V{BOTTOM}z"));
                at = None;
            }
            (None, None) => {}
        }
    }
    text
}

/// Marks at round instants: hours in a day, days in more.
fn days(period: Period) -> Vec<Mark> {
    let whole = i64::from(period.span).saturating_mul(period.spans as i64);
    let (every, format) = match whole {
        ..=90_000 => (4 * 3600, "%H:%M"),
        90_001..=700_000 => (86_400, "%b %-d"),
        _ => (5 * 86_400, "%b %-d"),
    };
    let from = period.from.timestamp();
    let first = (from + every - 1).div_euclid(every) * every;
    let mark = |count: i64| {
        let at = first + count * every;
        let share = (at - from) as f64 / whole.max(1) as f64;
        let time = period.from + TimeDelta::seconds(at - from);
        (share <= 0.95).then(|| Mark {
            at: LEFT + (f64::from(RIGHT - LEFT) * share) as u32,
            label: time.format(format).to_string(),
        })
    };
    (0..12).map_while(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(spans: usize) -> Period {
        Period { from: Time::from_timestamp(1_773_878_400, 0).unwrap(), span: 1800, spans }
    }

    fn series(label: &str, values: &[Option<i64>]) -> Series {
        Series { label: label.to_owned(), values: values.to_vec() }
    }

    fn chart(series: &[Series]) -> Chart {
        let spans = series.first().map_or(4, |series| series.values.len());
        Chart::stacked("Servers", "At most {} at once.", Measure::Servers, period(spans), series)
    }

    #[test]
    fn areas_stand_on_each_other_and_leave_gaps() {
        let drawn = chart(&[
            series("a", &[Some(2000), Some(2000), None, Some(0)]),
            series("b", &[Some(2000), Some(0), None, Some(4000)]),
        ]);
        assert_eq!(drawn.description, "At most 4 at once.");
        let paths: Vec<_> = drawn.layers.iter().map(|layer| (layer.colour, layer.path.as_str())).collect();
        assert_eq!(paths[0], (1, "M0 188V28H220V108H440V188zM660 188V28H880V188z"), "the topmost is drawn first");
        assert_eq!(paths[1], (0, "M0 188V108H440V188zM660 188V188H880V188z"));
        assert_eq!(drawn.rules.first(), Some(&Mark { at: 188, label: "0".into() }));
        assert_eq!(drawn.rules.last(), Some(&Mark { at: 28, label: "4".into() }));
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        for nothing in [vec![], vec![series("a", &[])], vec![series("a", &[Some(0), None])]] {
            let drawn = chart(&nothing);
            assert!(drawn.is_empty() && !drawn.rules.is_empty(), "{nothing:?}");
        }
    }

    #[test]
    fn lines_across_are_round_and_few() {
        for (most, expected) in
            [(0, 1), (1, 1), (4, 1), (5, 2), (9, 5), (21, 10), (1000, 500), (i64::MAX, 5_000_000_000_000_000_000)]
        {
            assert_eq!(step(most, 1), expected, "{most}");
        }
        assert_eq!(step(9000, 1000), 5000);
    }

    #[test]
    fn numbers_have_their_units() {
        assert_eq!(Measure::Cores.told(1500), "1.5");
        assert_eq!(Measure::Cores.told(2000), "2");
        assert_eq!(Measure::Memory.told(5 << 29), "2.5 GiB");
        assert_eq!(Measure::Memory.told(3 << 40), "3 TiB");
    }

    #[test]
    fn instants_are_round_and_within() {
        let of = |span, spans| days(Period { span, ..period(spans) });
        assert_eq!(
            of(1800, 48).iter().map(|mark| mark.label.as_str()).collect::<Vec<_>>(),
            ["00:00", "04:00", "08:00", "12:00", "16:00", "20:00"]
        );
        assert_eq!(of(10_800, 56).len(), 7);
        assert!((5..=7).contains(&of(43_200, 60).len()));
    }

    proptest::proptest! {
        #[test]
        fn any_values_are_drawn_within_the_plot(values in proptest::collection::vec(proptest::option::of(0..i64::MAX / 8), 1..20)) {
            let drawn = chart(&[series("a", &values), series("b", &values)]);
            let numbers = |text: &str| -> Vec<u32> { text.split(' ').map(|number| number.parse().unwrap()).collect() };
            for layer in &drawn.layers {
                for (at, command) in layer.path.match_indices(['M', 'H', 'V']) {
                    let rest = &layer.path[at + 1..];
                    let end = rest.find(|next: char| next.is_ascii_alphabetic()).unwrap();
                    let is_within = match (command, numbers(&rest[..end]).as_slice()) {
                        ("M", [x, y]) => (LEFT..=RIGHT).contains(x) && (TOP..=BOTTOM).contains(y),
                        ("H", [x]) => (LEFT..=RIGHT).contains(x),
                        ("V", [y]) => (TOP..=BOTTOM).contains(y),
                        _ => false,
                    };
                    proptest::prop_assert!(is_within, "{}", layer.path);
                }
            }
        }
    }
}
