//! Plugins that do their worst, and operators who change them while requests run.

mod guest;
mod hooks;
mod hostile;
mod pools;
mod refusals;
mod reloads;
mod rig;
