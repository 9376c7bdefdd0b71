//! What must hold of an answer.

use super::parse::Line;
use super::saved::Saved;
use crate::films::size;
use crate::stack::Stack;
use crate::{Answer, Failure, Printed};

/// Everything below a step, in order; what it says to save is saved.
pub(super) fn expect_all(stack: &Stack, saved: &mut Saved, answer: &Answer, step: &Line) -> Result<(), Failure> {
    for line in &step.below {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        let held = match words.as_slice() {
            ["save", rest @ ..] => saved.save(rest, answer),
            words => expect(stack, answer, words),
        };
        held.map_err(|e| format!("line {}: {}: {e}", line.number, line.text))?;
    }
    match &answer.broken {
        Some(reason) if !step.below.iter().any(|line| line.words == ["broken"]) => {
            Err(format!("the body broke after {} bytes: {reason}", answer.body.len()).into())
        }
        _ => Ok(()),
    }
}

fn expect(stack: &Stack, answer: &Answer, words: &[&str]) -> Result<(), Failure> {
    let wrong = |got: String| -> Result<(), Failure> { Err(format!("got {got}").into()) };
    match words {
        ["status", status] if answer.status.as_str() == *status => Ok(()),
        ["status", _] => wrong(format!("{} {:?}", answer.status, String::from_utf8_lossy(&answer.body))),
        ["cache", status] if answer.header("x-cache-status") == Some(status) => Ok(()),
        ["cache", _] => wrong(format!("{:?}", answer.header("x-cache-status"))),
        ["only-header", name, value] => {
            let lines: Vec<_> = answer.headers.get_all(*name).iter().collect();
            if lines == [value] { Ok(()) } else { wrong(format!("{lines:?}")) }
        }
        ["header", name, value] if answer.header(name) == Some(value) => Ok(()),
        ["header", name, "~", part] if answer.header(name).is_some_and(|value| value.contains(part)) => Ok(()),
        ["header", name, operator @ (">=" | "<="), value] => {
            let number = answer.header(name).and_then(|value| value.parse().ok()).ok_or("no number in that header")?;
            compare(number, operator, value.parse()?)
        }
        ["header", name, ..] => wrong(format!("{:?}", answer.header(name))),
        ["no-header", name] if answer.header(name).is_none() => Ok(()),
        ["no-header", name] => wrong(format!("{:?}", answer.header(name))),
        ["length", bytes] if answer.body.len() as u64 == size(bytes)? => Ok(()),
        ["length", _] => wrong(answer.body.len().to_string()),
        ["text", text] if answer.body == text.as_bytes() => Ok(()),
        ["contains", part] if text(answer).contains(part) => Ok(()),
        ["lacks", part] if !text(answer).contains(part) => Ok(()),
        ["text" | "contains" | "lacks", _] => wrong(format!("{:?}", text(answer))),
        ["json", pointer, wanted @ ..] => expect_json(answer, pointer, wanted),
        // Only that something took its time: how long it took beyond that is the machine's.
        ["elapsed", ">=", least] => {
            let least = least.strip_suffix("ms").ok_or("expected milliseconds, as 900ms")?.parse()?;
            if answer.took.as_millis() >= least { Ok(()) } else { wrong(format!("{:?}", answer.took)) }
        }
        ["body", name] => {
            let film = stack.film(name)?;
            if answer.body.len() as u64 != film.size {
                return wrong(format!("{} bytes", answer.body.len()));
            }
            film.compare(0, &answer.body)
        }
        ["body", name, first, last] => {
            let (first, last) = (size(first)?, size(last)?);
            if answer.body.len() as u64 != last - first + 1 {
                return wrong(format!("{} bytes", answer.body.len()));
            }
            stack.film(name)?.compare(first, &answer.body)
        }
        ["prefix-of", name, first] => stack.film(name)?.compare(size(first)?, &answer.body),
        ["parts", name, wanted @ ..] => {
            let parts = parts(stack, answer, name)?;
            if parts.len() > 1 && (wanted.is_empty() || parts == wanted) { Ok(()) } else { wrong(format!("{parts:?}")) }
        }
        ["broken"] if answer.broken.is_some() => Ok(()),
        ["broken"] => wrong("a whole body".into()),
        _ => Err("no such expectation".into()),
    }
}

fn text(answer: &Answer) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&answer.body)
}

