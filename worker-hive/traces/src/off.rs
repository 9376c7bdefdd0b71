//! The face without anything behind it.

use crate::export::{Export, TracesError};
use http::HeaderMap;
use std::future::Future;

/// Nobody is told.
#[derive(Clone, Debug, Default)]
pub struct Traces;

impl Traces {
    /// Tells nobody.
    #[must_use]
    pub fn off() -> Self {
        Self
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn check(_: &Export) -> Result<(), TracesError> {
        Err(TracesError::Absent)
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn start(_: &Export) -> Result<Self, TracesError> {
        Err(TracesError::Absent)
    }

    /// No span.
    #[must_use]
    pub fn begin(&self, _: &'static str, _: Option<&HeaderMap>, _: impl FnOnce() -> f64) -> Span {
        Span
    }

    /// Nothing is left to send.
    pub fn end(&self) {}
}

/// What a span is to those on its two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work of the program's own.
    Internal,
    /// A question to another program.
    Client,
}

/// No span.
#[derive(Clone, Debug, Default)]
pub struct Span;

impl Span {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self
    }

    /// None.
    #[must_use]
    pub fn current() -> Self {
        Self
    }

    /// False.
    #[must_use]
    pub fn is_told(&self) -> bool {
        false
    }

    /// None.
    #[must_use]
    pub fn child(&self, _: &'static str, _: Kind) -> Self {
        Self
    }

    /// Nothing.
    pub fn text(&self, _: &'static str, _: impl ToString) {}

    /// Nothing.
    pub fn number(&self, _: &'static str, _: u64) {}

    /// Nothing.
    pub fn failed(&self, _: impl ToString) {}

    /// Nothing.
    pub fn inject(&self, _: &mut HeaderMap) {}

    /// Nothing.
    pub fn end(&self) {}

    /// Calls it.
    pub fn in_scope<T>(&self, call: impl FnOnce() -> T) -> T {
        call()
    }
}

/// The future itself.
pub type Within<F> = F;

/// The future itself.
pub fn within<F: Future>(_: Span, future: F) -> Within<F> {
    future
}

/// The future itself.
pub fn step<F, T, E, J>(_: &'static str, future: F, _: J) -> F
where
    F: Future<Output = Result<T, E>>,
    J: Fn(&E) -> bool,
{
    future
}

/// The future itself.
pub fn spanned<F, T, E>(_: Span, future: F) -> F
where
    F: Future<Output = Result<T, E>>,
{
    future
}

/// The future itself.
pub fn detached<F: Future>(_: &'static str, future: F) -> Within<F> {
    future
}
