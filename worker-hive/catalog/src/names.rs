//! Which files are parts of one, by their names alone. Pure.
//!
//! Three ways of numbering are known, with or without leading zeros, counted from 1 or, as `split` does, from 0:
//! `film.mkv.001`, `film.mkv.part1`, `film.mkv.1of3`. Volumes of archives are no parts of this kind: each has a head of its own, so that
//! their bytes one after the other are no archive.

use std::collections::BTreeMap;

/// Digits of a part's number at most: more are a date or an id.
const LONGEST_NUMBER: usize = 4;
/// Missing numbers that are named; of more, how many.
const NAMED: usize = 5;

/// Parts in order, and what they are together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The whole file's name.
    pub name: String,
    /// The media type that its name promises, `application/octet-stream` if none.
    pub content_type: &'static str,
    /// Places in the given list, in the order of the parts.
    pub order: Vec<usize>,
}

/// Why names are not those of one file's parts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// Nothing was given.
    #[error("there are no names")]
    Empty,
    /// A name has no part number.
    #[error("{name:?} has no part number, as film.mkv.001, film.mkv.part1 and film.mkv.1of3 have")]
    NotAPart {
        /// Its place in the list, from 0.
        index: usize,
        /// The name.
        name: String,
    },
    /// A name is that of an archive's volume.
    #[error("{name:?} is a volume of {kind}, and volumes have heads of their own: joined they are no archive")]
    Volume {
        /// Its place in the list, from 0.
        index: usize,
        /// The name.
        name: String,
        /// Of what kind of archive.
        kind: &'static str,
    },
    /// The number stands before the ending: such files play by themselves.
    #[error("{name:?} has its number before its ending, so it is a file of its own and no piece of one")]
    OfItsOwn {
        /// Its place in the list, from 0.
        index: usize,
        /// The name.
        name: String,
    },
    /// Two names are not parts of the same file.
    #[error("{first:?} and {other:?} are not parts of the same file")]
    Mixed {
        /// The first name of the list.
        first: String,
        /// The first name that does not go with it.
        other: String,
    },
    /// A number is there twice.
    #[error("part {number} is there twice: {first:?} and {again:?}")]
    Twice {
        /// The number.
        number: u32,
        /// The name that has it first.
        first: String,
        /// The name that has it again.
        again: String,
    },
    /// Numbers are missing.
    #[error("of {name:?}, {} missing", missing_words(.missing))]
    Gap {
        /// The whole file's name.
        name: String,
        /// The missing numbers, in order.
        missing: Vec<u32>,
    },
    /// A name says how many parts there are, and it is another number.
    #[error("{name:?} says that there are {said} parts, and {other:?} says otherwise")]
    Total {
        /// The name.
        name: String,
        /// What it says.
        said: u32,
        /// A name that says otherwise, or whose number is above it.
        other: String,
    },
}

/// How a name numbers its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Part,
    Of,
}

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said<'a> {
    Part { whole: &'a str, style: Style, number: u32, total: Option<u32> },
    Volume(&'static str),
    OfItsOwn,
    Nothing,
}

/// Puts parts in order by their names.
///
/// # Errors
/// [`NamesError`] when a name is no part's, when not all belong to the same file, or when parts are missing or there twice.
pub fn join<S: AsRef<str>>(names: &[S]) -> Result<Joined, NamesError> {
    let mut numbers: BTreeMap<u32, usize> = BTreeMap::new();
    let mut agreed: Option<(&str, Style)> = None;
    let mut total: Option<(u32, &str)> = None;
    let first = names.first().ok_or(NamesError::Empty)?.as_ref();
    for (index, name) in names.iter().map(AsRef::as_ref).enumerate() {
        let owned = || name.to_owned();
        let (whole, style, number, said) = match read(name) {
            Said::Part { whole, style, number, total } => (whole, style, number, total),
            Said::Volume(kind) => return Err(NamesError::Volume { index, name: owned(), kind }),
            Said::OfItsOwn => return Err(NamesError::OfItsOwn { index, name: owned() }),
            Said::Nothing => return Err(NamesError::NotAPart { index, name: owned() }),
        };
        if *agreed.get_or_insert((whole, style)) != (whole, style) {
            return Err(NamesError::Mixed { first: first.to_owned(), other: owned() });
        }
        if let Some(said) = said {
            let (agreed, by) = *total.get_or_insert((said, name));
            if agreed != said || number > said {
                let other = if agreed == said { name } else { by };
                return Err(NamesError::Total { name: owned(), said, other: other.to_owned() });
            }
        }
        if let Some(earlier) = numbers.insert(number, index) {
            let first = names.get(earlier).map(|name| name.as_ref().to_owned()).unwrap_or_default();
            return Err(NamesError::Twice { number, first, again: owned() });
        }
    }
    let (whole, _) = agreed.ok_or(NamesError::Empty)?;
    let lowest = u32::from(!numbers.contains_key(&0));
    let highest = numbers.last_key_value().map_or(0, |(number, _)| *number);
    // Counted from 0, the last of three is number 2.
    let last =
        total.map_or(highest, |(total, _)| if lowest == 0 { total.saturating_sub(1) } else { total }).max(highest);
    let missing: Vec<u32> = (lowest..=last).filter(|number| !numbers.contains_key(number)).collect();
    if !missing.is_empty() {
        return Err(NamesError::Gap { name: whole.to_owned(), missing });
    }
    Ok(Joined { name: whole.to_owned(), content_type: content_type_of(whole), order: numbers.into_values().collect() })
}

fn read(name: &str) -> Said<'_> {
    let Some((stem, ending)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return Said::Nothing };
    let lower = ending.to_ascii_lowercase();
    if let Some(number) = number(&lower) {
        return Said::Part { whole: stem, style: Style::Plain, number, total: None };
    }
    if let Some(number) = lower.strip_prefix("part").and_then(number) {
        return Said::Part { whole: stem, style: Style::Part, number, total: None };
    }
    if let Some((left, right)) = lower.split_once("of")
        && let (Some(number), Some(total)) = (number(left), number(right))
    {
        return Said::Part { whole: stem, style: Style::Of, number, total: Some(total) };
    }
    // `film.r00`, `film.s01` … and `film.z01`: the second volume and those after it.
    if let Some(digits) = lower.get(1..)
        && digits.len() == 2
        && number(digits).is_some()
    {
        match lower.as_bytes().first() {
            Some(b'r'..=b'y') => return Said::Volume("a RAR archive"),
            Some(b'z') => return Said::Volume("a ZIP archive"),
            _ => {}
        }
    }
    let inner =
        stem.rsplit_once('.').filter(|(whole, _)| !whole.is_empty()).map(|(_, inner)| inner.to_ascii_lowercase());
    let numbered = inner.is_some_and(|inner| {
        inner.strip_prefix("part").and_then(number).is_some()
            || inner.split_once("of").is_some_and(|(n, m)| number(n).is_some() && number(m).is_some())
    });
    match (numbered, lower.as_str()) {
        (_, "rar") => Said::Volume("a RAR archive"),
        (true, _) => Said::OfItsOwn,
        (false, _) => Said::Nothing,
    }
}

