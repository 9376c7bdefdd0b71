//! The part that both programs have: where traces go.

use super::{GATEWAY, HIVE, check};
use config::{GatewaySettings, HiveSettings};

const TRACES: &str = "[traces]\nendpoint = \"https://collector.example/v1/traces\"\nauthorization = \"the-secret-of-the-collector\"\nsample = 0.5\n";
const WANTED: &str = "must be an http:// or https:// address with a path, as in http://127.0.0.1:4318/v1/traces";

#[test]
fn traces() {
    let bad = [
        "",
        "collector.example/v1/traces",
        "http://",
        "http://host",
        "http:///v1",
        "grpc://host/v1",
        "http://u:p@host/v1",
        "http://h o/v1",
    ];
    for (good, line) in [(format!("{GATEWAY}{TRACES}"), 11), (format!("{HIVE}{TRACES}"), 7)] {
        let is_gateway = good.contains("[cache]");
        let refused = |from: &'static str, to: String, said: String| {
            let case = [(from, &*to.leak(), &*said.leak())];
            if is_gateway { check::<GatewaySettings>(&good, &case) } else { check::<HiveSettings>(&good, &case) }
        };
        for endpoint in bad {
            let said = format!("f.toml:{}: traces.endpoint: {WANTED}", line + 1);
            refused("https://collector.example/v1/traces", endpoint.to_owned(), said);
        }
        for (sample, line) in [("1.01", line + 3), ("-0.1", line + 3), ("nan", line + 3)] {
            refused("0.5", sample.to_owned(), format!("f.toml:{line}: traces.sample: must be from 0 to 1"));
        }
        let said = format!("f.toml:{}: traces.authorization: must be visible ASCII", line + 2);
        refused("the-secret-of-the-collector", "the\\nsecret".to_owned(), said);
    }
}
