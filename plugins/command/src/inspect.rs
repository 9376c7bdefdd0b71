//! `inspect`: what a plugin is, imports, exports, and may use.

use crate::bench::bytes;
use crate::cli::Inspect;
use crate::disk;
use crate::error::CommandError;
use plugin_package::{Hook, Limits, Manifest, Setting};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::{Write, stdout};
use std::path::Path;
use wit_component::{ComponentEncoder, DecodedWasm};

const OURS: &str = "streamvault:plugin/";

pub(crate) fn inspect(inspect: &Inspect) -> Result<(), CommandError> {
    let mut shown = Map::new();
    let file = if inspect.path.is_dir() {
        let manifest = Manifest::read(&inspect.path)?;
        let file = inspect.path.join(&manifest.wasm);
        shown.extend(describe(&manifest));
        let signature = inspect.path.join(format!("{}.sig", manifest.wasm));
        let signed =
            if signature.is_file() { "there is one; gateway plugin check --config says whose" } else { "none" };
        shown.insert("signature".to_owned(), signed.into());
        file
    } else {
        inspect.path.clone()
    };
    let wasm = disk::read(&file)?;
    shown.extend(look_into(&wasm, &file)?);
    let mut out = stdout().lock();
    if inspect.json {
        let text = serde_json::to_string_pretty(&shown).map_err(|error| CommandError::failed(error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        let mut lines = Vec::new();
        for (key, value) in &shown {
            print(key, value, &mut lines);
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// What a component says about itself. Of a core module: the component that the host would make of it.
fn look_into(wasm: &[u8], file: &Path) -> Result<Map<String, Value>, CommandError> {
    let wrong = |message: String| CommandError::content(file, message);
    let (kind, component) = match wasm.get(..8) {
        Some(b"\0asm\x01\0\0\0") => {
            let encoded = ComponentEncoder::default().module(wasm).and_then(|encoder| encoder.validate(true).encode());
            let encoded =
                encoded.map_err(|error| wrong(format!("a core module without the contract in it: {error:#}")))?;
            ("core module", Some(encoded))
        }
        Some([0, b'a', b's', b'm', ..]) => ("component", None),
        _ => return Err(wrong("is no WebAssembly".to_owned())),
    };
    let decoded = wit_component::decode(component.as_deref().unwrap_or(wasm));
    let decoded = decoded.map_err(|error| wrong(format!("can't be read as a component: {error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(wrong("is a WIT package, not a component".to_owned()));
    };
    let world = &resolve.worlds[world];
    let imports: Vec<String> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let exports: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let digest: String = Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect();
    let (world, version) = exports.iter().find_map(|name| hook_of(name)).unzip();
    let shown = json!({
        "file": file.display().to_string(),
        "kind": kind,
        "size": wasm.len(),
        "sha256": digest,
        "world": world,
        "contract": version,
        "imports": imports,
        "exports": exports,
    });
    Ok(shown.as_object().cloned().unwrap_or_default())
}

/// The world of an interface that a hook exports, and its version.
fn hook_of(export: &str) -> Option<(&'static str, String)> {
    let (interface, version) = export.strip_prefix(OURS)?.split_once('@')?;
    let hook = match interface {
        "tenants" => Hook::Tenant,
        "policy" => Hook::Policy,
        "ads" => Hook::Ads,
        "observe" => Hook::Observe,
        _ => return None,
    };
    Some((hook.world(), version.to_owned()))
}

fn describe(manifest: &Manifest) -> Map<String, Value> {
    let settings: Map<String, Value> =
        manifest.schema.iter().map(|(name, known)| (name.clone(), setting(known))).collect();
    let shown = json!({
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "hook": manifest.hook.name(),
        "order": manifest.order,
        "fail": manifest.fail.name(),
        "isolation": manifest.isolation.name(),
        "canary": manifest.canary,
        "visible headers": manifest.visible.headers,
        "visible cookies": manifest.visible.cookies,
        "limits": limits(&manifest.limits),
        "settings": settings,
    });
    shown.as_object().cloned().unwrap_or_default()
}

fn limits(limits: &Limits) -> Value {
    json!({
        "time": format!("{:?}", limits.time),
        "wall": format!("{:?}", limits.wall),
        "memory": bytes(limits.memory),
        "hostcall_bytes": bytes(limits.hostcall_bytes),
        "log_lines": format!("{} a second", limits.log_lines),
        "kv_keys": limits.kv_keys,
        "kv_value": bytes(limits.kv_value.into()),
        "instances": limits.instances,
        "calls": limits.calls,
        "playlist": bytes(limits.playlist.into()),
    })
}

/// Kind, bounds, default and what it is for, in one line.
fn setting(setting: &Setting) -> Value {
    use plugin_package::Value as Given;
    let mut words = vec![setting.kind.name().to_owned()];
    words.extend(setting.required.then(|| "required".to_owned()));
    words.extend(setting.min.map(|min| format!("min {min}")));
    words.extend(setting.max.map(|max| format!("max {max}")));
    words.extend((!setting.choices.is_empty()).then(|| format!("one of {}", setting.choices.join("|"))));
    words.extend(setting.default.as_ref().map(|default| match default {
        Given::Text(text) => format!("default {text:?}"),
        Given::Integer(number) => format!("default {number}"),
        Given::Boolean(flag) => format!("default {flag}"),
        Given::Texts(texts) => format!("default {texts:?}"),
        Given::Secret(_) => String::new(),
    }));
    format!("{}: {}", words.join(", "), setting.doc).into()
}

fn print(key: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Array(values) if values.is_empty() => lines.push(format!("{key:<16} none")),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                lines.push(format!("{:<16} {}", if index == 0 { key } else { "" }, plain(value)));
            }
        }
        Value::Object(values) if values.is_empty() => lines.push(format!("{key:<16} none")),
        Value::Object(values) => {
            lines.push(key.to_owned());
            let width = values.keys().map(String::len).max().unwrap_or_default();
            lines.extend(values.iter().map(|(name, value)| format!("  {name:<width$}  {}", plain(value))));
        }
        Value::Number(size) if key == "size" => {
            lines.push(format!("{key:<16} {size} bytes ({})", bytes(size.as_u64().unwrap_or_default())));
        }
        value => lines.push(format!("{key:<16} {}", plain(value))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::hook_of;

    #[test]
    fn hooks_by_what_is_exported() {
        let found = |name| hook_of(name).map(|(world, version)| format!("{world} {version}"));
        assert_eq!(found("streamvault:plugin/policy@0.1.0").as_deref(), Some("policy-plugin 0.1.0"));
        assert_eq!(found("streamvault:plugin/tenants@0.1.7").as_deref(), Some("tenant-plugin 0.1.7"));
        assert_eq!(found("streamvault:plugin/log@0.1.0"), None);
        assert_eq!(found("wasi:cli/run@0.2.0"), None);
    }
}
