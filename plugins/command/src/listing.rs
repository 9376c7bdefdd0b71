//! What the gateway says of its plugins, as a table.

use admin_client::align;
use serde::Deserialize;

/// One plugin, as the admin listener's `GET /plugins` has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    name: String,
    hook: String,
    order: i32,
    /// `None` for all.
    #[serde(default)]
    tenants: Option<Vec<String>>,
    fail: String,
    enabled: bool,
    #[serde(default)]
    current: Option<Generation>,
    #[serde(default)]
    canary: Option<Generation>,
    #[serde(default)]
    previous: Option<Generation>,
    #[serde(default)]
    problem: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Generation {
    number: u64,
    version: String,
    sha256: String,
    #[serde(default)]
    signed_by: Option<String>,
    #[serde(default)]
    share: f64,
}

impl Listed {
    /// Why it, or its newest files, are not in service; `None` also for one that the operator took out.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.as_ref().filter(|_| self.enabled).map(|problem| format!("{}: {problem}", self.name))
    }

    fn row(&self) -> Vec<String> {
        let state = match (self.enabled, &self.current, &self.problem) {
            (false, ..) => "disabled",
            (true, None, _) => "broken",
            (true, Some(_), Some(_)) => "old",
            (true, Some(_), None) => "ok",
        };
        let generation = |generation: &Generation| format!("{} ({})", generation.number, generation.version);
        let canary = |canary: &Generation| format!("{} {:.1}%", generation(canary), canary.share * 100.0);
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let current = self.current.as_ref();
        vec![
            self.name.clone(),
            self.hook.clone(),
            self.order.to_string(),
            self.tenants.as_ref().map_or_else(|| "all".to_owned(), |tenants| tenants.join(",")),
            self.fail.clone(),
            state.to_owned(),
            or_none(current.map(generation)),
            or_none(self.canary.as_ref().map(canary)),
            or_none(self.previous.as_ref().map(generation)),
            or_none(current.and_then(|current| current.sha256.get(..12).map(str::to_owned))),
            or_none(current.and_then(|current| current.signed_by.clone())),
        ]
    }
}

/// The table, and below it what is wrong.
pub(crate) fn table(listed: &[Listed]) -> String {
    let head =
        ["NAME", "HOOK", "ORDER", "TENANTS", "FAIL", "STATE", "GENERATION", "CANARY", "PREVIOUS", "SHA256", "SIGNED"];
    let head = vec![head.into_iter().map(str::to_owned).collect()];
    let rows: Vec<Vec<String>> = head.into_iter().chain(listed.iter().map(Listed::row)).collect();
    let problems = listed.iter().filter_map(|listed| Some(format!("{}: {}\n", listed.name, listed.problem.as_ref()?)));
    align(&rows) + &problems.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::{Listed, table};

    const JSON: &str = r#"[
      {"name":"tiers","hook":"policy","order":100,"tenants":null,"fail":"closed","enabled":true,
       "current":{"number":3,"version":"1.0.0","sha256":"00112233445566778899aabbccddeeff","signed_by":"release","isolation":"warm","share":0.9},
       "canary":{"number":4,"version":"1.1.0","sha256":"ff","signed_by":null,"isolation":"warm","share":0.1},
       "previous":null,"problem":null},
      {"name":"gate","hook":"ads","order":5,"tenants":["a","b"],"fail":"open","enabled":true,
       "current":null,"canary":null,"previous":null,"problem":"/p/plugin.toml: is not there"},
      {"name":"meter","hook":"observe","order":100,"tenants":null,"fail":"open","enabled":false,
       "current":null,"canary":null,"previous":null,"problem":"disabled in the settings","more":1}
    ]"#;

    #[test]
    fn plugins_as_a_table() {
        let listed: Vec<Listed> = serde_json::from_str(JSON).unwrap();
        let wanted = "\
NAME   HOOK     ORDER  TENANTS  FAIL    STATE     GENERATION  CANARY           PREVIOUS  SHA256        SIGNED
tiers  policy   100    all      closed  ok        3 (1.0.0)   4 (1.1.0) 10.0%  -         001122334455  release
gate   ads      5      a,b      open    broken    -           -                -         -             -
meter  observe  100    all      open    disabled  -           -                -         -             -
gate: /p/plugin.toml: is not there
meter: disabled in the settings
";
        assert_eq!(table(&listed), wanted);
        let problems: Vec<_> = listed.iter().filter_map(Listed::problem).collect();
        assert_eq!(problems, ["gate: /p/plugin.toml: is not there"]);
    }
}
