//! What an operator sets for one session alone.

/// A row of the session file's `setting` table. Values are secret: a route may hold a proxy's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// There, whatever its value: no hive runs the session.
    Disabled,
    /// How Telegram is reached, instead of the hive's own route.
    Route,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Disabled, Self::Route];

    /// The row's key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Route => "route",
        }
    }
}
