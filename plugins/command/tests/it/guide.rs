//! The guide, the help, and the commands themselves say the same.

use crate::Cli;
use crate::support::{plugin, plugins, read};
use clap::CommandFactory;
use std::collections::BTreeSet;

pub(crate) fn help_has_examples() {
    for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        let help = plugin(&[name, "--help"]).exits(0).out;
        assert!(help.contains("Example") && help.contains(&format!("gateway plugin {name}")), "{name}: {help}");
        // Each example is one that the command line takes.
        for example in commands(&help) {
            parses(&example);
        }
    }
}

/// Every `gateway plugin …` line of the guide is one that the command line takes, and every command is in the guide.
pub(crate) fn commands_are_commands() {
    let guide = read(&plugins().join("GUIDE.md"));
    let found = commands(&guide);
    for command in &found {
        parses(command);
    }
    let named: BTreeSet<&str> = found.iter().filter_map(|command| command.split_whitespace().nth(2)).collect();
    for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
        assert!(named.contains(command.get_name()), "the guide says nothing of {}", command.get_name());
    }
}

/// The code that the guide walks through is what `new` makes.
pub(crate) fn project_is_what_new_makes() {
    let guide = read(&plugins().join("GUIDE.md"));
    let home = tempfile::tempdir().unwrap();
    plugin(&["new", "members-only", "--into", home.path().to_str().unwrap()]).exits(0);
    let project = |file: &str| read(&home.path().join("members-only").join(file));
    for (language, file) in [("rust", "src/lib.rs"), ("toml", "requests/viewers.toml")] {
        let made = project(file);
        let fence = format!("```{language} {file}\n");
        let excerpts: Vec<&str> = excerpts(&guide, &fence).collect();
        assert!(!excerpts.is_empty(), "the guide shows nothing of {file}");
        for excerpt in excerpts {
            assert!(made.contains(excerpt.trim_end()), "not in {file}:\n{excerpt}");
        }
    }
}

pub(crate) fn usage_errors_exit_with_2() {
    for arguments in [
        &["check"][..],
        &["check", "--name", "x"],
        &["check", "a", "--settings", "b", "--config", "c"],
        &["new"],
        &["new", "a", "--hook", "none"],
        &["bench", "a", "--calls", "0"],
        &["sign", "a"],
        &["list"],
        &["rollback", "--config", "x"],
        &["nothing"],
    ] {
        plugin(arguments).exits(2);
    }
    for arguments in [
        &["check", "/nowhere"][..],
        &["test", "/nowhere"],
        &["inspect", "/nowhere"],
        &["new", "2x"],
        &["build", "/nowhere"],
    ] {
        let done = plugin(arguments).exits(1);
        assert!(done.out.is_empty() && !done.err.is_empty(), "{arguments:?}: {}{}", done.out, done.err);
    }
}

fn commands(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("Example: "));
    let lines = lines.filter(|line| line.starts_with("gateway plugin "));
    lines
        .map(|line| line.split(" #").next().unwrap_or(line).split(" > ").next().unwrap_or(line).trim().to_owned())
        .collect()
}

fn parses(command: &str) {
    let words = command.split_whitespace().skip(1);
    if let Err(error) = Cli::command().try_get_matches_from(words) {
        panic!("{command}: {error}");
    }
}

fn excerpts<'a>(text: &'a str, fence: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(fence).skip(1).filter_map(|after| after.split("```").next())
}
