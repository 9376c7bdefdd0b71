//! Guests of the harness's own making: for what no plugin that ships does.

use crate::Failure;
use std::path::Path;
use wit_component::{StringEncoding, embed_component_metadata};

/// A policy that decides every request alike. The fields are the contract's.
#[derive(Clone, Debug)]
pub enum Fixed {
    /// `allow`, within limits.
    Allow {
        /// `bytes-per-second`.
        rate: Option<u64>,
        /// `viewer-streams`.
        viewer_streams: Option<u32>,
        /// `tenant-streams`.
        tenant_streams: Option<u32>,
        /// `expires`.
        expires: Option<u64>,
        /// `ranges`: first and last byte of each.
        ranges: Vec<(u64, u64)>,
        /// `viewer`.
        viewer: Option<String>,
        /// `keep`.
        keep: Option<u32>,
    },
    /// `deny`: status and text.
    Deny(u16, String),
    /// `redirect`.
    Redirect(String),
}

/// Where a verdict lies in the guest's memory, and where its texts and lists do.
const VERDICT: u32 = 1024;
const REST: u32 = 2048;

impl Fixed {
    /// `rate=N`, `viewer-streams=N`, `tenant-streams=N`, `expires=UNIX`, `ranges=0-9,20-29`, `viewer=NAME`, `keep=SECONDS`; or `deny=STATUS:TEXT`; or
    /// `redirect=URL`.
    pub(crate) fn read(options: &[&str]) -> Result<Self, Failure> {
        let (mut rate, mut viewer_streams, mut tenant_streams, mut expires) = (None, None, None, None);
        let (mut ranges, mut viewer, mut keep) = (Vec::new(), None, None);
        for option in options {
            match option.split_once('=').ok_or("expected KEY=VALUE")? {
                ("rate", number) => rate = Some(number.parse()?),
                ("viewer-streams", number) => viewer_streams = Some(number.parse()?),
                ("tenant-streams", number) => tenant_streams = Some(number.parse()?),
                ("expires", second) => expires = Some(second.parse()?),
                ("viewer", name) => viewer = Some(name.to_owned()),
                ("keep", seconds) => keep = Some(seconds.parse()?),
                ("ranges", list) => {
                    for range in list.split(',') {
                        let (first, last) = range.split_once('-').ok_or("expected FIRST-LAST")?;
                        ranges.push((first.parse()?, last.parse()?));
                    }
                }
                ("deny", denial) => {
                    let (status, text) = denial.split_once(':').ok_or("expected deny=STATUS:TEXT")?;
                    return Ok(Self::Deny(status.parse()?, text.to_owned()));
                }
                ("redirect", url) => return Ok(Self::Redirect(url.to_owned())),
                _ => return Err(format!("no such verdict: {option}").into()),
            }
        }
        Ok(Self::Allow { rate, viewer_streams, tenant_streams, expires, ranges, viewer, keep })
    }

