//! One gateway of a fleet, against others that are a socket and a script.

mod contract;
mod failing;
mod support;
