//! The JSON Schemas of tools: closed on the way in, small on the way out.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The schema of a tool's arguments: unknown fields are refused.
pub(super) fn input<T: JsonSchema>() -> Arc<JsonObject> {
    let mut schema = generate::<T>();
    prune(&mut schema, &["$schema", "title", "format", "default"]);
    without_null(&mut schema);
    let mut schema = object(schema);
    schema.entry("properties").or_insert_with(|| json!({}));
    schema.insert("additionalProperties".into(), false.into());
    Arc::new(schema)
}

/// Writes an optional argument as its plain type: it is left out, not null.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(without_null);
            let only = |list: &mut Vec<Value>, null: &Value| {
                list.retain(|v| v != null);
                if list.len() == 1 { list.pop() } else { None }
            };
            if let Some(Value::Array(types)) = map.get_mut("type")
                && let Some(one) = only(types, &json!("null"))
            {
                map.insert("type".into(), one);
            }
            if let Some(Value::Array(variants)) = map.get_mut("anyOf")
                && let Some(Value::Object(one)) = only(variants, &json!({"type": "null"}))
            {
                map.remove("anyOf");
                map.extend(one);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// The schema of a tool's result, whole: the result's fields, or `error` (contract §3).
pub(super) fn output<T: JsonSchema>() -> Arc<JsonObject> {
    either_error(generate::<T>())
}

/// The same with the fields that are always there alone, and without what is inside them.
///
/// A model reads every schema of `tools/list` in every conversation: the shape that several tools
/// share is told whole by one of them.
pub(super) fn brief_output<T: JsonSchema>() -> Arc<JsonObject> {
    let mut schema = generate::<T>();
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|r| r == name));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.retain(|name, _| is_required(name));
        properties.values_mut().for_each(shorten);
    }
    let mut brief = either_error(schema);
    if let Some(Value::Object(error)) =
        Arc::make_mut(&mut brief).get_mut("properties").and_then(|p| p.get_mut("error"))
    {
        error.remove("properties");
    }
    brief
}

/// Drops what a nested object or array consists of, and which words a text is one of.
fn shorten(schema: &mut Value) {
    if let Value::Object(map) = schema {
        map.retain(|key, _| !matches!(key.as_str(), "properties" | "required" | "enum"));
        map.get_mut("items").into_iter().for_each(shorten);
    }
}

fn either_error(mut schema: Value) -> Arc<JsonObject> {
    prune(&mut schema, &["$schema", "title", "format", "description", "default", "minimum"]);
    let mut schema = object(schema);
    let required = schema.remove("required").unwrap_or_else(|| json!([]));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("error".into(), error());
    }
    schema.insert("anyOf".into(), json!([{ "required": required }, { "required": ["error"] }]));
    Arc::new(schema)
}

fn error() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {"code": text, "message": text, "next": text, "retryable": {"type": "boolean"}},
        "required": ["code", "message", "next", "retryable"]
    })
}

fn generate<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

fn object(schema: Value) -> Map<String, Value> {
    match schema {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Drops keywords that cost bytes and tell a client nothing, but no property of that name.
fn prune(schema: &mut Value, keywords: &[&str]) {
    match schema {
        Value::Object(map) => {
            map.retain(|key, _| !keywords.contains(&key.as_str()));
            plain_names(map);
            for (key, value) in map {
                match value {
                    Value::Object(properties) if key == "properties" => {
                        properties.values_mut().for_each(|v| prune(v, keywords));
                    }
                    other => prune(other, keywords),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| prune(v, keywords)),
        _ => {}
    }
}

/// Writes `oneOf` of constants, as documented enums come, as one `enum`.
fn plain_names(map: &mut Map<String, Value>) {
    let constant = |v: &Value| v.get("const").cloned();
    let Some(Value::Array(variants)) = map.get("oneOf") else { return };
    let Some(names) = variants.iter().map(constant).collect::<Option<Vec<_>>>() else { return };
    map.remove("oneOf");
    map.insert("type".into(), "string".into());
    map.insert("enum".into(), names.into());
}
