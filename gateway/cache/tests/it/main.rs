//! The cache against an origin in the test's hand: through its public face only.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod churn;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fills;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod owed;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod power;
#[cfg(test)]
mod purges;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod stretches;
#[cfg(test)]
mod stuck;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tending;
#[cfg(test)]
mod validation;
