use alloc::{string::String, vec::Vec};

/// One change: the bytes `start` to `end` (excluded) of the text are replaced. Both lie between characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// First byte to go.
    pub start: u32,
    /// First byte to stay; equal to `start` to insert.
    pub end: u32,
    /// What comes in.
    pub text: String,
}

/// Changes to a text, in the text's own offsets. They may be named in any order; those at one place stay in the order in
/// which they were named. Overlapping ones are refused by the gateway, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// Leaves the text as it is.
    pub fn none() -> Self {
        Self::default()
    }

    /// Puts a text before the byte `at`.
    pub fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(at, at, text);
    }

    /// Takes the bytes `start` to `end` (excluded) out.
    pub fn remove(&mut self, start: usize, end: usize) {
        self.replace(start, end, "");
    }

    /// Puts a text in the place of the bytes `start` to `end` (excluded).
    pub fn replace(&mut self, start: usize, end: usize, text: impl Into<String>) {
        self.0.push(Edit { start: offset(start), end: offset(end), text: text.into() });
    }

    /// Whether the text stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes in the order of the text.
    #[must_use]
    pub fn into_list(mut self) -> Vec<Edit> {
        self.0.sort_by_key(|edit| edit.start);
        self.0
    }

    /// The text after the changes, as the gateway makes it; for tests. `None` if the gateway would refuse them.
    #[must_use]
    pub fn apply(&self, text: &str) -> Option<String> {
        let mut changed = String::new();
        let mut at = 0;
        for edit in self.clone().into_list() {
            changed.push_str(text.get(at..usize::try_from(edit.start).ok()?)?);
            changed.push_str(&edit.text);
            at = usize::try_from(edit.end).ok()?;
            if edit.end < edit.start {
                return None;
            }
        }
        changed.push_str(text.get(at..)?);
        Some(changed)
    }
}

/// Texts at hand are at most 1 MiB; an offset beyond 32 bits can only be refused by the gateway.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Edits;

    #[test]
    fn edits_in_any_order_are_applied_in_the_text_s_order() {
        let mut edits = Edits::none();
        edits.insert(6, "b");
        edits.replace(0, 3, "TWO");
        edits.insert(6, "c");
        edits.remove(3, 4);
        assert_eq!(edits.apply("one äz").as_deref(), Some("TWOäbcz"));
    }

    #[test]
    fn what_the_gateway_would_refuse_is_seen() {
        for (start, end) in [(5, 6), (0, 9), (3, 1)] {
            let mut edits = Edits::none();
            edits.replace(start, end, "");
            assert_eq!(edits.apply("one äz"), None, "{start}..{end}");
        }
        let mut overlapping = Edits::none();
        overlapping.remove(0, 3);
        overlapping.remove(2, 4);
        assert_eq!(overlapping.apply("one äz"), None);
    }
}