fn number(digits: &str) -> Option<u32> {
    let plain = (1..=LONGEST_NUMBER).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

fn missing_words(missing: &[u32]) -> String {
    let named: Vec<String> = missing.iter().take(NAMED).map(u32::to_string).collect();
    let more = match missing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (noun, verb) = if missing.len() == 1 { ("part", "is") } else { ("parts", "are") };
    format!("{noun} {}{more} {verb}", named.join(", "))
}

/// The media type that a file's ending promises, of the kinds that are worth splitting; `application/octet-stream` for the others.
#[must_use]
pub fn content_type_of(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "ts" | "m2ts" | "mts" => "video/mp2t",
        "mpg" | "mpeg" | "vob" => "video/mpeg",
        "flv" => "video/x-flv",
        "wmv" => "video/x-ms-wmv",
        "mp3" => "audio/mpeg",
        "m4a" | "m4b" => "audio/mp4",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "ogg" | "opus" => "audio/ogg",
        "zip" => "application/zip",
        "7z" => "application/x-7z-compressed",
        "rar" => "application/vnd.rar",
        "tar" => "application/x-tar",
        "gz" | "tgz" => "application/gzip",
        "xz" => "application/x-xz",
        "zst" => "application/zstd",
        "iso" => "application/x-iso9660-image",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::{Joined, NamesError, join};
    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};

    fn joined(names: &[&str]) -> (String, Vec<usize>) {
        let Joined { name, order, .. } = join(names).unwrap_or_else(|error| panic!("{names:?}: {error}"));
        (name, order)
    }

    fn refused(names: &[&str]) -> String {
        join(names).unwrap_err().to_string()
    }

    #[test]
    fn known_spellings_in_any_order() {
        for (names, whole, order) in [
            (&["film.mkv.002", "film.mkv.001", "film.mkv.003"][..], "film.mkv", &[1, 0, 2][..]),
            (&["a b.mp4.2", "a b.mp4.1"], "a b.mp4", &[1, 0]),
            (&["film.mkv.part2", "film.mkv.PART1"], "film.mkv", &[1, 0]),
            (
                &[
                    "film.part10",
                    "film.part9",
                    "film.part08",
                    "film.part7",
                    "film.part6",
                    "film.part5",
                    "film.part4",
                    "film.part3",
                    "film.part2",
                    "film.part1",
                ],
                "film",
                &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
            ),
            (&["film.mkv.3of3", "film.mkv.1of3", "film.mkv.2Of3"], "film.mkv", &[1, 2, 0]),
            (&["x.7z.01of02", "x.7z.2of2"], "x.7z", &[0, 1]),
            // As `split -d` counts.
            (&["x.tar.01", "x.tar.00"], "x.tar", &[1, 0]),
            (&["x.0of2", "x.1of2"], "x", &[0, 1]),
            (&["film.mkv.001"], "film.mkv", &[0]),
            // A plain split of an archive is as good as any.
            (&["films.rar.001", "films.rar.002"], "films.rar", &[0, 1]),
            (&["Фильм.mkv.001", "Фильм.mkv.002"], "Фильм.mkv", &[0, 1]),
        ] {
            assert_eq!(joined(names), (whole.to_owned(), order.to_vec()));
        }
        assert_eq!(join(&["film.mkv.001"]).unwrap().content_type, "video/x-matroska");
        assert_eq!(join(&["film.001"]).unwrap().content_type, "application/octet-stream");
    }

    #[test]
    fn what_is_no_plain_join_is_refused_with_the_reason() {
        for (names, reason) in [
            (&[][..], "there are no names"),
            (&["film.mkv"], "\"film.mkv\" has no part number"),
            (&["film.mkv.001", "film.mkv"], "\"film.mkv\" has no part number"),
            (&["film.mkv.part"], "has no part number"),
            (&[".001"], "has no part number"),
            (&["001"], "has no part number"),
            (&["film.mkv.20240131"], "has no part number"),
            (&["film.mkv.+1"], "has no part number"),
            (&["film.mkv.1of"], "has no part number"),
            (&["film.part01.rar"], "\"film.part01.rar\" is a volume of a RAR archive"),
            (&["film.rar", "film.r00"], "\"film.rar\" is a volume of a RAR archive"),
            (&["film.r00"], "a volume of a RAR archive"),
            (&["film.z01"], "a volume of a ZIP archive"),
            (&["film.part1.mkv", "film.part2.mkv"], "is a file of its own"),
            (&["film.1of2.mp4"], "is a file of its own"),
            (&["a.mkv.001", "b.mkv.002"], "\"a.mkv.001\" and \"b.mkv.002\" are not parts of the same file"),
            (&["a.mkv.001", "a.mkv.part2"], "are not parts of the same file"),
            (&["a.mkv.001", "A.mkv.002"], "are not parts of the same file"),
            (&["a.001", "a.01", "a.2"], "part 1 is there twice: \"a.001\" and \"a.01\""),
            (&["a.001", "a.003"], "of \"a\", part 2 is missing"),
            (&["a.002", "a.003"], "of \"a\", part 1 is missing"),
            (&["a.001", "a.010"], "of \"a\", parts 2, 3, 4, 5, 6 and 3 more are missing"),
            (&["a.1of3", "a.2of3"], "of \"a\", part 3 is missing"),
            (&["a.0of3", "a.1of3"], "of \"a\", part 2 is missing"),
            (&["a.1of3", "a.2of4"], "\"a.2of4\" says that there are 4 parts, and \"a.1of3\" says otherwise"),
            (&["a.4of3"], "\"a.4of3\" says that there are 3 parts"),
        ] {
            let said = refused(names);
            assert!(said.contains(reason), "{names:?}: {said}");
        }
        assert!(matches!(join(&["a.mkv.1", "a.rar"]), Err(NamesError::Volume { index: 1, .. })));
    }

    fn shuffled() -> impl Strategy<Value = (u32, Vec<u32>)> {
        (0_u32..2, 1_u32..60).prop_flat_map(|(from, count)| {
            (Just(from), Just((from..from + count).collect::<Vec<u32>>()).prop_shuffle())
        })
    }

    fn spelled(style: u8, number: u32, total: usize) -> String {
        match style {
            0 => format!("film.mkv.{number}"),
            1 => format!("film.mkv.{number:03}"),
            2 => format!("film.mkv.part{number}"),
            3 => format!("film.mkv.part{number:02}"),
            4 => format!("film.mkv.{number}of{total}"),
            _ => format!("film.mkv.{number:04}of{total:02}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn parts_come_into_order_and_a_lost_one_is_missed(
            (from, numbers) in shuffled(), style in 0_u8..6, lost in any::<proptest::sample::Index>(),
        ) {
            let mut names: Vec<String> = numbers.iter().map(|number| spelled(style, *number, numbers.len())).collect();
            let whole = join(&names).unwrap();
            let order: Vec<u32> = whole.order.iter().map(|index| numbers[*index]).collect();
            prop_assert_eq!(order, (from..from + u32::try_from(numbers.len()).unwrap()).collect::<Vec<u32>>());
            let lost = lost.index(names.len());
            let number = numbers[lost];
            names.remove(lost);
            let count = u32::try_from(numbers.len()).unwrap();
            // Without a total in the names, nobody can know that the last one is missing, nor that counting began at 0.
            let missed = match (from, number) {
                _ if names.is_empty() => None,
                (0, 0) if style >= 4 => Some(count),
                (0, 0) => None,
                _ if number - from + 1 == count && style < 4 => None,
                _ => Some(number),
            };
            match (join(&names), missed) {
                (Err(NamesError::Gap { missing, .. }), Some(missed)) => prop_assert_eq!(missing, [missed]),
                (Ok(_) | Err(NamesError::Empty), None) => {}
                (other, missed) => prop_assert!(false, "{other:?}, and missing is {missed:?}"),
            }
        }

        #[test]
        fn no_name_is_too_odd(names in proptest::collection::vec(".{0,12}", 0..4)) {
            if let Ok(found) = join(&names) {
                prop_assert_eq!(found.order.len(), names.len());
                prop_assert!(!found.name.is_empty());
            }
        }
    }
}
