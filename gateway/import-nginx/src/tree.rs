//! Directives and their blocks, with includes in their places.

use crate::lexer::{Lexer, SyntaxError, SyntaxErrorKind, Token};
use std::fmt;
use std::rc::Rc;

/// Blocks in blocks; nginx's own need five.
const DEEPEST: usize = 32;
/// Files that include one another.
const DEEPEST_INCLUDE: usize = 16;
/// Files in all.
const MOST_FILES: usize = 1_000;
/// Blocks whose content is another language's.
const FOREIGN: [&str; 2] = ["_by_lua_block", "js_content_block"];

/// One file of a configuration.
#[derive(Clone, Debug)]
pub struct NginxFile {
    /// Its path, as messages and comments name it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {source}")]
pub struct ReadError {
    /// The file, or the pattern.
    pub file: String,
    /// What the system said.
    pub source: std::io::Error,
}

/// Where included files come from.
pub trait Includes {
    /// The files that an `include` names, in the order of their names. `pattern` is as nginx has it: an absolute path or one from the
    /// configuration's folder, perhaps with `*`, `?` and `[…]`. A pattern may match none, a plain name must be there.
    ///
    /// # Errors
    /// [`ReadError`].
    fn matching(&self, pattern: &str) -> Result<Vec<NginxFile>, ReadError>;
}

/// Where a directive stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Rc<str>,
    pub(crate) line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A directive: `name arguments;` or `name arguments { block }`.
#[derive(Clone, Debug)]
pub(crate) struct Directive {
    /// Unlike that of every other.
    pub(crate) id: usize,
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) block: Option<Vec<Directive>>,
    pub(crate) place: Place,
}

impl Directive {
    pub(crate) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// What is in its block.
    pub(crate) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// How many directives its block has, at any depth.
    pub(crate) fn size(&self) -> usize {
        self.children().iter().map(|child| 1 + child.size()).sum()
    }
}

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// All files' directives, one after the other.
pub(crate) fn read(files: &[NginxFile], includes: &dyn Includes) -> Result<Vec<Directive>, TreeError> {
    let mut reader = Reader { includes, next: 0, files: 0 };
    let mut directives = Vec::new();
    for file in files {
        directives.extend(reader.file(file, 0)?);
    }
    Ok(directives)
}

struct Reader<'a> {
    includes: &'a dyn Includes,
    next: usize,
    files: usize,
}

/// A file while it is read.
struct Source<'a> {
    lexer: Lexer<'a>,
    name: Rc<str>,
    /// Includes around it.
    depth: usize,
}

impl Source<'_> {
    fn error(&self, kind: SyntaxErrorKind) -> SyntaxError {
        SyntaxError { file: self.name.to_string(), line: self.lexer.line(), kind }
    }

    fn next(&mut self) -> Result<Option<(Token, u32)>, SyntaxError> {
        self.lexer.next().map_err(|kind| self.error(kind))
    }
}

impl Reader<'_> {
    fn file(&mut self, file: &NginxFile, depth: usize) -> Result<Vec<Directive>, TreeError> {
        let mut source = Source { lexer: Lexer::new(&file.text), name: Rc::from(file.name.as_str()), depth };
        self.files += 1;
        if depth > DEEPEST_INCLUDE || self.files > MOST_FILES {
            return Err(source.error(SyntaxErrorKind::TooManyFiles).into());
        }
        self.block(&mut source, 0)
    }

    /// Reads up to the `}` of a block, or to the file's end at depth 0.
    fn block(&mut self, source: &mut Source<'_>, depth: usize) -> Result<Vec<Directive>, TreeError> {
        if depth > DEEPEST {
            return Err(source.error(SyntaxErrorKind::TooDeep).into());
        }
        let mut directives = Vec::new();
        let mut words = Vec::new();
        let mut line = 0;
        loop {
            let token = source.next()?;
            let (token, at) = match token {
                Some(token) => token,
                None if !words.is_empty() => return Err(source.error(SyntaxErrorKind::NoEnd).into()),
                None if depth > 0 => return Err(source.error(SyntaxErrorKind::OpenBlock).into()),
                None => return Ok(directives),
            };
            match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        line = at;
                    }
                    words.push(word);
                }
                Token::Close if !words.is_empty() => return Err(source.error(SyntaxErrorKind::NoEnd).into()),
                Token::Close if depth == 0 => return Err(source.error(SyntaxErrorKind::NoBlock).into()),
                Token::Close => return Ok(directives),
                Token::End | Token::Open if words.is_empty() => {
                    return Err(source.error(SyntaxErrorKind::NoName).into());
                }
                Token::End if words.first().is_some_and(|name| name == "include") => {
                    directives.extend(self.include(source, &words)?);
                    words.clear();
                }
                Token::End => directives.push(self.directive(source, line, &mut words, None)),
                Token::Open if FOREIGN.iter().any(|end| words.first().is_some_and(|name| name.ends_with(end))) => {
                    source.lexer.foreign_block().map_err(|kind| source.error(kind))?;
                    directives.push(self.directive(source, line, &mut words, Some(Vec::new())));
                }
                Token::Open => {
                    let block = self.block(source, depth + 1)?;
                    directives.push(self.directive(source, line, &mut words, Some(block)));
                }
            }
        }
    }

    fn include(&mut self, source: &Source<'_>, words: &[String]) -> Result<Vec<Directive>, TreeError> {
        let [_, pattern] = words else { return Err(source.error(SyntaxErrorKind::Include).into()) };
        let mut directives = Vec::new();
        for file in self.includes.matching(pattern)? {
            directives.extend(self.file(&file, source.depth + 1)?);
        }
        Ok(directives)
    }

    fn directive(
        &mut self,
        source: &Source<'_>,
        line: u32,
        words: &mut Vec<String>,
        block: Option<Vec<Directive>>,
    ) -> Directive {
        let mut words = std::mem::take(words).into_iter();
        self.next += 1;
        Directive {
            id: self.next,
            name: words.next().unwrap_or_default(),
            arguments: words.collect(),
            block,
            place: Place { file: source.name.clone(), line },
        }
    }
}
