//! The cache against an origin in the test's hand: through its public face only.

mod fills;
mod support;
