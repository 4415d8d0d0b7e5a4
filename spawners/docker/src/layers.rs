//! How far a pull is, added up over the layers of an image.

use std::collections::HashMap;

use bollard::models::CreateImageInfo;

/// The layers of an image that is being pulled.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    layers: HashMap<String, Layer>,
}

#[derive(Debug, Default)]
struct Layer {
    done: u64,
    total: u64,
}

/// Bytes that are there, and bytes that are known of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub done: u64,
    pub total: u64,
}

impl Layers {
    /// Takes one message of the engine into account.
    pub fn hear(&mut self, said: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&said.id, said.status.as_deref()) else { return };
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        let detail = said.progress_detail.as_ref();
        let current = number(detail.and_then(|detail| detail.current));
        let total = number(detail.and_then(|detail| detail.total));
        let layer = self.layers.entry(id.clone()).or_default();
        match status {
            "Downloading" => {
                layer.total = layer.total.max(total);
                layer.done = layer.done.max(current.min(layer.total));
            }
            // What is small is downloaded without a word, and first heard of when it is unpacked.
            "Extracting" => {
                layer.total = layer.total.max(total);
                layer.done = layer.total;
            }
            "Verifying Checksum" | "Download complete" | "Pull complete" => layer.done = layer.total,
            _ => {}
        }
    }

    /// The sum.
    pub fn bytes(&self) -> Bytes {
        self.layers.values().fold(Bytes::default(), |sum, layer| Bytes {
            done: sum.done.saturating_add(layer.done),
            total: sum.total.saturating_add(layer.total),
        })
    }
}

impl Bytes {
    /// From 0 to 100.
    pub fn percent(self) -> u8 {
        let percent = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, name) = if self.total >= 10_000_000 { (1e6, "MB") } else { (1e3, "kB") };
        write!(f, "{:.0} of {:.0} {name}", self.done as f64 / unit, self.total as f64 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    fn said(id: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn layers_add_up_and_never_go_back() {
        let mut layers = Layers::default();
        layers.hear(&said("a", "Pulling fs layer", 0, 0));
        layers.hear(&said("a", "Downloading", 10_000_000, 40_000_000));
        layers.hear(&said("b", "Downloading", 5_000_000, 10_000_000));
        assert_eq!(layers.bytes().to_string(), "15 of 50 MB");
        layers.hear(&said("b", "Download complete", 0, 0));
        layers.hear(&said("b", "Extracting", 1, 10_000_000));
        assert_eq!(layers.bytes(), Bytes { done: 20_000_000, total: 50_000_000 });
        layers.hear(&said("a", "Downloading", -5, 40_000_000));
        assert_eq!(layers.bytes().percent(), 40);
        layers.hear(&CreateImageInfo::default());
        assert_eq!(Bytes::default().percent(), 0);
    }
}
