//! The operator's settings for this plugin, checked against the manifest's schema when the gateway loaded it.
//!
//! A setting doesn't change during the life of an instance: the gateway is asked once for each, so calling these for every
//! request costs a short search only. Still, what has to be parsed belongs into the hook's `load`.
//!
//! A setting of another type than the one asked for means that the manifest doesn't fit the code: the call ends with a line
//! in the log that names the setting.

use alloc::{boxed::Box, string::String, vec::Vec};

/// A setting, typed by the manifest's schema. Secrets are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, or a secret.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

/// A text or secret; `None` if neither operator nor schema give one.
pub fn text(name: &str) -> Option<&'static str> {
    match get(name)? {
        Value::Text(text) => Some(text),
        other => wrong(name, "text", other),
    }
}

/// A whole number.
pub fn integer(name: &str) -> Option<i64> {
    match get(name)? {
        Value::Integer(integer) => Some(*integer),
        other => wrong(name, "integer", other),
    }
}

/// True or false; false if neither operator nor schema say.
pub fn boolean(name: &str) -> bool {
    match get(name) {
        None => false,
        Some(Value::Boolean(boolean)) => *boolean,
        Some(other) => wrong(name, "boolean", other),
    }
}

/// A list of texts, empty if neither operator nor schema give one.
pub fn texts(name: &str) -> &'static [String] {
    match get(name) {
        None => &[],
        Some(Value::Texts(texts)) => texts,
        Some(other) => wrong(name, "texts", other),
    }
}

#[expect(clippy::panic, reason = "a manifest that doesn't fit its code has to be seen, at the first call")]
fn wrong(name: &str, wanted: &str, value: &Value) -> ! {
    let found = match value {
        Value::Text(_) => "text",
        Value::Integer(_) => "integer",
        Value::Boolean(_) => "boolean",
        Value::Texts(_) => "texts",
    };
    panic!("setting `{name}`: the manifest says {found}, the code asks for {wanted}")
}

fn get(name: &str) -> Option<&'static Value> {
    known::find(name).unwrap_or_else(|| {
        // The few settings of a plugin live as long as its instance, so nothing is lost by never freeing them.
        let value = crate::host::setting(name).map(|value| &*Box::leak(Box::new(value)));
        known::keep(name, value);
        value
    })
}

#[cfg(target_family = "wasm")]
mod known {
    #![expect(unsafe_code, reason = "a static without threads")]
    use super::Value;
    use alloc::{string::String, vec::Vec};
    use core::cell::RefCell;

    struct Known(RefCell<Vec<(String, Option<&'static Value>)>>);
    // SAFETY: a component without the threads proposal has one thread.
    unsafe impl Sync for Known {}
    static KNOWN: Known = Known(RefCell::new(Vec::new()));

    #[expect(clippy::option_option, reason = "not asked yet, or asked and absent")]
    pub(super) fn find(name: &str) -> Option<Option<&'static Value>> {
        KNOWN.0.borrow().iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    pub(super) fn keep(name: &str, value: Option<&'static Value>) {
        KNOWN.0.borrow_mut().push((name.into(), value));
    }
}

/// Tests change settings, so nothing is kept.
#[cfg(not(target_family = "wasm"))]
mod known {
    use super::Value;

    #[expect(clippy::option_option, reason = "as on wasm")]
    pub(super) fn find(_name: &str) -> Option<Option<&'static Value>> {
        None
    }

    pub(super) fn keep(_name: &str, _value: Option<&'static Value>) {}
}
