//! Why a directive has no counterpart.

/// Families of directives, by how their names begin, and what to say of them. The first that fits counts.
const FAMILIES: &[(&[&str], &str)] = &[
    (&["listen", "server_name"], "its server has no links that could be carried over"),
    (&["sendfile", "tcp_nopush", "tcp_nodelay", "aio", "directio", "output_buffers"], "not needed: always so here"),
    (&["gzip", "brotli", "zstd"], "not needed: films are compressed"),
    (
        &[
            "events",
            "worker_connections",
            "worker_rlimit_nofile",
            "worker_cpu_affinity",
            "use",
            "multi_accept",
            "user",
            "pid",
            "daemon",
            "master_process",
            "load_module",
        ],
        "the process is systemd's affair: see deploy/systemd",
    ),
    (&["types", "default_type", "charset", "mime"], "not needed: types come with the media"),
    (&["ssl_"], "TLS 1.2 and 1.3 with the ciphers of today, not to be set"),
    (
        &["proxy_cache", "proxy_no_cache", "proxy_temp", "proxy_max_temp", "open_file_cache"],
        "not needed: the cache goes by chat, message and slice",
    ),
    (&["proxy_", "upstream", "resolver", "uwsgi_", "fastcgi_", "grpc_"], "bytes come from the hive: see hive.address"),
    (&["secure_link"], "has no counterpart: links are signed with secure_link_md5"),
    (&["log_format", "access_log"], "the access log is JSON lines: see log.access"),
    (&["error_log"], "see log.level"),
    (&["limit_"], "see tenant.limits"),
    (
        &["allow", "deny", "geo", "auth_", "satisfy", "valid_referers"],
        "a policy plugin decides who may: see plugins/GUIDE.md",
    ),
    (&["set_real_ip_from", "real_ip"], "not carried over: who connects is the viewer"),
    (&["add_header", "expires", "more_set_headers", "etag", "if_modified_since"], "headers are the gateway's own"),
    (
        &[
            "rewrite",
            "return",
            "try_files",
            "root",
            "alias",
            "index",
            "autoindex",
            "error_page",
            "internal",
            "if",
            "map",
            "set",
            "split_clients",
        ],
        "paths here are /stream/CHAT/MESSAGE[/NAME] and /v/SLUG[/NAME], and nothing else is served",
    ),
    (
        &[
            "server_tokens",
            "client_",
            "large_client_header_buffers",
            "keepalive_requests",
            "reset_timedout_connection",
            "lingering",
            "http2",
            "send_lowat",
            "server_names_hash",
            "variables_hash",
            "types_hash",
            "map_hash",
        ],
        "has a fixed bound here",
    ),
    (&["stream", "mail"], "only http is translated"),
    (&["mp4", "hls", "flv"], "media go out as they are"),
];

/// What a comment says of a directive that is not in the settings.
pub(crate) fn of(name: &str) -> &'static str {
    if name.contains("_by_lua") || name.starts_with("lua_") || name.starts_with("js_") || name.starts_with("perl_") {
        return "code is a plugin's here: see plugins/GUIDE.md";
    }
    let fits = |begin: &&str| match begin.strip_suffix('_') {
        Some(_) => name.starts_with(begin),
        None => name == *begin || name.strip_prefix(begin).is_some_and(|rest| rest.starts_with('_')),
    };
    let family = FAMILIES.iter().find(|(begins, _)| begins.iter().any(fits));
    family.map_or("has no counterpart", |(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn families_are_told_apart() {
        assert_eq!(of("sendfile_max_chunk"), of("sendfile"));
        assert_ne!(of("proxy_cache_key"), of("proxy_set_header"));
        assert_ne!(of("if"), of("if_modified_since"));
        assert_eq!(of("content_by_lua_block"), of("js_content"));
        assert_eq!(of("something"), "has no counterpart");
    }
}
