//! Faults by rule: which call is answered wrongly, and how.
//!
//! Pure but for the lock around the list. Rules are tried in the order they were added; the first one that matches and
//! whose turn it is decides. A rule counts the calls it matches, so "the third getFile of this account" is one rule.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What a rule does to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// 420 `FLOOD_WAIT_n`, seconds.
    FloodWait(u32),
    /// 420 `FLOOD_PREMIUM_WAIT_n`, seconds; premium accounts are served instead.
    FloodPremiumWait(u32),
    /// 400 `FILE_REFERENCE_EXPIRED`, whatever reference was sent.
    ReferenceExpired,
    /// 303 `FILE_MIGRATE_n`.
    Migrate(i32),
    /// Any other error: code and name.
    Error(i32, String),
    /// 401 `AUTH_KEY_UNREGISTERED`.
    KeyUnregistered,
    /// 401 `USER_DEACTIVATED`.
    UserDeactivated,
    /// The connection closes without an answer.
    Drop,
    /// No answer, ever; the connection lives on.
    Silence,
    /// Half of the answer's packet, then the connection closes.
    Truncate,
    /// The answer trickles at this many bytes a second.
    Slow(u64),
    /// The answer comes this many milliseconds later than it would.
    Delay(u64),
    /// A transport error such as 404 or 429, then the connection closes.
    Transport(i32),
    /// All of the client's salts go bad: it's told the new one and has to send the call again.
    WrongSalt,
}

/// Which of the calls that match a rule it's applied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// All of them.
    #[default]
    Always,
    /// The n-th only, counted from 1.
    Nth(u64),
    /// Every n-th.
    Every(u64),
    /// The first n.
    First(u64),
    /// All but the first n.
    After(u64),
}

/// A fault and the calls it's for. What's left out matches everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// As in the schema: `upload.getFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The data-centre that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dc: Option<i32>,
    /// For getFile: the offset asked for lies in `[from, to)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<(u64, u64)>,
    /// For getFile: the document's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<i64>,
    /// Which of the matching calls.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub then: Fault,
}

impl Rule {
    /// A rule for every call of `method`; narrow it by setting fields.
    pub fn on(method: &str, then: Fault) -> Self {
        let method = Some(method.to_owned());
        Self { method, account: None, dc: None, offset: None, document: None, when: When::Always, then }
    }

    /// The same rule for one account.
    #[must_use]
    pub fn account(mut self, name: &str) -> Self {
        self.account = Some(name.to_owned());
        self
    }

    /// The same rule for one data-centre.
    #[must_use]
    pub fn dc(mut self, dc: i32) -> Self {
        self.dc = Some(dc);
        self
    }

    /// The same rule for offsets in `[from, to)`.
    #[must_use]
    pub fn offset(mut self, from: u64, to: u64) -> Self {
        self.offset = Some((from, to));
        self
    }

    /// The same rule for some of the matching calls.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    fn matches(&self, call: &Asked<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method == call.method)
            && self.account.as_deref().is_none_or(|account| Some(account) == call.account)
            && self.dc.is_none_or(|dc| dc == call.dc)
            && self.offset.is_none_or(|(from, to)| call.offset.is_some_and(|at| from <= at && at < to))
            && self.document.is_none_or(|document| call.document == Some(document))
    }
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) account: Option<&'a str>,
    pub(crate) dc: i32,
    pub(crate) offset: Option<u64>,
    pub(crate) document: Option<i64>,
}

/// Whether a data-centre can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reachability {
    /// As usual.
    #[default]
    Up,
    /// Connections are refused, and those that exist were closed.
    Refused,
    /// Connections are accepted and nothing is answered, on those that exist neither; what fell silent stays so.
    Silent,
}

struct Entry {
    id: u64,
    rule: Rule,
    matched: u64,
}

#[derive(Default)]
struct Rules {
    entries: Vec<Entry>,
    last_id: u64,
}

/// The list of rules of a running simulation.
#[derive(Default)]
pub struct Faults {
    rules: Mutex<Rules>,
}

