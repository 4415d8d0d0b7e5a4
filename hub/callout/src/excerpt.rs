//! What others wrote, made fit for a line of the log.

/// The last bytes of a text on one line, without control characters; `…` stands for what was left out.
pub fn excerpt(bytes: &[u8], longest: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let clean: Vec<char> = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match clean.len().checked_sub(longest) {
        None | Some(0) => clean.into_iter().collect(),
        Some(skipped) => std::iter::once('…').chain(clean.into_iter().skip(skipped)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_becomes_one_short_line() {
        assert_eq!(excerpt(b" two\n lines\t", 20), "two lines");
        assert_eq!(excerpt(b"\x1b[31mred\xff", 20), "\u{fffd}[31mred\u{fffd}");
        assert_eq!(excerpt("äöü".as_bytes(), 2), "…öü");
    }
}
