//! Applies a playlist hook's edits to a text. Pure.

use crate::bindings::exports::streamvault::plugin::ads::Edit;
use crate::reply::BadReply;

/// Growth that any text may have, however short it is.
const FREE_GROWTH: usize = 64 << 10;

/// The most bytes that a text of this length may become.
pub(crate) fn longest(length: usize) -> usize {
    length.saturating_mul(2).max(length.saturating_add(FREE_GROWTH))
}

/// The text with the edits done, `None` if they change nothing.
///
/// `longest` is the bound on the result; it is the first text's, so that a chain of hooks can't double it again and again.
pub(crate) fn apply(text: &str, edits: &[Edit], longest: usize) -> Result<Option<String>, BadReply> {
    if edits.is_empty() {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0_usize;
    for edit in edits {
        let (start, end) = (index(edit.start), index(edit.end));
        if start < at {
            return Err(BadReply::EditOrder);
        }
        let kept = text.get(at..start).ok_or(BadReply::EditBounds)?;
        if text.get(start..end).is_none() {
            return Err(BadReply::EditBounds);
        }
        if edit.text.contains('\0') {
            return Err(BadReply::EditText);
        }
        out.push_str(kept);
        out.push_str(&edit.text);
        if out.len() > longest {
            return Err(BadReply::TooLong("playlist"));
        }
        at = end;
    }
    out.push_str(text.get(at..).ok_or(BadReply::EditBounds)?);
    if out.len() > longest {
        return Err(BadReply::TooLong("playlist"));
    }
    Ok((out != text).then_some(out))
}

fn index(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Edit, apply, longest};
    use crate::reply::BadReply;

    fn edit(start: u32, end: u32, text: &str) -> Edit {
        Edit { start, end, text: text.to_owned() }
    }

    type Row<'a> = (&'a [Edit], Result<Option<&'a str>, BadReply>);

    #[test]
    fn edits() {
        let text = "aébc"; // é is the bytes 1 and 2
        let rows: [Row<'_>; 14] = [
            (&[], Ok(None)),
            (&[edit(0, 0, "x")], Ok(Some("xaébc"))),
            (&[edit(5, 5, "x")], Ok(Some("aébcx"))),
            (&[edit(0, 5, "")], Ok(Some(""))),
            (&[edit(0, 1, "a")], Ok(None)),
            (&[edit(0, 1, "x"), edit(1, 3, "y")], Ok(Some("xybc"))),
            (&[edit(1, 1, "x"), edit(1, 1, "y")], Ok(Some("axyébc"))),
            (&[edit(2, 3, "x")], Err(BadReply::EditBounds)),
            (&[edit(1, 2, "x")], Err(BadReply::EditBounds)),
            (&[edit(4, 6, "x")], Err(BadReply::EditBounds)),
            (&[edit(u32::MAX, u32::MAX, "x")], Err(BadReply::EditBounds)),
            (&[edit(3, 1, "x")], Err(BadReply::EditBounds)),
            (&[edit(0, 3, "x"), edit(1, 4, "y")], Err(BadReply::EditOrder)),
            (&[edit(0, 0, "a\0b")], Err(BadReply::EditText)),
        ];
        for (edits, want) in rows {
            assert_eq!(apply(text, edits, 100), want.map(|text| text.map(str::to_owned)), "{edits:?}");
        }
    }

    #[test]
    fn growth_is_bounded() {
        assert_eq!(longest(10), 10 + (64 << 10));
        assert_eq!(longest(1 << 20), 2 << 20);
        assert_eq!(apply("abc", &[edit(0, 0, "12")], 5), Ok(Some("12abc".into())));
        assert_eq!(apply("abc", &[edit(0, 0, "123")], 5), Err(BadReply::TooLong("playlist")));
        assert_eq!(apply("abc", &[edit(3, 3, "123")], 5), Err(BadReply::TooLong("playlist")));
    }
}