impl Faults {
    /// Adds a rule behind the others; returns a number to remove it by.
    pub fn add(&self, rule: Rule) -> u64 {
        let mut rules = self.rules.lock();
        rules.last_id += 1;
        let id = rules.last_id;
        rules.entries.push(Entry { id, rule, matched: 0 });
        id
    }

    /// Removes one rule; `false` when there's none of that number.
    pub fn remove(&self, id: u64) -> bool {
        let entries = &mut self.rules.lock().entries;
        let before = entries.len();
        entries.retain(|entry| entry.id != id);
        entries.len() != before
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.rules.lock().entries.clear();
    }

    /// How many calls a rule has matched so far, whether or not it was their turn.
    pub fn matched(&self, id: u64) -> u64 {
        self.rules.lock().entries.iter().find(|entry| entry.id == id).map_or(0, |entry| entry.matched)
    }

    /// All rules with their numbers.
    pub fn list(&self) -> Vec<(u64, Rule)> {
        self.rules.lock().entries.iter().map(|entry| (entry.id, entry.rule.clone())).collect()
    }

    /// Counts the call on every rule that matches it; the first whose turn it is decides.
    pub(crate) fn decide(&self, call: &Asked<'_>) -> Option<Fault> {
        let mut chosen = None;
        for entry in &mut self.rules.lock().entries {
            if !entry.rule.matches(call) {
                continue;
            }
            entry.matched += 1;
            let turn = match entry.rule.when {
                When::Always => true,
                When::Nth(n) => entry.matched == n,
                When::Every(n) => n > 0 && entry.matched.is_multiple_of(n),
                When::First(n) => entry.matched <= n,
                When::After(n) => entry.matched > n,
            };
            if turn && chosen.is_none() {
                chosen = Some(entry.rule.then.clone());
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(offset: u64) -> Asked<'static> {
        Asked { method: "upload.getFile", account: Some("a"), dc: 2, offset: Some(offset), document: Some(9) }
    }

    #[test]
    fn turns() {
        let table = [
            (When::Always, "xxxxxx"),
            (When::Nth(3), "--x---"),
            (When::Every(2), "-x-x-x"),
            (When::First(2), "xx----"),
            (When::After(4), "----xx"),
            (When::Every(0), "------"),
        ];
        for (when, expected) in table {
            let faults = Faults::default();
            faults.add(Rule::on("upload.getFile", Fault::Drop).when(when));
            let seen: String = (0..6).map(|_| if faults.decide(&asked(0)).is_some() { 'x' } else { '-' }).collect();
            assert_eq!(seen, expected, "{when:?}");
        }
    }

    #[test]
    fn every_condition_narrows() {
        let base = Rule::on("upload.getFile", Fault::Silence);
        let table = [
            (base.clone(), true),
            (base.clone().account("a"), true),
            (base.clone().account("b"), false),
            (base.clone().dc(2), true),
            (base.clone().dc(4), false),
            (base.clone().offset(0, 10), false),
            (base.clone().offset(10, 11), true),
            (base.clone().offset(11, 20), false),
            (Rule { document: Some(9), ..base.clone() }, true),
            (Rule { document: Some(8), ..base.clone() }, false),
            (Rule { method: None, ..base.clone() }, true),
            (Rule { method: Some("help.getConfig".into()), ..base }, false),
        ];
        for (rule, expected) in table {
            let faults = Faults::default();
            faults.add(rule.clone());
            assert_eq!(faults.decide(&asked(10)).is_some(), expected, "{rule:?}");
        }
    }

    #[test]
    fn rules_are_written_as_json() {
        let text = r#"{"method":"upload.getFile","dc":4,"offset":[0,1024],"when":{"nth":2},"then":{"flood_wait":7}}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        assert!(serde_json::from_str::<Rule>(r#"{"methd":"x","then":"drop"}"#).is_err());
        assert_eq!(serde_json::from_str::<Rule>(r#"{"then":"drop"}"#).unwrap().then, Fault::Drop);
    }
}
