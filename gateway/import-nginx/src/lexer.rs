//! Words of nginx's configuration, split as `ngx_conf_read_token` does.

use std::fmt;

/// A token, with the line on which it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxErrorKind {
    /// A quoted word without its end.
    #[error("a quoted word has no end")]
    OpenQuote,
    /// Text right after a closing quote.
    #[error("a space is missing after a closing quote")]
    AfterQuote,
    /// A directive without `;` or a block.
    #[error("a directive has no \";\"")]
    NoEnd,
    /// `;` or `{` without a name before it.
    #[error("a directive has no name")]
    NoName,
    /// A block without `}`.
    #[error("a block has no \"}}\"")]
    OpenBlock,
    /// A `}` too many.
    #[error("there is a \"}}\" without a block")]
    NoBlock,
    /// Blocks in blocks in blocks.
    #[error("blocks are nested too deeply")]
    TooDeep,
    /// Files that include one another, or too many of them.
    #[error("includes are nested too deeply, or are too many")]
    TooManyFiles,
    /// An `include` without exactly one word.
    #[error("include takes one file name")]
    Include,
}

/// A file that nginx would not take either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SyntaxError {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// What is wrong.
    pub kind: SyntaxErrorKind,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.kind)
    }
}

/// Splits a text.
pub(crate) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { rest: text.chars().peekable(), line: 1 }
    }

    /// The line that was read last.
    pub(crate) fn line(&self) -> u32 {
        self.line
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    /// The next token and its line; none at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<(Token, u32)>, SyntaxErrorKind> {
        loop {
            let Some(first) = self.rest.peek().copied() else { return Ok(None) };
            let line = self.line;
            match first {
                ' ' | '\t' | '\r' | '\n' => {
                    self.bump();
                }
                '#' => while self.rest.peek().is_some_and(|next| *next != '\n') && self.bump().is_some() {},
                ';' | '{' | '}' => {
                    self.bump();
                    let token = match first {
                        ';' => Token::End,
                        '{' => Token::Open,
                        _ => Token::Close,
                    };
                    return Ok(Some((token, line)));
                }
                '"' | '\'' => {
                    self.bump();
                    return Ok(Some((Token::Word(self.quoted(first)?), line)));
                }
                _ => return Ok(Some((Token::Word(self.bare()), line))),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, SyntaxErrorKind> {
        let mut word = String::new();
        loop {
            match self.bump().ok_or(SyntaxErrorKind::OpenQuote)? {
                next if next == quote => break,
                '\\' => self.escaped(&mut word),
                next => word.push(next),
            }
        }
        match self.rest.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(word),
            Some(_) => Err(SyntaxErrorKind::AfterQuote),
        }
    }

    fn bare(&mut self) -> String {
        let mut word = String::new();
        let mut after_dollar = false;
        while let Some(next) = self.rest.peek().copied() {
            match next {
                ' ' | '\t' | '\r' | '\n' | ';' => break,
                // `${name}` is part of the word.
                '{' if !after_dollar => break,
                _ => {}
            }
            self.bump();
            after_dollar = next == '$';
            if next == '\\' { self.escaped(&mut word) } else { word.push(next) }
        }
        word
    }

    /// What stands for a backslash and the character after it.
    fn escaped(&mut self, word: &mut String) {
        match self.bump() {
            Some(plain @ ('"' | '\'' | '\\')) => word.push(plain),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(other) => word.extend(['\\', other]),
            None => word.push('\\'),
        }
    }

    /// Passes over a block in another language, after its `{`: nginx hands it to Lua unread. Braces in comments and strings of Lua's
    /// may deceive it, as they may people.
    pub(crate) fn foreign_block(&mut self) -> Result<(), SyntaxErrorKind> {
        let mut depth = 1_u32;
        while depth > 0 {
            match self.bump().ok_or(SyntaxErrorKind::OpenBlock)? {
                '{' => depth += 1,
                '}' => depth -= 1,
                quote @ ('"' | '\'') => {
                    while let Some(next) = self.bump() {
                        match next {
                            '\\' => drop(self.bump()),
                            // Neither language has line breaks in such strings: an apostrophe in a comment.
                            '\n' => break,
                            next if next == quote => break,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Lexer, SyntaxErrorKind, Token};

    fn words(text: &str) -> Result<Vec<String>, SyntaxErrorKind> {
        let mut lexer = Lexer::new(text);
        let mut words = Vec::new();
        while let Some((token, _)) = lexer.next()? {
            words.push(match token {
                Token::Word(word) => word,
                Token::End => "<;>".to_owned(),
                Token::Open => "<{>".to_owned(),
                Token::Close => "<}>".to_owned(),
            });
        }
        Ok(words)
    }

    #[test]
    fn words_are_nginx_words() {
        let cases: &[(&str, &[&str])] = &[
            ("a b;", &["a", "b", "<;>"]),
            ("a{b;}", &["a", "<{>", "b", "<;>", "<}>"]),
            ("a # b;\nc", &["a", "c"]),
            ("a b#c", &["a", "b#c"]),
            ("a \"b ; { # '\" 'c\"'", &["a", "b ; { # '", "c\""]),
            (r#"a "b\"c\\d\te\.f""#, &["a", "b\"c\\d\te\\.f"]),
            (r"a b\;c", &["a", "b\\;c"]),
            ("a ${b}c$d{", &["a", "${b}c$d", "<{>"]),
            ("if ($a = \"\") {", &["if", "($a", "=", "", ")", "<{>"]),
            ("a b\"c", &["a", "b\"c"]),
            ("a\r\n\tb", &["a", "b"]),
            ("\u{feff}a", &["a"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).unwrap(), *expected, "{text}");
        }
        assert_eq!(words("a \"b"), Err(SyntaxErrorKind::OpenQuote));
        assert_eq!(words("a \"b\"c"), Err(SyntaxErrorKind::AfterQuote));
    }

    #[test]
    fn lines_are_counted() {
        let mut lexer = Lexer::new("a\n# x\n\"b\nc\" d");
        let mut lines = Vec::new();
        while let Some((_, line)) = lexer.next().unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [1, 3, 4]);
    }
}
