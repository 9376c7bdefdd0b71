//! From a package to a component that fits its hook: encoded if it is a core module, compiled, its imports and exports looked at.

use crate::engine::Host;
use crate::failure::Failure;
use crate::guest::Template;
use plugin_package::{Hook, PackageError};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The version of the contract that this gateway speaks, as in `plugins/wit`.
pub const CONTRACT: &str = "0.1.0";
const PACKAGE: &str = "streamvault:plugin/";

/// Why a plugin was not loaded. Messages are for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its folder doesn't hold what it should.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Code compiled elsewhere: it would run as it is, past every check.
    #[error("compiled code is not taken from outside: give the component (.wasm) that it was made from")]
    Precompiled,
    /// Not WebAssembly, or cut off, or of a kind that is not supported. Says which.
    #[error("not a component: {0}")]
    NotComponent(String),
    /// Built for another version of the contract.
    #[error(
        "built for version {found} of the plugin contract, this gateway speaks {CONTRACT}: build it with that version's SDK"
    )]
    Version {
        /// The version that it names.
        found: String,
    },
    /// Built for another hook than its manifest says.
    #[error(
        "the manifest says hook = \"{hook}\", but the component doesn't export {PACKAGE}{interface}; it exports {exports}"
    )]
    OtherHook {
        /// The manifest's hook.
        hook: Hook,
        /// What that hook exports.
        interface: &'static str,
        /// What there is.
        exports: String,
    },
    /// Turned from one hook to another, where the folder alone has no say in that.
    #[error(
        "it was a {was} plugin and became one of {becomes}: where plugins are signed or pinned, say hook = \"{becomes}\" in the settings if that is meant"
    )]
    HookChanged {
        /// The hook of the generation in service.
        was: Hook,
        /// What the manifest says now.
        becomes: Hook,
    },
    /// Wants something that no plugin gets.
    #[error(
        "imports {0}, which plugins don't get: they have log, kv, clock, random, config, requests, and an empty WASI 0.2"
    )]
    Import(String),
    /// Imports and exports have the right names and the wrong types. Says which.
    #[error("doesn't fit the contract: {0}")]
    Unfit(String),
    /// It compiled, but no instance of it starts.
    #[error("doesn't start: {0}")]
    Start(Failure),
    /// Its name can't be one in the store.
    #[error("{0}")]
    Name(String),
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Stopping,
}

/// Compiles off the threads that serve requests, one component at a time.
pub(crate) async fn load(host: &Arc<Host>, hook: Hook, wasm: Vec<u8>) -> Result<Template, LoadError> {
    let turn = Arc::clone(&host.compiler).acquire_owned().await.map_err(|_| LoadError::Stopping)?;
    let host = Arc::clone(host);
    let work = move || {
        // Held by the work: who waited for it may leave, the work goes on.
        let _turn = turn;
        let component = component(&host, &wasm)?;
        let wasi = check(host.as_ref(), &component, hook)?;
        Template::new(&host, &component, hook, wasi)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| LoadError::Stopping)?
}

fn component(host: &Host, wasm: &[u8]) -> Result<Component, LoadError> {
    if Engine::detect_precompiled(wasm).is_some() {
        return Err(LoadError::Precompiled);
    }
    // The preamble: magic, version, and the layer, which tells modules from components.
    let encoded = match wasm.get(..8) {
        Some(b"\0asm\x01\0\0\0") => Some(encode(wasm)?),
        Some([b'\0', b'a', b's', b'm', ..]) => None,
        _ => return Err(LoadError::NotComponent("this is no WebAssembly".to_owned())),
    };
    let wasm = encoded.as_deref().unwrap_or(wasm);
    host.code.load(&host.engine, wasm).map_err(|error| LoadError::NotComponent(format!("{error:#}")))
}

/// A core module that was built with the contract's types in a custom section.
fn encode(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let encoded =
        wit_component::ComponentEncoder::default().module(module).and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| {
        LoadError::NotComponent(format!("a core module that can't be made one (was it built with the SDK?): {error:#}"))
    })
}

fn interface(hook: Hook) -> &'static str {
    match hook {
        Hook::Tenant => "tenants",
        Hook::Policy => "policy",
        Hook::Ads => "ads",
        Hook::Observe => "observe",
    }
}

/// Says early and in words what instantiating would say late and in types. True if the component needs WASI.
fn check(host: &Host, component: &Component, hook: Hook) -> Result<bool, LoadError> {
    let kind = component.component_type();
    let mut wasi = false;
    for (name, _) in kind.imports(&host.engine) {
        if name.starts_with("wasi:") {
            wasi = true;
        } else if let Some(ours) = name.strip_prefix(PACKAGE) {
            version(ours)?;
        } else {
            return Err(LoadError::Import(name.to_owned()));
        }
    }
    let exports: Vec<&str> = kind.exports(&host.engine).map(|(name, _)| name).collect();
    let wanted = interface(hook);
    let of_ours = |name: &&str| name.strip_prefix(PACKAGE).and_then(|rest| rest.split('@').next()) == Some(wanted);
    match exports.iter().copied().find(of_ours) {
        Some(name) => version(name)?,
        None => {
            let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
            return Err(LoadError::OtherHook { hook, interface: wanted, exports });
        }
    }
    Ok(wasi)
}

/// Within 0.1 all versions fit as long as nothing is imported that is not there yet, which linking finds out.
fn version(name: &str) -> Result<(), LoadError> {
    let found = name.split_once('@').map_or("", |(_, version)| version);
    let series = |version: &str| version.rsplit_once('.').map(|(series, _)| series.to_owned());
    if series(found) == series(CONTRACT) { Ok(()) } else { Err(LoadError::Version { found: found.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::load;
    use crate::engine::{Host, HostConfig};
    use plugin_kv::{Kv, MemoryBounds};
    use plugin_package::Hook;
    use std::sync::mpsc;
    use tokio::runtime::Builder;

    /// Compiling can't be stopped: while it goes on it keeps its turn, whether or not anybody waits for it.
    #[test]
    fn who_leaves_does_not_let_the_next_one_compile() {
        let folder = tempfile::tempdir().unwrap();
        let config = HostConfig { code_folder: folder.path().join("code"), instances: 1 };
        let host = Host::new(config, Kv::in_memory(MemoryBounds::default())).unwrap();
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            // The only thread for such work is taken, so that the compiler's waits in line.
            let (release, released) = mpsc::channel::<()>();
            let first = tokio::task::spawn_blocking(move || released.recv());
            tokio::select! {
                biased;
                _ = load(&host, Hook::Policy, Vec::new()) => panic!("nothing can have compiled it"),
                () = async {} => {}
            }
            assert_eq!(host.compiler.available_permits(), 0);
            drop(release);
            assert!(first.await.unwrap().is_err());
            assert!(host.compiler.acquire().await.is_ok());
        });
    }
}
