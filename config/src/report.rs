//! Collects what the rules find.

use crate::document::Document;
use crate::error::{Problem, Warning};
use crate::units::TimeSpan;
use std::path::Path;

/// Problems and warnings found in one document so far.
pub struct Report<'a> {
    document: &'a Document<'a>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(document: &'a Document<'a>) -> Self {
        Self { document, problems: Vec::new(), warnings: Vec::new() }
    }

    /// The settings can't be used.
    pub(crate) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.document.problem(key, message));
    }

    /// The settings can be used.
    pub(crate) fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(Warning(self.document.problem(key, message)));
    }

    /// A problem unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.problem(key, message);
        }
    }

    /// A service's working directory is not the operator's, hence no relative path means what it seems to mean.
    pub(crate) fn require_absolute(&mut self, path: &Path, key: &str) {
        self.require(path.is_absolute(), key, "must be an absolute path");
    }

    /// A timeout of nothing would end everything at once.
    pub(crate) fn require_positive(&mut self, span: TimeSpan, key: &str) {
        self.require(!span.is_zero(), key, "must be more than 0s");
    }

    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Warning>) {
        (self.problems, self.warnings)
    }
}
