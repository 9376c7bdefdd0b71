//! Why a plugin gave no answer that counts.

use crate::reply::BadReply;
use std::sync::Arc;

/// Why a plugin gave no answer that counts. The words are for logs and metrics: no viewer sees them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guest trapped, or broke the contract's own rules (handles, encodings). Says which.
    #[error("trap: {0}")]
    Trap(String),
    /// It asked for more memory than `limits.memory`, and then trapped.
    #[error("trap: out of memory (limits.memory)")]
    Memory,
    /// It recursed too deep.
    #[error("trap: stack overflow")]
    Stack,
    /// It ran for longer than `limits.time`.
    #[error("ran for longer than limits.time")]
    Time,
    /// It was not done within `limits.wall`, all waiting included.
    #[error("not done within limits.wall")]
    Wall,
    /// No instance came free within `limits.wall`.
    #[error("no instance came free within limits.wall")]
    Busy,
    /// It asked too much of an import, or handed over more than `limits.hostcall_bytes`. Says which.
    #[error("asked too much of the host: {0}")]
    Excess(&'static str),
    /// A reply that doesn't hold.
    #[error("bad reply: {0}")]
    Reply(BadReply),
    /// No instance could be made.
    #[error("no instance could be made: {0}")]
    Start(String),
    /// It never loaded. Says why.
    #[error("not loaded: {0}")]
    Broken(Arc<str>),
}

impl Failure {
    /// Words for metrics, one for each kind, in the order of [`Failure::index`].
    pub(crate) const WORDS: [&'static str; 10] =
        ["trap", "memory", "stack", "time", "wall", "busy", "excess", "bad-reply", "start", "broken"];

    /// One word, as metrics call it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        Self::WORDS.get(self.index()).copied().unwrap_or("trap")
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Trap(_) => 0,
            Self::Memory => 1,
            Self::Stack => 2,
            Self::Time => 3,
            Self::Wall => 4,
            Self::Busy => 5,
            Self::Excess(_) => 6,
            Self::Reply(_) => 7,
            Self::Start(_) => 8,
            Self::Broken(_) => 9,
        }
    }
}

/// What the host's own code raises inside a call, to be recognised when it comes out as the call's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    #[error("limits.time is used up")]
    Time,
    #[error("{0}")]
    Excess(&'static str),
    #[error("there is no request in this call")]
    NoRequest,
}

/// Reads the error of a call or an instantiation. `memory_refused`: the guest was refused memory in it.
pub(crate) fn classify(error: &wasmtime::Error, memory_refused: bool) -> Failure {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return match halt {
            Halt::Time => Failure::Time,
            Halt::Excess(what) => Failure::Excess(what),
            Halt::NoRequest => Failure::Trap(halt.to_string()),
        };
    }
    if memory_refused {
        return Failure::Memory;
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::StackOverflow) => Failure::Stack,
        Some(wasmtime::Trap::Interrupt) => Failure::Time,
        Some(trap) => Failure::Trap(trap.to_string()),
        None if error.root_cause().to_string().contains("hostcall") => Failure::Excess("limits.hostcall_bytes"),
        None => Failure::Trap(error.root_cause().to_string()),
    }
}
