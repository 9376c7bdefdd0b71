//! What holds at a place: nginx's inheritance from outer blocks.

use crate::tree::Directive;

/// The blocks around a place, outermost first: http, server, locations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope<'a> {
    levels: Vec<&'a [Directive]>,
}

impl<'a> Scope<'a> {
    /// With one more block around the place.
    #[must_use]
    pub(crate) fn with(&self, level: &'a [Directive]) -> Self {
        let mut levels = self.levels.clone();
        levels.push(level);
        Self { levels }
    }

    /// All directives of a name that hold: those of the innermost block that has any.
    pub(crate) fn all(&self, name: &str) -> Vec<&'a Directive> {
        let of_name = |level: &&'a [Directive]| level.iter().filter(|d| d.name == name).collect::<Vec<_>>();
        self.levels.iter().rev().map(of_name).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// The directive of a name that holds.
    pub(crate) fn one(&self, name: &str) -> Option<&'a Directive> {
        self.all(name).last().copied()
    }

    /// Directives of a name at any of the blocks, innermost first: for what does not replace the outer one, as `set`.
    pub(crate) fn every(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        self.levels.iter().rev().flat_map(|level| level.iter().rev()).filter(move |directive| directive.name == name)
    }
}
