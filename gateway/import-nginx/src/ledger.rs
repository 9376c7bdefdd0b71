//! What became of each directive, so that none is dropped without a word.

use crate::reasons;
use crate::tree::{Directive, Place};
use std::collections::HashSet;

/// Directives whose words may hold a secret.
const HIDDEN: [&str; 8] = [
    "secure_link_md5",
    "secure_link_secret",
    "set",
    "proxy_set_header",
    "fastcgi_param",
    "uwsgi_param",
    "env",
    "add_header",
];
/// Characters of a directive that a comment quotes.
const LONGEST: usize = 120;

/// Keeps account.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    settled: HashSet<usize>,
    notes: Vec<(Place, String)>,
}

impl Ledger {
    /// It is in the settings.
    pub(crate) fn take(&mut self, directive: &Directive) {
        self.settled.insert(directive.id);
    }

    /// It is in the settings, but not quite; or it is not, for this reason. Said once.
    pub(crate) fn note(&mut self, directive: &Directive, reason: &str) {
        let text = format!("{}: {reason}", quoted(directive));
        self.settled.insert(directive.id);
        if !self.notes.iter().any(|(place, known)| *place == directive.place && *known == text) {
            self.notes.push((directive.place.clone(), text));
        }
    }

    /// Notes what is left over, and gives back all notes in the order of the files.
    pub(crate) fn close(mut self, directives: &[Directive]) -> Vec<String> {
        self.rest(directives);
        let mut files: Vec<_> = Vec::new();
        for (place, _) in &self.notes {
            if !files.contains(&place.file) {
                files.push(place.file.clone());
            }
        }
        self.notes.sort_by_key(|(place, _)| (files.iter().position(|file| *file == place.file), place.line));
        self.notes.into_iter().map(|(place, text)| format!("{place}: {text}")).collect()
    }

    fn rest(&mut self, directives: &[Directive]) {
        for directive in directives {
            let walked = matches!(directive.name.as_str(), "http" | "server" | "location") && directive.block.is_some();
            if walked {
                self.rest(directive.children());
            } else if !self.settled.contains(&directive.id) {
                self.note(directive, reasons::of(&directive.name));
            }
        }
    }
}

/// A directive in one line of plain text, without what may be a secret.
fn quoted(directive: &Directive) -> String {
    let mut text = directive.name.clone();
    let hidden = HIDDEN.contains(&directive.name.as_str()) || directive.name.contains("password");
    for argument in &directive.arguments {
        text.push(' ');
        text.push_str(if hidden { "[hidden]" } else { argument });
    }
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    match directive.size() {
        0 => text,
        1 => format!("{text} {{1 directive}}"),
        more => format!("{text} {{{more} directives}}"),
    }
}
