//! Recorded requests against plugins that ship.

use crate::support::{plugin, plugins, shipped, write};

pub(crate) fn differences() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("r.toml");
    let folder = shipped("policy-tiers");
    let run = |text: &str| {
        write(&file, text);
        plugin(&["test", folder.to_str().unwrap(), file.to_str().unwrap()])
    };
    let done =
        run("[settings]\nfree_viewer_streams = 2\n\n[[step]]\nname = \"free\"\n[step.expect]\nverdict = \"allow\"\n\
         viewer_streams = 1\n\n[[step]]\nname = \"banned\"\n[step.request]\nclaims = { tier = \"banned\" }\n\
         [step.expect]\nstatus = 403\n");
    let done = done.exits(1);
    let wanted = "\
FAIL  r.toml: free
      - viewer_streams = 1
      + viewer_streams = 2
      + bytes_per_second = 1000000
      + keep = 10
ok    r.toml: banned
";
    assert_eq!(done.out, wanted);
    assert!(done.err.contains("1 of 2 steps failed"), "{}", done.err);

    // A request that names what the plugin can't see is an author's mistake as a rule.
    let done = run(
        "[[step]]\nname = \"n\"\n[step.request]\nheaders = { x-tier = \"gold\" }\n[step.expect]\nverdict = \"allow\"\n\
         viewer_streams = 1\nbytes_per_second = 1000000\nkeep = 10\n",
    );
    assert!(done.exits(0).err.contains("n: header x-tier: not in the manifest's visible.headers"));

    for (text, wanted) in [
        ("[[step]]\n[step.expect]\nstaus = 403\n", "expect.staus: unknown"),
        ("[[step]]\n", "expects nothing"),
        ("[[step]]\nhost = \"a.example\"\n[step.expect]\nverdict = \"found\"\n", "host is for tenant plugins"),
        ("[settings]\nfree_viewer_streams = \"two\"\n[[step]]\n[step.expect]\nstatus = 1\n", "must be a whole number"),
        ("[[step]]\n[step.request]\nurl = \"/stream/1/2\"\n[step.expect]\nstatus = 1\n", "url: must have a scheme"),
    ] {
        let done = run(text).exits(1);
        assert!(done.err.contains(wanted), "{wanted}: {}", done.err);
    }
}

/// Their `requests/` are examples for authors, too.
pub(crate) fn plugins_that_ship() {
    let mut seen = 0;
    for entry in std::fs::read_dir(plugins().join("guests")).unwrap() {
        let (source, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let Ok(requests) = std::fs::read_dir(source.join("requests")) else { continue };
        let mut arguments = vec!["test".to_owned(), shipped(name.to_str().unwrap()).to_str().unwrap().to_owned()];
        arguments.extend(requests.map(|file| file.unwrap().path().to_str().unwrap().to_owned()));
        let done = plugin(&arguments).exits(0);
        assert!(!done.err.contains("not in the manifest"), "{}", done.err);
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} plugins have recorded requests");
}
