//! Text → lines of words.

/// A parsed case file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Steps in order.
    pub steps: Vec<Line>,
}

/// One line, and the lines indented below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Line number in the file, from 1.
    pub number: usize,
    /// Words; quotes are gone.
    pub words: Vec<String>,
    /// The line as it was written, without its indent.
    pub text: String,
    /// What must hold of this step.
    pub below: Vec<Line>,
}

/// The file is no case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {what}")]
pub struct ParseError {
    number: usize,
    what: &'static str,
}

/// Parses a case. Blank lines and lines that start with `#` are passed over.
///
/// Words are divided by blanks. In a word that begins with a double quote, up to the next one, a blank is part of the word, and `\"`, `\\`, `\r`, `\n`, `\t`, `\0` and `\xHH`
/// are what they are in C.
///
/// # Errors
/// [`ParseError`] for an open quote, an unknown escape, or an indented line with no step above.
pub fn parse(text: &str) -> Result<Case, ParseError> {
    let mut steps: Vec<Line> = Vec::new();
    for (number, raw) in (1..).zip(text.lines()) {
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let words = words(trimmed).map_err(|what| ParseError { number, what })?;
        let line = Line { number, words, text: trimmed.to_owned(), below: Vec::new() };
        if raw.starts_with([' ', '\t']) {
            let above = steps.last_mut().ok_or(ParseError { number, what: "an indented line needs a step above" })?;
            above.below.push(line);
        } else {
            steps.push(line);
        }
    }
    Ok(Case { steps })
}

fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut begun) = (false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // Inside a word a quote is itself, so that JSON and metric names need no escapes.
            '"' if quoted || !begun => (quoted, begun) = (!quoted, true),
            '\\' if quoted => word.push(escape(&mut chars)?),
            c if c.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if quoted {
        return Err("a quote is not closed");
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<char, &'static str> {
    const UNKNOWN: &str = "an unknown escape";
    match chars.next().ok_or(UNKNOWN)? {
        'r' => Ok('\r'),
        'n' => Ok('\n'),
        't' => Ok('\t'),
        '0' => Ok('\0'),
        same @ ('"' | '\\') => Ok(same),
        'x' => {
            let digits: String = chars.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).map(char::from).map_err(|_| UNKNOWN)
        }
        _ => Err(UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn words_quotes_and_indents() {
        let plain = parse("metric a{b=\"c\"} {\"d\":1}").unwrap();
        assert_eq!(plain.steps[0].words, ["metric", "a{b=\"c\"}", "{\"d\":1}"]);
        let case = parse("# note\nget a \"b c\"\n  status 206\n\nraw \"x\\r\\n\\x41\\0\" \"\"\n").unwrap();
        let steps: Vec<_> = case.steps.iter().map(|step| step.words.clone()).collect();
        assert_eq!(steps, [vec!["get", "a", "b c"], vec!["raw", "x\r\nA\0", ""]]);
        assert_eq!(case.steps[0].below[0].words, ["status", "206"]);
        assert_eq!(case.steps[0].below[0].number, 3);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, message) in [
            ("get \"a", "line 1: a quote is not closed"),
            ("\n  status 1", "line 2: an indented line needs a step above"),
            ("raw \"\\q\"", "line 1: an unknown escape"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }
}
