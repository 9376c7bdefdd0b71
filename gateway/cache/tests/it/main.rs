//! The cache against an origin in the test's hand: through its public face only.

mod churn;
mod crash;
mod faults;
mod fills;
mod keeping;
mod support;
