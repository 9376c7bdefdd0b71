//! Makes a guest's log line fit for a log. Pure.

/// Longest line, in bytes.
const LONGEST_LINE: usize = 1_024;

/// One line without control characters, cut at a character's end.
pub(crate) fn log_line(text: &str) -> String {
    let mut end = text.len().min(LONGEST_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let odd = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    text.get(..end).unwrap_or_default().chars().map(|char| if odd(char) { ' ' } else { char }).collect()
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
