//! Texts with a form of their own, as JSON Schema: for the relay's OpenAPI document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{Address, Allowed, HostName, Name, Proofs};

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Letters a-z, digits and single dashes between them.",
            "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
            "minLength": 1,
            "maxLength": Self::MAX,
        })
    }
}

impl JsonSchema for HostName {
    fn schema_name() -> Cow<'static, str> {
        "HostName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Labels of a-z, digits and dashes with dots between; no wildcard, no address.",
            "examples": ["wiki.example.com"],
            "pattern": format!(r"^({LABEL}\.)+({TOP})$"),
            "maxLength": Self::MAX,
        })
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Host and port of a target, as the connectors of its site resolve it.",
            "examples": ["db1.corp:5432", "[fd00::1]:22"],
            "pattern": format!(r"^([A-Za-z0-9._-]{{1,253}}|\[({IPV6})\]):({PORT})$"),
        })
    }
}

impl JsonSchema for Allowed {
    fn schema_name() -> Cow<'static, str> {
        "Allowed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Everything, nothing, or what is listed.",
            "oneOf": [
                { "type": "string", "enum": ["all", "none"] },
                { "type": "array", "items": { "type": "string" }, "uniqueItems": true },
            ],
        })
    }
}

impl JsonSchema for Proofs {
    fn schema_name() -> Cow<'static, str> {
        "Proofs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Proofs in the order in which they are asked for, each once; agent and browser stand alone.",
            "examples": ["publickey,token", "certificate"],
            "pattern": format!("^(agent|browser|{PROOF}(,{PROOF}){{0,2}})$"),
        })
    }
}

const PROOF: &str = "(publickey|certificate|token)";

const LABEL: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";

/// A label with something in it that is no digit.
const TOP: &str = "[0-9]{0,62}[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[0-9]{1,61}-[a-z0-9-]{0,61}[a-z0-9]";

const PORT: &str =
    "6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}";

/// RFC 4291 section 2.2, forms 1 and 2.
const IPV6: &str = "([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:\
    |([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}\
    |([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}\
    |([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:(:[0-9a-fA-F]{1,4}){1,6}\
    |:((:[0-9a-fA-F]{1,4}){1,7}|:)";
