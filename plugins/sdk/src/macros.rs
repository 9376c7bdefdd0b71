/// Writes a line to the gateway's log, for the plugin's author; takes what `format!` takes. The line is tagged with plugin,
/// tenant and request id, ends after 1,024 bytes, and is dropped beyond the manifest's `limits.log_lines` a second.
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => { $crate::__write($crate::Level::Debug, ::core::format_args!($($text)+)) };
}

/// Writes a line to the gateway's log: what happens in the normal course of things. See [`debug!`].
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => { $crate::__write($crate::Level::Info, ::core::format_args!($($text)+)) };
}

/// Writes a line to the gateway's log: what an operator should look at some day. See [`debug!`].
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => { $crate::__write($crate::Level::Warn, ::core::format_args!($($text)+)) };
}

/// Writes a line to the gateway's log: what an operator should look at now. See [`debug!`].
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => { $crate::__write($crate::Level::Error, ::core::format_args!($($text)+)) };
}

/// Makes the crate a policy plugin: `policy!(Tiers)` for a type with [`Policy`](trait@crate::Policy), or `policy!(fn decide)` for
/// a function `fn(&Request) -> Verdict`. Once per crate; on targets other than wasm it only checks the types.
#[macro_export]
macro_rules! policy {
    (fn $decide:path) => {
        const _: () = {
            struct Function;
            impl $crate::Policy for Function {
                fn load() -> ::core::result::Result<Self, $crate::__String> {
                    Ok(Self)
                }
                fn decide(&self, request: &$crate::Request) -> $crate::Verdict {
                    $decide(request)
                }
            }
            $crate::policy!(Function);
        };
    };
    ($plugin:ty) => {
        const _: fn() -> ::core::result::Result<$plugin, $crate::__String> = <$plugin as $crate::Policy>::load;
        #[cfg(target_family = "wasm")]
        const _: () = {
            static PLUGIN: $crate::__export::Instance<$plugin> = $crate::__export::Instance::new();
            struct Export;
            impl $crate::__export::PolicyGuest for Export {
                fn on_request(request: &$crate::__export::WitRequest) -> $crate::__export::PolicyVerdict {
                    $crate::__export::decide(PLUGIN.get($crate::Policy::load), request)
                }
            }
    $crate::__export::policy::export_policy!(Export with_types_in $crate::__export::policy);
        };
    };
}

/// Makes the crate an ads plugin, of a type with [`Ads`](trait@crate::Ads). Once per crate; on targets other than wasm it only
/// checks the type.
#[macro_export]
macro_rules! ads {
    ($plugin:ty) => {
        const _: fn() -> ::core::result::Result<$plugin, $crate::__String> = <$plugin as $crate::Ads>::load;
        #[cfg(target_family = "wasm")]
        const _: () = {
            static PLUGIN: $crate::__export::Instance<$plugin> = $crate::__export::Instance::new();
            struct Export;
            impl $crate::__export::AdsGuest for Export {
                fn on_request(request: &$crate::__export::WitRequest) -> $crate::__export::AdsVerdictReply {
                    $crate::__export::gate(PLUGIN.get($crate::Ads::load), request)
                }
                fn on_playlist(
                    request: &$crate::__export::WitRequest,
                    kind: $crate::__export::WitPlaylistKind,
                    text: $crate::__String,
                ) -> $crate::__export::EditsReply {
                    $crate::__export::playlist(PLUGIN.get($crate::Ads::load), request, kind, &text)
                }
            }
    $crate::__export::ads::export_ads!(Export with_types_in $crate::__export::ads);
        };
    };
}

/// Makes the crate a tenant plugin, of a type with [`Tenants`](trait@crate::Tenants). Once per crate; on targets other than wasm
/// it only checks the type.
#[macro_export]
macro_rules! tenants {
    ($plugin:ty) => {
        const _: fn() -> ::core::result::Result<$plugin, $crate::__String> = <$plugin as $crate::Tenants>::load;
        #[cfg(target_family = "wasm")]
        const _: () = {
            static PLUGIN: $crate::__export::Instance<$plugin> = $crate::__export::Instance::new();
            struct Export;
            impl $crate::__export::TenantsGuest for Export {
                fn resolve(host: $crate::__String) -> $crate::__export::ResolutionReply {
                    $crate::__export::resolve(PLUGIN.get($crate::Tenants::load), &host)
                }
            }
    $crate::__export::tenants::export_tenants!(Export with_types_in $crate::__export::tenants);
        };
    };
}

/// Makes the crate an observe plugin, of a type with [`Observe`](trait@crate::Observe). Once per crate; on targets other than
/// wasm it only checks the type.
#[macro_export]
macro_rules! observe {
    ($plugin:ty) => {
        const _: fn() -> ::core::result::Result<$plugin, $crate::__String> = <$plugin as $crate::Observe>::load;
        #[cfg(target_family = "wasm")]
        const _: () = {
            static PLUGIN: $crate::__export::Instance<$plugin> = $crate::__export::Instance::new();
            struct Export;
            impl $crate::__export::ObserveGuest for Export {
                fn on_log(tenant: $crate::__String, batch: $crate::__export::Batch) {
                    $crate::__export::batch(PLUGIN.get($crate::Observe::load), &tenant, batch)
                }
            }
    $crate::__export::observe::export_observe!(Export with_types_in $crate::__export::observe);
        };
    };
}
