//! Answers cut to the parts of a media that a viewer may read.

use crate::answer::Answer;
use crate::origin::ByteRange;

/// Cuts an answer to the windows that may be read; `None` if it asks for what lies outside of them.
///
/// A range that begins in a window is cut to that window's end: a server may send less than was asked for (RFC 9110 §15.3.7),
/// and players go on asking where it ended. Any other range is refused, and so is the whole media unless one window holds all of
/// it. Answers without bytes pass.
#[must_use]
pub fn restrict(answer: Answer, size: u64, windows: &[ByteRange]) -> Option<Answer> {
    let cut = |range: ByteRange| {
        let ends = windows.iter().filter(|window| window.start <= range.start && range.start < window.end);
        ends.map(|window| window.end).max().map(|end| ByteRange { start: range.start, end: range.end.min(end) })
    };
    match answer {
        Answer::Full if size == 0 => Some(Answer::Full),
        Answer::Full => cut(ByteRange { start: 0, end: size }).filter(|whole| whole.end == size).map(|_| Answer::Full),
        Answer::Partial(range) => cut(range).map(Answer::Partial),
        Answer::Multipart(ranges) => {
            let cut: Option<Vec<ByteRange>> = ranges.into_iter().map(cut).collect();
            cut.map(Answer::Multipart)
        }
        other @ (Answer::NotModified | Answer::PreconditionFailed | Answer::Unsatisfiable) => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::restrict;
    use crate::answer::Answer;
    use crate::origin::ByteRange;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[test]
    fn ranges_are_cut_or_refused() {
        let windows = [range(0, 10), range(90, 100)];
        for (answer, cut) in [
            (Answer::Partial(range(0, 100)), Some(Answer::Partial(range(0, 10)))),
            (Answer::Partial(range(9, 10)), Some(Answer::Partial(range(9, 10)))),
            (Answer::Partial(range(10, 20)), None),
            (Answer::Partial(range(95, 100)), Some(Answer::Partial(range(95, 100)))),
            (Answer::Full, None),
            (
                Answer::Multipart(vec![range(5, 20), range(90, 95)]),
                Some(Answer::Multipart(vec![range(5, 10), range(90, 95)])),
            ),
            (Answer::Multipart(vec![range(5, 8), range(50, 60)]), None),
            (Answer::NotModified, Some(Answer::NotModified)),
            (Answer::Unsatisfiable, Some(Answer::Unsatisfiable)),
        ] {
            assert_eq!(restrict(answer.clone(), 100, &windows), cut, "{answer:?}");
        }
        assert_eq!(restrict(Answer::Full, 100, &[]), None);
        assert_eq!(restrict(Answer::Full, 100, &[range(0, 500)]), Some(Answer::Full));
        assert_eq!(restrict(Answer::Full, 0, &windows), Some(Answer::Full));
    }
}
