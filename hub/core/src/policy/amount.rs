//! What servers take and what people may have, in whole numbers: thousandths of a core, bytes, GPUs, servers.

use serde::{Deserialize, Serialize};

/// What can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Servers at once.
    Servers,
    /// Thousandths of a core.
    Cpu,
    /// Bytes.
    Memory,
    /// GPUs.
    Gpu,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Servers, Self::Cpu, Self::Memory, Self::Gpu];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Gpu => "gpu",
        }
    }

    /// An amount of it with its unit: "2 cores".
    pub fn told(self, amount: u64) -> String {
        match self {
            Self::Servers => counted(amount, "server"),
            Self::Cpu => cores(amount),
            Self::Memory => bytes(amount),
            Self::Gpu => counted(amount, "GPU"),
        }
    }
}

/// An amount that stands for any number.
pub const UNLIMITED: u64 = u64::MAX;

/// An amount of each dimension, or nothing said about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Servers at once.
    pub servers: Option<u64>,
    /// Thousandths of a core.
    pub cpu: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// GPUs.
    pub gpu: Option<u64>,
}

impl Amounts {
    /// One of them.
    pub fn get(&self, dimension: Dimension) -> Option<u64> {
        match dimension {
            Dimension::Servers => self.servers,
            Dimension::Cpu => self.cpu,
            Dimension::Memory => self.memory,
            Dimension::Gpu => self.gpu,
        }
    }

    /// Replaces one of them.
    pub fn set(&mut self, dimension: Dimension, amount: Option<u64>) {
        *match dimension {
            Dimension::Servers => &mut self.servers,
            Dimension::Cpu => &mut self.cpu,
            Dimension::Memory => &mut self.memory,
            Dimension::Gpu => &mut self.gpu,
        } = amount;
    }

    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Cores as thousandths. `None` for what is not a number of cores.
pub fn millis(cores: f64) -> Option<u64> {
    (cores.is_finite() && (0.0..=1e9).contains(&cores)).then(|| (cores * 1000.0).round() as u64)
}

/// Thousandths as cores.
pub fn as_cores(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// Reads bytes as JupyterHub does, `"1.5G"`, and as Kubernetes does, `"1.5Gi"`; here both are powers of 1024.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_suffix('i').filter(|rest| rest.ends_with(['K', 'M', 'G', 'T'])).unwrap_or(text);
    let shift = match text.chars().next_back()? {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return text.parse().ok().filter(|bytes| *bytes <= MOST_BYTES),
    };
    let number: f64 = text.get(..text.len() - 1)?.parse().ok()?;
    let bytes = number * f64::from(2_u32).powi(shift);
    // Beyond 2^53 a number of bytes is a slip, and would not be exact.
    (0.0..=MOST_BYTES as f64).contains(&bytes).then_some(bytes as u64)
}

/// More is not exact as a floating point number.
const MOST_BYTES: u64 = 9_000_000_000_000_000;

/// "2 cores", "0.5 cores", "1 core".
pub fn cores(millis: u64) -> String {
    let noun = if millis == 1000 { "core" } else { "cores" };
    format!("{} {noun}", as_cores(millis))
}

/// "4 GB", with the powers of 1024 that everybody calls so.
pub fn bytes(bytes: u64) -> String {
    for (shift, unit) in [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")] {
        if bytes >= 1 << shift {
            let number = format!("{:.1}", bytes as f64 / f64::from(2_u32).powi(shift));
            return format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number));
        }
    }
    format!("{bytes} B")
}

/// "1 GPU", "2 GPUs".
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_the_suffixes_of_jupyterhub_and_kubernetes() {
        let table = [("0", Some(0)), ("4096", Some(4096)), ("1.5M", Some(1_572_864)), ("2G", Some(2 << 30))];
        let more = [("2Gi", Some(2 << 30)), ("1T", Some(1 << 40)), (" 1K ", Some(1024)), ("1Mi", Some(1 << 20))];
        let bad = ["", "G", "i", "Gi", "1g", "1GB", "-1G", "NaNG", "1e300T", "é", "99999999999999999999", "1i"];
        for (text, bytes) in table.into_iter().chain(more).chain(bad.map(|text| (text, None))) {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn amounts_are_told_with_units() {
        let table = [
            (Dimension::Cpu, 1000, "1 core"),
            (Dimension::Cpu, 500, "0.5 cores"),
            (Dimension::Cpu, 8000, "8 cores"),
            (Dimension::Memory, 4 << 30, "4 GB"),
            (Dimension::Memory, 3 << 29, "1.5 GB"),
            (Dimension::Memory, 512, "512 B"),
            (Dimension::Gpu, 1, "1 GPU"),
            (Dimension::Servers, 3, "3 servers"),
        ];
        for (dimension, amount, told) in table {
            assert_eq!(dimension.told(amount), told);
        }
    }
}
