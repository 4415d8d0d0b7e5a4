//! The operator's colour: checked, and brought to readable shades for light and dark.

use serde::{Deserialize, Serialize};

/// A colour for buttons, links and marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Accent([u8; 3]);

/// A text that is no colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadAccent;

/// The least contrast of text, WCAG 2 level AA.
const READABLE: f64 = 4.5;
/// The page in light and in dark, as in the stylesheet (`--page`).
const LIGHT: [u8; 3] = [0xf7, 0xf7, 0xf5];
const DARK: [u8; 3] = [0x12, 0x15, 0x1b];
const BLACK: [u8; 3] = [0; 3];
const WHITE: [u8; 3] = [0xff; 3];

impl Accent {
    /// Takes `#rrggbb` or `#rgb`.
    pub fn parse(text: &str) -> Result<Self, BadAccent> {
        let digits: Vec<u8> = text
            .strip_prefix('#')
            .ok_or(BadAccent)?
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(BadAccent))
            .collect::<Result<_, _>>()?;
        match *digits.as_slice() {
            [r, g, b] => Ok(Self([r * 17, g * 17, b * 17])),
            [r, s, g, h, b, c] => Ok(Self([r * 16 + s, g * 16 + h, b * 16 + c])),
            _ => Err(BadAccent),
        }
    }

    /// The stylesheet that puts the colour in place of the project's own. As text and as a button it stays readable:
    /// a colour too pale for a light page is darkened, one too dark for a dark page is lightened.
    pub fn stylesheet(self) -> String {
        let block = |page, toward| {
            let shade = readable(self.0, page, toward);
            let on = if contrast(shade, WHITE) >= contrast(shade, BLACK) { "#ffffff" } else { "#000000" };
            format!("--accent: {}; --on-accent: {on};", hex(shade))
        };
        let (light, dark) = (block(LIGHT, BLACK), block(DARK, WHITE));
        format!(
            ":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {dark} }} }}\n\
             :root[data-theme=dark] {{ {dark} }}\n"
        )
    }
}

fn readable(colour: [u8; 3], page: [u8; 3], toward: [u8; 3]) -> [u8; 3] {
    (0..=100).map(|percent| mix(colour, toward, percent)).find(|c| contrast(*c, page) >= READABLE).unwrap_or(toward)
}

fn mix(from: [u8; 3], to: [u8; 3], percent: u32) -> [u8; 3] {
    let channel = |a: u8, b: u8| {
        let mixed = (u32::from(a) * (100 - percent) + u32::from(b) * percent) / 100;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    };
    let ([r, g, b], [s, h, c]) = (from, to);
    [channel(r, s), channel(g, h), channel(b, c)]
}

/// The contrast ratio of WCAG 2, from 1 to 21.
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance([r, g, b]: [u8; 3]) -> f64 {
    let linear = |channel: u8| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

impl std::fmt::Display for Accent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(self.0))
    }
}

impl std::fmt::Display for BadAccent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a colour is written #rrggbb or #rgb")
    }
}

impl std::error::Error for BadAccent {}

impl TryFrom<String> for Accent {
    type Error = BadAccent;

    fn try_from(text: String) -> Result<Self, BadAccent> {
        Self::parse(&text)
    }
}

impl From<Accent> for String {
    fn from(accent: Accent) -> Self {
        accent.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hexadecimal_colours_are_taken() {
        assert_eq!(Accent::parse("#0b5fa5").unwrap().to_string(), "#0b5fa5");
        assert_eq!(Accent::parse("#fc0").unwrap().to_string(), "#ffcc00");
        for text in ["", "#", "red", "#12", "#1234", "#12345g", "#1234567", "#ff0;}", "0b5fa5"] {
            assert_eq!(Accent::parse(text), Err(BadAccent), "{text}");
        }
    }

    #[test]
    fn every_colour_becomes_readable_on_both_pages() {
        for text in ["#000", "#fff", "#fc0", "#7f7f7f", "#0b5fa5", "#9c1322"] {
            let Accent(colour) = Accent::parse(text).unwrap();
            assert!(contrast(readable(colour, LIGHT, BLACK), LIGHT) >= READABLE, "{text} on light");
            assert!(contrast(readable(colour, DARK, WHITE), DARK) >= READABLE, "{text} on dark");
        }
    }

    /// The custom properties of each block of the stylesheet that sets `--page`.
    fn palettes() -> Vec<Vec<(&'static str, Accent)>> {
        let blocks = include_str!("../static/specola.css").split('{').filter(|block| block.contains("--page:"));
        let colour = |line: &'static str| {
            let (name, value) = line.trim().strip_prefix("--")?.split_once(": ")?;
            Some((name, Accent::parse(value).ok()?))
        };
        blocks
            .map(|block| block.split('}').next().unwrap_or_default().split(';').filter_map(colour).collect())
            .collect()
    }

    #[test]
    fn the_colours_of_the_stylesheet_are_readable_in_light_and_dark() {
        let palettes = palettes();
        assert_eq!(palettes.len(), 3);
        assert_eq!(palettes[1], palettes[2], "dark by the system's wish and by choice are the same");
        for palette in palettes {
            let of = |name| palette.iter().find(|(known, _)| *known == name).map(|(_, accent)| accent.0).unwrap();
            assert!([LIGHT, DARK].contains(&of("page")));
            for ground in ["page", "surface", "sunken"] {
                for text in ["text", "muted", "accent", "ready", "working", "warning", "failed"] {
                    let ratio = contrast(of(text), of(ground));
                    assert!(ratio >= READABLE, "{text} on {ground}: {ratio:.2}");
                }
            }
            assert!(contrast(of("on-accent"), of("accent")) >= READABLE);
            assert!(contrast(of("edge"), of("surface")) >= 3.0, "borders of controls");
        }
    }

    #[test]
    fn a_readable_colour_stays_what_it_is() {
        assert!(
            Accent::parse("#9c1322")
                .unwrap()
                .stylesheet()
                .starts_with(":root { --accent: #9c1322; --on-accent: #ffffff; }")
        );
    }
}
