//! The table as an OpenAPI 3.1 document.

use crate::operation::Operation;
use crate::path;
use crate::problem::Sent;
use crate::tokens::Role;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Named schemas stand here, as OpenAPI has it.
const SCHEMAS: &str = "/components/schemas";

pub(crate) fn document<S>(title: &str, version: &str, operations: &[Operation<S>]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Sent<'_>>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            let method = operation.method.as_str().to_ascii_lowercase();
            item.insert(method, describe(operation, &mut generator, &problem));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "version": version },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "token": [] }],
    })
}

fn describe<S>(operation: &Operation<S>, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let mut responses = Map::new();
    let answer = (operation.answer)(generator).to_value();
    let good = json!({ "description": "done", "content": { "application/json": { "schema": answer } } });
    responses.insert(operation.status.as_u16().to_string(), good);
    for status in &operation.problems {
        let words = status.canonical_reason().unwrap_or_default().to_lowercase();
        let bad = json!({ "description": words, "content": { "application/problem+json": { "schema": problem } } });
        responses.insert(status.as_u16().to_string(), bad);
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.path.split('/').nth(2).unwrap_or_default()],
        "x-role": match operation.role { Role::Read => "read", Role::Write => "write" },
        "responses": responses,
    });
    let Some(all) = described.as_object_mut() else { return described };
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        all.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(body) = operation.body {
        let schema = body(generator).to_value();
        let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        all.insert("requestBody".to_owned(), body);
    }
    described
}

fn parameters<S>(operation: &Operation<S>) -> Vec<Value> {
    let in_path = |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } });
    let mut parameters: Vec<Value> = path::names(operation.path).map(in_path).collect();
    let Some(schema) = &operation.query else { return parameters };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let mut schema = schema.clone();
        let described = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        // What is left out of a query is left out: there is no null to send.
        if let Some(kind) = schema.get_mut("type")
            && let Some(first) = kind.as_array().and_then(|kinds| kinds.first().cloned())
        {
            *kind = first;
        }
        parameters.push(json!({
            "name": name,
            "in": "query",
            "required": required.contains(&name.as_str()),
            "description": described,
            "schema": schema,
        }));
    }
    parameters
}
