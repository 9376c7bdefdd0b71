//! Two texts, line by line.

/// Lines around a difference.
const AROUND: usize = 3;

/// `- ` before what was wanted, `+ ` before what was found, and some of what both have before and after it.
pub(crate) fn lines(wanted: &str, found: &str) -> Vec<String> {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), found.lines().collect());
    let before = wanted.iter().zip(&found).take_while(|(wanted, found)| wanted == found).count();
    let most = wanted.len().min(found.len()) - before;
    let after =
        wanted.iter().rev().zip(found.iter().rev()).take(most).take_while(|(wanted, found)| wanted == found).count();
    let mark = |mark: &'static str| move |line: &&str| format!("{mark} {line}");
    let skip = before.saturating_sub(AROUND);
    let mut lines: Vec<String> = Vec::new();
    lines.extend((skip > 0).then(|| "  …".to_owned()));
    lines.extend(wanted[skip..before].iter().map(mark(" ")));
    lines.extend(wanted[before..wanted.len() - after].iter().map(mark("-")));
    lines.extend(found[before..found.len() - after].iter().map(mark("+")));
    let shared = &wanted[wanted.len() - after..];
    lines.extend(shared.iter().take(AROUND).map(mark(" ")));
    lines.extend((after > AROUND).then(|| "  …".to_owned()));
    lines
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn differences_with_what_is_around_them() {
        let rows: [(&str, &str, &[&str]); 5] = [
            ("a\n", "b\n", &["- a", "+ b"]),
            ("a\n", "a\nb\n", &["  a", "+ b"]),
            ("a\nb\n", "b\n", &["- a", "  b"]),
            ("a\na\n", "a\n", &["  a", "- a"]),
            (
                "1\n2\n3\n4\nx\n5\n6\n7\n8\n",
                "1\n2\n3\n4\n5\n6\n7\n8\n",
                &["  …", "  2", "  3", "  4", "- x", "  5", "  6", "  7", "  …"],
            ),
        ];
        for (wanted, found, want) in rows {
            assert_eq!(lines(wanted, found), want, "{wanted:?} {found:?}");
        }
    }
}