/// `json POINTER VALUE`, or `json POINTER ~ PART` of a text.
fn expect_json(answer: &Answer, pointer: &str, wanted: &[&str]) -> Result<(), Failure> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let found = body.pointer(pointer).unwrap_or_default();
    let held = match (wanted, found) {
        (["~", part], serde_json::Value::String(text)) => text.contains(part),
        ([value], serde_json::Value::String(text)) => text == value,
        ([value], other) => serde_json::from_str::<serde_json::Value>(value).is_ok_and(|value| value == *other),
        _ => false,
    };
    if held { Ok(()) } else { Err(format!("got {found} in {}", text(answer)).into()) }
}

/// Takes a `multipart/byteranges` body apart and compares each part with the film. Gives the parts' ranges, as `0-9`.
fn parts(stack: &Stack, answer: &Answer, name: &str) -> Result<Vec<String>, Failure> {
    let film = stack.film(name)?;
    let kind = answer.header("content-type").unwrap_or_default();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").ok_or_else(|| format!("type is {kind}"))?;
    let mut rest = answer.body.as_slice();
    let mut parts = Vec::new();
    loop {
        let head_end = find(rest, b"\r\n\r\n");
        let head = String::from_utf8_lossy(rest.get(..head_end.unwrap_or(rest.len())).unwrap_or_default()).into_owned();
        if head.trim_start().starts_with(&format!("--{boundary}--")) {
            return Ok(parts);
        }
        if !head.trim_start().starts_with(&format!("--{boundary}")) {
            return Err(format!("no boundary where one should be: {head:?}").into());
        }
        let range = head.lines().find_map(|l| l.strip_prefix("Content-Range: bytes ")).ok_or("a part without range")?;
        let (range, whole) = range.split_once('/').ok_or("a part without size")?;
        let (first, last) = range.split_once('-').ok_or("a part without end")?;
        let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
        if whole.parse::<u64>()? != film.size {
            return Err(format!("a part says the size is {whole}").into());
        }
        let begin = head_end.ok_or("a part without body")? + 4;
        let end = begin + usize::try_from(last - first + 1)?;
        film.compare(first, rest.get(begin..end).ok_or("a part is cut short")?)?;
        rest = rest.get(end..).unwrap_or_default();
        parts.push(format!("{first}-{last}"));
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

pub(super) fn expect_raw(answer: &[u8], step: &Line) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(answer);
    for line in &step.below {
        let held = match line.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["status", status] => text.split(' ').nth(1) == Some(status),
            ["closed"] => true,
            ["contains", part] => text.contains(part),
            ["lacks", part] => !text.contains(part),
            _ => return Err(format!("line {}: no such expectation of a raw answer", line.number).into()),
        };
        if !held {
            return Err(format!("line {}: {}: got {text:?}", line.number, line.text).into());
        }
    }
    Ok(())
}

/// `exit N` (0 if nothing is said), `prints ~ PART`, `prints TEXT`, `lacks PART`, `says ~ PART` of standard error.
pub(super) fn expect_command(printed: &Printed, step: &Line) -> Result<(), Failure> {
    let mut exit = "0".to_owned();
    for line in &step.below {
        let held = match line.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["exit", status] => {
                exit = (*status).to_owned();
                true
            }
            ["prints", text] => printed.out == *text,
            ["prints", "~", part] => printed.out.contains(part),
            ["lacks", part] => !printed.out.contains(part),
            ["says", "~", part] => printed.err.contains(part),
            _ => return Err(format!("line {}: no such expectation of a command", line.number).into()),
        };
        if !held {
            return Err(format!("line {}: {}: got {printed:?}", line.number, line.text).into());
        }
    }
    if printed.exit.is_some_and(|status| status.to_string() == exit) {
        Ok(())
    } else {
        Err(format!("got {printed:?}").into())
    }
}

/// `==`, `>=` or `<=`.
pub(super) fn compare(left: f64, operator: &str, right: f64) -> Result<(), Failure> {
    let holds = match operator {
        "==" => left == right,
        ">=" => left >= right,
        "<=" => left <= right,
        _ => return Err("expected ==, >= or <=".into()),
    };
    if holds { Ok(()) } else { Err(format!("got {left}").into()) }
}

/// `prints TEXT`, `prints ~ PART`, `prints OP NUMBER`.
pub(super) fn expect_printed(printed: &str, step: &Line) -> Result<(), Failure> {
    for line in &step.below {
        let held = match line.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["prints", text] => printed == *text,
            ["prints", "~", part] => printed.contains(part),
            ["prints", operator, number] => {
                let printed = printed.parse().map_err(|_| format!("no number: {printed:?}"))?;
                compare(printed, operator, number.parse()?).is_ok()
            }
            _ => return Err(format!("line {}: no such expectation of what is printed", line.number).into()),
        };
        if !held {
            return Err(format!("line {}: {}: got {printed:?}", line.number, line.text).into());
        }
    }
    Ok(())
}
