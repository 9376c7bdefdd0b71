//! The README's signing snippets give links that open. Each language is run if it is there; at least two must be.

use harness::{SECRET, token};
use std::path::Path;
use std::process::Command;

const SIGNED_PATH: &str = "/stream/-1001700000001/2/A film.mp4";

#[test]
fn signing_snippets_agree_with_nginx_documentation() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let section = readme.split("\n## Signing links\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let call = |language: &str, code: &str| match language {
        "sh" => code.replace("path=/stream/-1001700000001/2/sample.mp4", &format!("path='{SIGNED_PATH}'")),
        "python" => format!("{code}\nprint(sign('{SIGNED_PATH}', '{SECRET}'))"),
        "php" => format!("{code}\necho sign('{SIGNED_PATH}', '{SECRET}');"),
        _ => format!("{}\nconsole.log(sign('{SIGNED_PATH}', '{SECRET}'));", code.replace("export ", "")),
    };
    let mut ran = 0;
    for (language, program, flags) in [
        ("sh", "sh", &["-c"][..]),
        ("python", "python3", &["-c"]),
        ("php", "php", &["-r"]),
        ("js", "node", &["--input-type=module", "-e"]),
    ] {
        let opening = format!("```{language}\n");
        let code = section.split(&opening).nth(1).unwrap_or_else(|| panic!("no {language} snippet"));
        let code = code.split("```").next().unwrap();
        let output = Command::new(program).args(flags).arg(call(language, code)).env("SECRET", SECRET).output();
        let Ok(output) = output else {
            println!("{program} is not installed, its snippet was not run");
            continue;
        };
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let link = String::from_utf8(output.stdout).unwrap();
        let query = link.trim().rsplit('?').next().unwrap();
        let (md5, expires) = query.strip_prefix("md5=").unwrap().split_once("&expires=").unwrap();
        assert_eq!(md5, token(SIGNED_PATH, expires.parse().unwrap(), SECRET), "{language}");
        ran += 1;
    }
    assert!(ran >= 2, "only {ran} of the snippets could be run");
}
