//! Guests written by hand, so that they can do what no compiler would let them.
//!
//! A guest is a core module in text form; the contract's types are put beside it and both are made a component. The numbers
//! are the canonical ABI's: a policy's verdict has its case at 0 and its payload at 8; a text is an address and a length.

use std::fmt::Write as _;
use std::path::PathBuf;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where replies are put.
pub(crate) const REPLY: u32 = 1_024;
/// Where texts are put.
pub(crate) const TEXT: u32 = 2_048;

/// What bodies may call: the name here, the interface, the name there, the type.
const IMPORTS: &[(&str, &str, &str, &str)] = &[
    ("$drop", "requests", "[resource-drop]request", "(param i32)"),
    ("$media", "requests", "[method]request.media", "(param i32 i32)"),
    ("$id", "requests", "[method]request.id", "(param i32 i32)"),
    ("$path", "requests", "[method]request.path", "(param i32 i32)"),
    ("$header", "requests", "[method]request.header", "(param i32 i32 i32 i32)"),
    ("$claim", "requests", "[method]request.claim", "(param i32 i32 i32 i32)"),
    ("$size", "requests", "[method]request.size", "(param i32 i32)"),
    ("$url", "requests", "[method]request.url", "(param i32 i32 i32 i32)"),
    ("$log", "log", "write", "(param i32 i32 i32)"),
    ("$set", "kv", "set", "(param i32 i32 i32 i32 i32 i32)"),
    ("$increment", "kv", "increment", "(param i32 i32 i64 i32 i32)"),
    ("$now", "clock", "now", "(result i64)"),
    ("$random", "random", "bytes", "(param i32 i32)"),
    ("$setting", "config", "get", "(param i32 i32 i32)"),
];

/// The same of WASI.
const WASI: &[(&str, &str, &str, &str)] = &[
    ("$environment", "cli/environment", "get-environment", "(param i32)"),
    ("$entropy", "random/random", "get-random-bytes", "(param i64 i32)"),
];

/// A guest in the making.
#[derive(Clone)]
pub(crate) struct Guest {
    world: &'static str,
    version: &'static str,
    pages: u32,
    functions: String,
    data: String,
    realloc: String,
}

impl Guest {
    pub(crate) fn new(world: &'static str) -> Self {
        let realloc = "global.get $top i32.const 7 i32.add i32.const -8 i32.and local.tee $at local.get 3 i32.add
             global.set $top local.get $at";
        Self {
            world,
            version: "0.1.0",
            pages: 2,
            functions: String::new(),
            data: String::new(),
            realloc: realloc.to_owned(),
        }
    }

    /// A policy guest; the body leaves the address of its verdict. The request's handle is `$request`.
    pub(crate) fn policy(body: &str) -> Self {
        let body = format!("(param $request i32) (result i32) (local $i i32) {body}");
        Self::new("policy-plugin").export("policy", "on-request", &body)
    }

    /// A policy guest that does as told for message 666, and allows all else.
    pub(crate) fn evil(body: &str) -> Self {
        Self::policy(&format!(
            "(call $media (local.get $request) (i32.const 64))
             (if (i32.eq (i32.load (i32.const 72)) (i32.const 666)) (then {body}))
             (call $drop (local.get $request)) i32.const {ALLOW}"
        ))
        .data(256, b"some key")
    }

    /// A policy guest that answers message 666 with this verdict, and allows all else.
    pub(crate) fn answering(reply: &[u8]) -> Self {
        Self::evil(&format!("(call $drop (local.get $request)) (return (i32.const {REPLY}))")).data(REPLY, reply)
    }

    pub(crate) fn export(mut self, interface: &str, name: &str, body: &str) -> Self {
        let version = self.version;
        let _ = write!(self.functions, "(func (export \"streamvault:plugin/{interface}@{version}#{name}\") {body})");
        self
    }

    pub(crate) fn with(mut self, text: &str) -> Self {
        self.functions.push_str(text);
        self
    }

