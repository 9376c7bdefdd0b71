//! A query's parameters, as the JSON object that they stand for.

use crate::problem::Problem;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// The parameters of a query, typed as the properties of `schema` are: numbers and flags are told from texts by it, since a query doesn't tell.
///
/// # Errors
/// 400: a parameter that is not known, is there twice, or has another type.
pub(crate) fn read(query: &str, properties: &Map<String, Value>) -> Result<Value, Problem> {
    let mut object = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (text(name)?, text(value)?);
        let Some(schema) = properties.get(&name) else {
            return Err(Problem::bad_request(format!("no parameter is called {name:?} here")));
        };
        let typed = typed(value, schema).ok_or_else(|| Problem::bad_request(format!("{name} has another type")))?;
        if object.insert(name.clone(), typed).is_some() {
            return Err(Problem::bad_request(format!("{name} is there twice")));
        }
    }
    Ok(Value::Object(object))
}

fn text(encoded: &str) -> Result<String, Problem> {
    let plain = encoded.replace('+', " ");
    let text = percent_decode_str(&plain).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| Problem::bad_request("the query is not UTF-8"))
}

fn typed(text: String, schema: &Value) -> Option<Value> {
    let is = |wanted: &str| match schema.get("type") {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(some)) => some.iter().any(|one| one == wanted),
        _ => false,
    };
    if is("integer") {
        text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<i64>().map(Value::from)).ok()
    } else if is("boolean") {
        text.parse::<bool>().map(Value::from).ok()
    } else {
        Some(Value::String(text))
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use serde_json::json;

    #[test]
    fn parameters_have_the_types_of_their_schema() {
        let properties = json!({ "limit": { "type": ["integer", "null"] }, "name": { "type": "string" }, "all": { "type": "boolean" } });
        let properties = properties.as_object().unwrap();
        for (query, wanted) in [
            ("", Ok(json!({}))),
            ("limit=5&name=5&all=true", Ok(json!({ "limit": 5, "name": "5", "all": true }))),
            ("name=a%20b+c%2B", Ok(json!({ "name": "a b c+" }))),
            ("limit=five", Err("limit has another type")),
            ("limit=", Err("limit has another type")),
            ("all=1", Err("all has another type")),
            ("other=1", Err("no parameter is called \"other\" here")),
            ("name=a&name=b", Err("name is there twice")),
            ("name=%ff", Err("the query is not UTF-8")),
        ] {
            let read = read(query, properties);
            assert_eq!(
                read.as_ref().map_err(|problem| problem.detail.as_str()),
                wanted.as_ref().map_err(|text| *text),
                "{query}"
            );
        }
    }
}
