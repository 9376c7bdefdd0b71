//! What the crate promises, from outside, under a clock that the tests turn.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod model;
mod pace;
mod streams;
mod support;