    pub(crate) fn data(mut self, at: u32, bytes: &[u8]) -> Self {
        let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let _ = write!(self.data, "(data (i32.const {at}) \"{text}\")");
        self
    }

    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    pub(crate) fn realloc(mut self, body: &str) -> Self {
        self.realloc = body.to_owned();
        self
    }

    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.functions = self.functions.replace(self.version, version);
        self.version = version;
        self
    }

    /// The core module, with the contract's types beside it or without.
    pub(crate) fn module(&self, with_types: bool) -> Vec<u8> {
        let used =
            |name: &str| self.functions.contains(&format!("{name} ")) || self.functions.contains(&format!("{name})"));
        let wasi: String = WASI
            .iter()
            .filter(|(name, ..)| used(name))
            .map(|(name, interface, function, kind)| {
                format!("(import \"wasi:{interface}@0.2.0\" \"{function}\" (func {name} {kind}))\n")
            })
            .collect();
        let imports: String = IMPORTS
            .iter()
            .filter(|(name, ..)| used(name))
            .map(|(name, interface, function, kind)| {
                let version = self.version;
                format!("(import \"streamvault:plugin/{interface}@{version}\" \"{function}\" (func {name} {kind}))\n")
            })
            .collect();
        let text = format!(
            "(module {imports} {wasi}
               (memory (export \"memory\") {pages})
               (global $top (mut i32) (i32.const 65536))
               (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32) {realloc})
               {functions} {data})",
            pages = self.pages,
            realloc = self.realloc,
            functions = self.functions,
            data = self.data,
        );
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        if with_types {
            let (resolve, world) = contract(self.version, self.world);
            embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        }
        module
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        let encoder = ComponentEncoder::default().module(&self.module(true)).unwrap();
        encoder.validate(true).encode().unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// A policy that wants WASI as well, as guests with a standard library do: it refuses with 400 and the number of environment
/// variables that it sees.
pub(crate) fn wanting_wasi() -> Vec<u8> {
    let wasi =
        "package wasi:cli@0.2.0; interface environment { get-environment: func() -> list<tuple<string, string>>; }
        world all { import environment; }";
    let guest = Guest::policy(&format!(
        "(call $environment (i32.const 128)) (call $drop (local.get $request))
         (i32.store16 (i32.const {status}) (i32.add (i32.const 400) (i32.load (i32.const 132))))
         i32.const {REPLY}",
        status = REPLY + 8,
    ))
    .data(REPLY, deny(0, 0, 0).bytes());
    with_wasi(&guest, wasi)
}

/// A policy that asks WASI for so many random bytes about message 666, and allows all else.
pub(crate) fn wanting_randomness(bytes: u32) -> Vec<u8> {
    let wasi = "package wasi:random@0.2.0; interface random { get-random-bytes: func(len: u64) -> list<u8>; }
        world all { import random; }";
    with_wasi(&Guest::evil(&format!("(call $entropy (i64.const {bytes}) (i32.const 128))")), wasi)
}

/// The component of a guest that needs a world of WASI's besides its own: `all` in this text.
fn with_wasi(guest: &Guest, wasi: &str) -> Vec<u8> {
    let mut module = guest.module(true);
    let mut resolve = Resolve::default();
    let package = resolve.push_str("wasi.wit", wasi).unwrap();
    let world = resolve.select_world(&[package], Some("all")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&module).unwrap();
    encoder.validate(true).encode().unwrap_or_else(|error| panic!("{error:#}"))
}

/// Address of a verdict that allows everything: memory is zero there.
pub(crate) const ALLOW: u32 = 512;

/// The contract, or what it would look like in another version.
fn contract(version: &str, world: &str) -> (Resolve, wit_parser::WorldId) {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"));
    let text: String = ["worlds", "imports", "types", "hooks"]
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(format!("{name}.wit"))).unwrap())
        .collect();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("contract.wit", &text.replace("@0.1.0", &format!("@{version}"))).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    (resolve, world)
}

/// Bytes of a reply, written field by field.
#[derive(Default)]
pub(crate) struct Reply(Vec<u8>);

impl Reply {
    pub(crate) fn at(mut self, offset: usize, bytes: &[u8]) -> Self {
        let end = offset + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[offset..end].copy_from_slice(bytes);
        self
    }

    pub(crate) fn int(self, offset: usize, value: u32) -> Self {
        self.at(offset, &value.to_le_bytes())
    }

    pub(crate) fn long(self, offset: usize, value: u64) -> Self {
        self.at(offset, &value.to_le_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A `deny` whose text lies at an address.
pub(crate) fn deny(status: u16, address: u32, length: u32) -> Reply {
    Reply::default().int(0, 1).at(8, &status.to_le_bytes()).int(12, address).int(16, length)
}

/// A `redirect` whose URL lies at an address.
pub(crate) fn redirect(address: u32, length: u32) -> Reply {
    Reply::default().int(0, 2).int(8, address).int(12, length)
}

/// An `allow` with ranges at an address.
pub(crate) fn ranges(address: u32, length: u32) -> Reply {
    Reply::default().int(56, address).int(60, length).long(64, 0).long(72, 0)
}
