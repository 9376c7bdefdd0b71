//! `server_name` as domains.

use crate::ledger::Ledger;
use crate::tree::Directive;

/// The domains of a server; `*` if it has no name that could be asked for.
pub(crate) fn read(server: &[Directive], ledger: &mut Ledger) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    let mut left_out = false;
    for directive in server.iter().filter(|directive| directive.name == "server_name") {
        ledger.take(directive);
        for name in &directive.arguments {
            let name = name.to_ascii_lowercase();
            match found(&name) {
                Found::Domains(found) => {
                    for domain in found {
                        if !domains.contains(&domain) {
                            domains.push(domain);
                        }
                    }
                }
                Found::Placeholder => {}
                Found::None(reason) => {
                    left_out = true;
                    ledger.note(directive, &format!("{name} is left out: {reason}"));
                }
            }
        }
    }
    if domains.is_empty() && !left_out {
        domains.push("*".to_owned());
    }
    domains
}

enum Found {
    Domains(Vec<String>),
    /// A name that no viewer asks for.
    Placeholder,
    None(&'static str),
}

fn found(name: &str) -> Found {
    if name.is_empty() || name == "_" {
        return Found::Placeholder;
    }
    if name.starts_with('~') {
        return Found::None("domains are no regular expressions; write the names out");
    }
    if name.starts_with('$') {
        return Found::None("write the machine's name");
    }
    if let Some(below) = name.strip_prefix('.') {
        return if is_name(below) {
            Found::Domains(vec![below.to_owned(), format!("*.{below}")])
        } else {
            Found::None("it is no domain")
        };
    }
    if is_name(name.strip_prefix("*.").unwrap_or(name)) {
        return Found::Domains(vec![name.to_owned()]);
    }
    Found::None("only a whole first label can be *; write the names out")
}

/// What the settings take for a name.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
