//! The contract in `plugins/wit` as Rust types: the generated traits that the host implements and the typed exports that it
//! calls. One world takes all hooks together, so that the imports exist once; a component exports a single hook and is asked
//! for that interface alone.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package streamvault:host;
        world every-hook {
            include streamvault:plugin/imports@0.1.0;
            import streamvault:plugin/requests@0.1.0;
            export streamvault:plugin/tenants@0.1.0;
            export streamvault:plugin/policy@0.1.0;
            export streamvault:plugin/ads@0.1.0;
            export streamvault:plugin/observe@0.1.0;
        }
    ",
    world: "streamvault:host/every-hook",
    imports: { "streamvault:plugin/kv": async | trappable, default: trappable },
    exports: { default: async },
    with: { "streamvault:plugin/requests.request": crate::imports::Handle },
    require_store_data_send: true,
});
