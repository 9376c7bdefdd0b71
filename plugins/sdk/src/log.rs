use alloc::borrow::Cow;
use core::fmt::Arguments;

/// How loud a line in the gateway's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// What happens in the normal course of things.
    Info,
    /// What an operator should look at some day.
    Warn,
    /// What an operator should look at now.
    Error,
}

/// What the macros call.
pub fn write(level: Level, arguments: Arguments<'_>) {
    let text = arguments.as_str().map_or_else(|| Cow::Owned(alloc::fmt::format(arguments)), Cow::Borrowed);
    crate::host::log(level, &text);
}
