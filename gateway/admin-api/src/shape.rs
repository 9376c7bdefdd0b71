//! Objects and lists, told apart. serde takes a list for an object's values in their order, which no description says.

use crate::problem::Problem;
use serde_json::Value;

/// Judges a value by a schema without references, as far as lists and objects go.
///
/// # Errors
/// 400: a list where there is none, with its key.
pub(crate) fn check(value: &Value, schema: &Value) -> Result<(), Problem> {
    match misplaced("", value, schema) {
        None => Ok(()),
        Some(key) if key.is_empty() => Err(Problem::bad_request("the body must not be a list")),
        Some(key) => Err(Problem::bad_request(format!("{key} must not be a list"))),
    }
}

fn misplaced(key: &str, value: &Value, schema: &Value) -> Option<String> {
    let alternatives = alternatives(schema);
    match value {
        Value::Array(entries) => {
            let Some(items) = alternatives.iter().find_map(|one| one.get("items")) else {
                let is_list = |one: &&Value| one.get("type").is_none_or(|kind| names(kind, "array"));
                return (!alternatives.iter().any(is_list)).then(|| key.to_owned());
            };
            let inside = |(at, entry): (usize, &Value)| misplaced(&format!("{key}[{at}]"), entry, items);
            entries.iter().enumerate().find_map(inside)
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let known = alternatives.iter().find_map(|one| one.get("properties")?.get(name))?;
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            misplaced(&key, member, known)
        }),
        _ => None,
    }
}

fn alternatives(schema: &Value) -> Vec<&Value> {
    match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        Some(some) => some.iter().flat_map(alternatives).collect(),
        None => vec![schema],
    }
}

fn names(kind: &Value, wanted: &str) -> bool {
    kind == wanted || kind.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == wanted))
}

#[cfg(test)]
mod tests {
    use super::check;
    use serde_json::json;

    #[test]
    fn lists_stand_where_lists_belong() {
        let schema = json!({ "type": "object", "properties": {
            "names": { "type": ["array", "null"], "items": { "type": "string" } },
            "bounds": { "anyOf": [{ "type": "object", "properties": { "most": { "type": "integer" } } }, { "type": "null" }] },
            "parts": { "type": "array", "items": { "type": "object", "properties": {} } },
            "any": {},
        } });
        for (value, wrong) in [
            (json!({}), None),
            (json!({ "names": ["a"], "bounds": { "most": 1 }, "parts": [{}], "any": [1] }), None),
            (json!({ "names": null, "bounds": null }), None),
            (json!([]), Some("the body must not be a list")),
            (json!({ "bounds": [1] }), Some("bounds must not be a list")),
            (json!({ "bounds": { "most": [1] } }), Some("bounds.most must not be a list")),
            (json!({ "parts": [{}, []] }), Some("parts[1] must not be a list")),
        ] {
            assert_eq!(check(&value, &schema).err().map(|problem| problem.detail).as_deref(), wrong, "{value}");
        }
    }
}
