//! Numbers that many threads add to and that one reads now and then: histograms, and quantiles without keeping samples.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How often something took up to so long. The bounds are Prometheus's `le`, in seconds.
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// One more than there are bounds, for what takes longer.
    counts: Vec<AtomicU64>,
    micros: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), micros: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Writes its lines. `label` is one label of all of them, such as `class="user"`.
    pub(crate) fn write(&self, text: &mut String, name: &str, label: &str) {
        let mut sum = 0;
        for (at, count) in self.counts.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            // Writing to a String does not fail.
            let _ = match self.bounds.get(at) {
                Some(bound) => writeln!(text, "{name}_bucket{{{label},le=\"{bound}\"}} {sum}"),
                None => writeln!(text, "{name}_bucket{{{label},le=\"+Inf\"}} {sum}"),
            };
        }
        let seconds = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{name}_sum{{{label}}} {seconds}\n{name}_count{{{label}}} {sum}");
    }
}

/// Parts of each power of two: a quantile is right to an eighth of itself.
const PARTS: u32 = 3;
/// Those that the client library of Prometheus for Node gives, and so configurable-http-proxy.
const QUANTILES: [f64; 7] = [0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 0.999];

/// Quantiles of durations since the start.
pub(crate) struct Summary {
    counts: Vec<AtomicU64>,
    nanos: AtomicU64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { counts: (0..64 << PARTS).map(|_| AtomicU64::new(0)).collect(), nanos: AtomicU64::new(0) }
    }
}

impl Summary {
    pub(crate) fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(part(nanos)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn quantile(counts: &[u64], all: u64, quantile: f64) -> Duration {
        let wanted = (all as f64 * quantile).ceil().max(1.0) as u64;
        let mut sum = 0;
        let at = counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        at.map_or(Duration::ZERO, |at| Duration::from_nanos(middle(at)))
    }

    /// Writes its lines as that library does.
    pub(crate) fn write(&self, text: &mut String, name: &str, help: &str) {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let all = counts.iter().sum();
        // Writing to a String does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} summary");
        for quantile in QUANTILES {
            let took = Self::quantile(&counts, all, quantile).as_secs_f64();
            let _ = writeln!(text, "{name}{{quantile=\"{quantile}\"}} {took}");
        }
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {all}");
    }
}

/// The part in which a number lies: its highest bit and the few after it.
fn part(nanos: u64) -> usize {
    let nanos = nanos.max(1 << PARTS);
    let high = nanos.ilog2();
    let after = (nanos >> (high - PARTS)) & ((1 << PARTS) - 1);
    usize::try_from(u64::from(high << PARTS) | after).unwrap_or_default()
}

/// The middle of a part.
fn middle(part: usize) -> u64 {
    let part = part as u64;
    let (high, after) = (part >> PARTS, part & ((1 << PARTS) - 1));
    let Some(shift) = high.checked_sub(u64::from(PARTS)) else { return 0 };
    let low = ((1 << PARTS) | after) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_an_eighth() {
        for nanos in [8, 9, 100, 1_000, 123_456, 1_000_000_000, u64::from(u32::MAX) * 1000] {
            let found = middle(part(nanos));
            assert!(found.abs_diff(nanos) <= nanos / 8, "{nanos}: {found}");
        }
        assert!(part(u64::MAX) < 64 << PARTS);
        let summary = Summary::default();
        (1..=1000).for_each(|micros| summary.add(Duration::from_micros(micros)));
        let mut text = String::new();
        summary.write(&mut text, "x", "y");
        let value =
            |line: &str| text.lines().find_map(|found| found.strip_prefix(line)).unwrap().parse::<f64>().unwrap();
        assert!((value("x{quantile=\"0.5\"} ") - 500e-6).abs() < 70e-6, "{text}");
        assert!((value("x{quantile=\"0.99\"} ") - 990e-6).abs() < 130e-6, "{text}");
        assert!((value("x_sum ") - 0.5005).abs() < 1e-9 && value("x_count ") == 1000.0, "{text}");
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        for millis in [50, 100, 500, 5000] {
            histogram.add(Duration::from_millis(millis));
        }
        let mut text = String::new();
        histogram.write(&mut text, "x", "a=\"b\"");
        let expected = "x_bucket{a=\"b\",le=\"0.1\"} 2\nx_bucket{a=\"b\",le=\"1\"} 3\nx_bucket{a=\"b\",le=\"+Inf\"} 4\nx_sum{a=\"b\"} 5.65\nx_count{a=\"b\"} 4\n";
        assert_eq!(text, expected);
    }
}
