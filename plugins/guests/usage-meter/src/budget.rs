use core::{cell::Cell, fmt};
use streamvault_sdk::kv;

/// Questions to the store that one call may still ask. The gateway ends a call that asks 2,048, and what it had counted would
/// be lost; so many also fit into `limits.wall` if each takes five milliseconds.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u32>);

/// Why something is left for a later batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// The store did not take it.
    Store(kv::Error),
    /// This call has asked enough.
    Spent,
}

impl Budget {
    pub(crate) fn of_one_call() -> Self {
        Self(Cell::new(1_500))
    }

    /// To be asked before each question.
    pub(crate) fn spend(&self) -> Result<(), Later> {
        match self.0.get().checked_sub(1) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(Later::Spent),
        }
    }
}

impl From<kv::Error> for Later {
    fn from(error: kv::Error) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Later {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(formatter),
            Self::Spent => formatter.write_str("it is too much for one call"),
        }
    }
}
