//! The hive against a simulated Telegram: unmodified grammers, real transport, real encryption.

mod downloads;
mod faults;
mod life;
mod requests;
mod rig;