    /// The verdict as the canonical ABI lays it out: a case in one byte, its payload at the next multiple of eight.
    fn layout(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut verdict, mut rest) = (vec![0; 88], Vec::new());
        let mut put = |at: usize, bytes: &[u8]| {
            for (place, byte) in verdict.iter_mut().skip(at).zip(bytes) {
                *place = *byte;
            }
        };
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(0).to_le_bytes();
        match self {
            Self::Allow { rate, viewer_streams, tenant_streams, expires, ranges, viewer, keep } => {
                for (at, long) in [(8, rate), (40, expires)] {
                    put(at, &[u8::from(long.is_some())]);
                    put(at + 8, &long.unwrap_or(0).to_le_bytes());
                }
                for (at, short) in [(24, viewer_streams), (32, tenant_streams), (76, keep)] {
                    put(at, &[u8::from(short.is_some())]);
                    put(at + 4, &short.unwrap_or(0).to_le_bytes());
                }
                for (first, last) in ranges {
                    rest.extend(first.to_le_bytes());
                    rest.extend(last.to_le_bytes());
                }
                put(56, &REST.to_le_bytes());
                put(60, &length(ranges.len()));
                put(64, &[u8::from(viewer.is_some())]);
                put(68, &(REST + u32::from_le_bytes(length(rest.len()))).to_le_bytes());
                let name = viewer.as_deref().unwrap_or_default();
                put(72, &length(name.len()));
                rest.extend(name.bytes());
            }
            Self::Deny(status, text) => {
                put(0, &[1]);
                put(8, &status.to_le_bytes());
                put(12, &REST.to_le_bytes());
                put(16, &length(text.len()));
                rest.extend(text.bytes());
            }
            Self::Redirect(url) => {
                put(0, &[2]);
                put(8, &REST.to_le_bytes());
                put(12, &length(url.len()));
                rest.extend(url.bytes());
            }
        }
        (verdict, rest)
    }

    /// A manifest and a core module.
    pub(crate) fn files(&self) -> Result<(String, Vec<u8>), Failure> {
        let (verdict, rest) = self.layout();
        let escaped = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
        // A borrowed handle has to be given back before the call ends.
        let body = format!(
            "(import \"streamvault:plugin/requests@0.1.0\" \"[resource-drop]request\" (func $drop (param i32)))
             (data (i32.const {VERDICT}) \"{}\") (data (i32.const {REST}) \"{}\")
             (func (export \"streamvault:plugin/policy@0.1.0#on-request\") (param i32) (result i32)
               (call $drop (local.get 0)) i32.const {VERDICT})",
            escaped(verdict),
            escaped(rest)
        );
        let manifest = "name = \"fixed\"\nversion = \"0.1.0\"\nhook = \"policy\"\nwasm = \"fixed.wasm\"\n";
        Ok((manifest.to_owned(), module("policy", &body)?))
    }
}

/// Manifest and core module of a policy that never answers: it computes for ever.
///
/// # Errors
/// When the contract can't be read.
pub fn spinning() -> Result<(String, Vec<u8>), Failure> {
    let body = "(func (export \"streamvault:plugin/policy@0.1.0#on-request\") (param i32) (result i32) (loop br 0) unreachable)";
    let manifest = "name = \"spinning\"\nversion = \"0.1.0\"\nhook = \"policy\"\nwasm = \"spinning.wasm\"\n";
    Ok((manifest.to_owned(), module("policy", body)?))
}

/// A core module for a manifest's hook whose every call traps.
pub(crate) fn trapping(manifest: &str) -> Result<Vec<u8>, Failure> {
    let hook = manifest.lines().find_map(|line| line.strip_prefix("hook = \"")?.strip_suffix('"')).ok_or("no hook")?;
    let exports = match hook {
        "tenant" => vec![("tenants", "resolve", "(param i32 i32) (result i32)")],
        "policy" => vec![("policy", "on-request", "(param i32) (result i32)")],
        "ads" => vec![
            ("ads", "on-request", "(param i32) (result i32)"),
            ("ads", "on-playlist", "(param i32 i32 i32 i32) (result i32)"),
        ],
        "observe" => vec![("observe", "on-log", "(param i32 i32 i32 i32)")],
        _ => return Err(format!("no such hook: {hook}").into()),
    };
    let function = |(interface, name, kind)| {
        format!("(func (export \"streamvault:plugin/{interface}@0.1.0#{name}\") {kind} unreachable)\n")
    };
    module(hook, &exports.into_iter().map(function).collect::<String>())
}

/// A core module built for a hook's world, by the contract as it stands in `plugins/wit`.
fn module(hook: &str, body: &str) -> Result<Vec<u8>, Failure> {
    let text = format!(
        "(module {body} (memory (export \"memory\") 1)
         (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) i32.const 8192))"
    );
    let mut module = wat::parse_str(text)?;
    let mut contract = wit_parser::Resolve::default();
    let (package, _) = contract.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/wit"))?;
    let world = contract.select_world(&[package], Some(&format!("{hook}-plugin")))?;
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// The same component with one custom section more: other bytes, another hash, the same plugin.
pub(crate) fn newer(mut component: Vec<u8>) -> Vec<u8> {
    component.extend(b"\x00\x06\x05newer");
    component
}
