//! Made from the WIT. One set of imports for all worlds, and each world's exports; a plugin's component has what it uses.
#![allow(unsafe_code, missing_docs, unused_qualifications, unreachable_pub, clippy::all, reason = "generated")]

pub mod policy {
    wit_bindgen::generate!({
        path: "../wit",
        world: "policy-plugin",
        pub_export_macro: true,
        export_macro_name: "export_policy",
        default_bindings_module: "streamvault_sdk::__export::policy",
        generate_all,
    });
}

pub mod ads {
    wit_bindgen::generate!({
        path: "../wit",
        world: "ads-plugin",
        pub_export_macro: true,
        export_macro_name: "export_ads",
        default_bindings_module: "streamvault_sdk::__export::ads",
        with: {
            "streamvault:plugin/requests@0.1.0": crate::bindings::policy::streamvault::plugin::requests,
            "streamvault:plugin/log@0.1.0": crate::bindings::policy::streamvault::plugin::log,
            "streamvault:plugin/kv@0.1.0": crate::bindings::policy::streamvault::plugin::kv,
            "streamvault:plugin/clock@0.1.0": crate::bindings::policy::streamvault::plugin::clock,
            "streamvault:plugin/random@0.1.0": crate::bindings::policy::streamvault::plugin::random,
            "streamvault:plugin/config@0.1.0": crate::bindings::policy::streamvault::plugin::config,
        },
    });
}

pub mod observe {
    wit_bindgen::generate!({
        path: "../wit",
        world: "observe-plugin",
        pub_export_macro: true,
        export_macro_name: "export_observe",
        default_bindings_module: "streamvault_sdk::__export::observe",
        with: {
            "streamvault:plugin/requests@0.1.0": crate::bindings::policy::streamvault::plugin::requests,
            "streamvault:plugin/log@0.1.0": crate::bindings::policy::streamvault::plugin::log,
            "streamvault:plugin/kv@0.1.0": crate::bindings::policy::streamvault::plugin::kv,
            "streamvault:plugin/clock@0.1.0": crate::bindings::policy::streamvault::plugin::clock,
            "streamvault:plugin/random@0.1.0": crate::bindings::policy::streamvault::plugin::random,
            "streamvault:plugin/config@0.1.0": crate::bindings::policy::streamvault::plugin::config,
        },
    });
}

pub mod tenants {
    wit_bindgen::generate!({
        path: "../wit",
        world: "tenant-plugin",
        pub_export_macro: true,
        export_macro_name: "export_tenants",
        default_bindings_module: "streamvault_sdk::__export::tenants",
        with: {
            "streamvault:plugin/log@0.1.0": crate::bindings::policy::streamvault::plugin::log,
            "streamvault:plugin/kv@0.1.0": crate::bindings::policy::streamvault::plugin::kv,
            "streamvault:plugin/clock@0.1.0": crate::bindings::policy::streamvault::plugin::clock,
            "streamvault:plugin/random@0.1.0": crate::bindings::policy::streamvault::plugin::random,
            "streamvault:plugin/config@0.1.0": crate::bindings::policy::streamvault::plugin::config,
        },
    });
}
