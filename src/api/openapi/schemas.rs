//! JSON Schemas of what the API takes and of what it gives.
//!
//! The same type may be told in two ways: what may be left out when it is taken may always be there
//! when it is given. Where they differ, the taken one is called `…Input`.

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// The schemas collected so far.
pub(in crate::api) struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = |path: &str| {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = path.to_owned().into();
                settings.meta_schema = None;
            })
        };
        Self {
            taken: settings(TAKEN).for_deserialize().into_generator(),
            given: settings(GIVEN).for_serialize().into_generator(),
        }
    }

    /// The schema of what is sent to the relay.
    pub(in crate::api) fn taken<T: JsonSchema>(&mut self) -> Value {
        self.taken.subschema_for::<T>().to_value()
    }

    /// The schema of what the relay answers.
    pub(in crate::api) fn given<T: JsonSchema>(&mut self) -> Value {
        self.given.subschema_for::<T>().to_value()
    }

    /// The fields of `T`, each as a parameter of the query.
    pub(in crate::api) fn query<T: JsonSchema>(&mut self) -> Vec<Value> {
        let schema = T::json_schema(&mut self.taken).to_value();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(fields) = schema["properties"].as_object() else { return Vec::new() };
        fields.iter().map(|(name, field)| parameter(name, field, &required)).collect()
    }

    /// Names each schema in `document` and puts them all under its `components`.
    pub(super) fn finish(mut self, mut document: Value) -> Value {
        let taken = self.taken.take_definitions(true);
        let given = self.given.take_definitions(true);
        let apart = apart(&taken, &given);
        let name = |side: &str, name: &str| match side == TAKEN && apart.contains(name) {
            true => format!("{name}Input"),
            false => name.to_owned(),
        };
        let mut all = BTreeMap::new();
        for (side, schemas) in [(GIVEN, given), (TAKEN, taken)] {
            for (of, schema) in schemas {
                all.entry(name(side, &of)).or_insert(schema);
            }
        }
        document["components"]["schemas"] = all.into_iter().collect::<Map<_, _>>().into();
        rewrite(&mut document, &|text| {
            let side = [TAKEN, GIVEN].into_iter().find_map(|side| {
                let rest = text.strip_prefix('#')?.strip_prefix(side)?.strip_prefix('/')?;
                Some(name(side, rest))
            });
            side.map(|name| format!("#/components/schemas/{name}"))
        });
        bound(&mut document);
        document
    }
}

/// A field that is absent in a query is not there; it is never `null`.
fn parameter(name: &str, field: &Value, required: &[Value]) -> Value {
    let mut schema = field.clone();
    let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    // By index a `type` that is not there would come to be, and be null.
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            schema["type"] = one.clone();
        }
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let left: Vec<_> = choices.iter().filter(|choice| choice["type"] != "null").collect();
        if let [one] = left.as_slice() {
            schema = (*one).clone();
        }
    }
    let mut parameter = serde_json::json!({ "name": name, "in": "query", "schema": schema });
    if let Some(about) = about {
        parameter["description"] = about;
    }
    if required.iter().any(|required| required == name) {
        parameter["required"] = true.into();
    }
    parameter
}

/// The names whose schemas differ between the two sides, or stand on one that does.
fn apart(taken: &Map<String, Value>, given: &Map<String, Value>) -> BTreeSet<String> {
    let plain = |schema: &Value| schema.to_string().replace(TAKEN, GIVEN);
    let both = || taken.iter().filter_map(|(name, schema)| Some((name, schema, given.get(name)?)));
    let differ = both().filter(|(_, taken, given)| plain(taken) != plain(given));
    let mut apart: BTreeSet<String> = differ.map(|(name, ..)| name.clone()).collect();
    loop {
        let stands_on = |schema: &Value| {
            let text = schema.to_string();
            apart.iter().any(|name| text.contains(&format!("\"#{TAKEN}/{name}\"")))
        };
        let more = both().filter(|(name, taken, _)| !apart.contains(*name) && stands_on(taken));
        let more: Vec<String> = more.map(|(name, ..)| name.clone()).collect();
        if more.is_empty() {
            return apart;
        }
        apart.extend(more);
    }
}

fn rewrite(value: &mut Value, name: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(named) = name(text) {
                *text = named;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, name)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rewrite(field, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Says how large a number may be, where its format alone does.
fn bound(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(bound),
        Value::Object(fields) => {
            let most: Option<u64> = match fields.get("format").and_then(Value::as_str) {
                Some("uint32") => Some(u32::MAX.into()),
                Some("uint64" | "uint") => Some(u64::MAX),
                Some(_) | None => None,
            };
            if let Some(most) = most {
                fields.entry("maximum").or_insert(most.into());
            }
            fields.values_mut().for_each(bound);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const TAKEN: &str = "/components/taken";
const GIVEN: &str = "/components/given";
