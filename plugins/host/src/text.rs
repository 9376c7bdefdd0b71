//! Makes a guest's log line fit for a log, and knows which characters mislead. Pure.

/// Longest line, in bytes.
const LONGEST_LINE: usize = 1_024;

/// One line without control characters, cut at a character's end.
pub(crate) fn log_line(text: &str) -> String {
    let mut end = text.len().min(LONGEST_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().chars().map(|char| if misleads(char) { ' ' } else { char }).collect()
}

/// Characters that break a line, drive a terminal, or turn the direction of text, so that it reads as what it is not.
pub(crate) fn misleads(char: char) -> bool {
    let line = matches!(char, '\u{2028}' | '\u{2029}');
    let direction =
        matches!(char, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || line || direction
}

#[cfg(test)]
mod tests {
    use super::log_line;

    #[test]
    fn lines() {
        let long = "é".repeat(600);
        let rows = [
            ("plain", "plain"),
            ("a\r\nb\tc\0d\u{1b}[31m", "a  b c d [31m"),
            ("a\u{2028}b\u{85}c", "a b c"),
            ("a\u{200e}b\u{200f}c\u{61c}d", "a b c d"),
            ("a\u{202a}b\u{202e}c\u{2066}d\u{2069}e", "a b c d e"),
            ("", ""),
            (long.as_str(), &long[..1_024]),
        ];
        for (text, want) in rows {
            assert_eq!(log_line(text), want);
        }
        // One byte before, so that the bound falls into a character.
        assert_eq!(log_line(&format!("a{long}")).len(), 1_023);
    }
}
