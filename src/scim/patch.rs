//! Changes of a resource (RFC 7644, 3.5.2), as directories write them.

use serde::Deserialize;
use serde_json::Value;

use super::answer::Failure;

/// The body of a PATCH.
#[derive(Debug, Deserialize)]
pub(super) struct Patch {
    #[serde(rename = "Operations")]
    operations: Vec<Operation>,
}

#[derive(Debug, Deserialize)]
struct Operation {
    op: String,
    path: Option<String>,
    #[serde(default)]
    value: Value,
}

/// One change of one attribute.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    pub(super) verb: Verb,
    /// In lower case.
    pub(super) attribute: String,
    /// The one that `members[value eq "…"]` names.
    pub(super) which: Option<String>,
    pub(super) value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Remove,
    Replace,
}

impl Patch {
    /// What is to be done, in order; an operation without a path is one for each of its members.
    pub(super) fn steps(self) -> Result<Vec<Step>, Failure> {
        if self.operations.len() > MOST {
            return Err(Failure::invalid(format!("{MOST} operations at most")));
        }
        let mut steps = Vec::new();
        for Operation { op, path, value } in self.operations {
            let verb = match op.to_ascii_lowercase().as_str() {
                "add" => Verb::Add,
                "remove" => Verb::Remove,
                "replace" => Verb::Replace,
                _ => return Err(Failure::invalid(format!("there is no operation {op:?}"))),
            };
            match (path, value) {
                (Some(path), value) => {
                    let (attribute, which) = place(&path);
                    steps.push(Step { verb, attribute, which, value });
                }
                (None, Value::Object(all)) => steps.extend(all.into_iter().map(|(key, value)| {
                    Step { verb, attribute: key.to_ascii_lowercase(), which: None, value }
                })),
                (None, _) => {
                    return Err(Failure::invalid("an operation without a path has no value"));
                }
            }
        }
        Ok(steps)
    }
}

fn place(path: &str) -> (String, Option<String>) {
    let Some((attribute, rest)) = path.split_once('[') else {
        return (path.trim().to_ascii_lowercase(), None);
    };
    let which = rest.split('"').nth(1).map(str::to_owned);
    (attribute.trim().to_ascii_lowercase(), which)
}

/// A flag; some directories write it as a text.
pub(super) fn flag(value: &Value) -> Result<bool, Failure> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Failure::invalid("active: true or false")),
    }
}

const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_read_as_okta_and_entra_write_them() {
        let steps = |operations: Value| {
            let patch: Patch = serde_json::from_value(json!({ "Operations": operations })).unwrap();
            patch.steps().unwrap()
        };
        let okta = steps(json!([{ "op": "replace", "value": { "active": false } }]));
        let entra = steps(json!([{ "op": "Replace", "path": "active", "value": "False" }]));
        for all in [okta, entra] {
            assert_eq!((all[0].verb, all[0].attribute.as_str()), (Verb::Replace, "active"));
            assert!(!flag(&all[0].value).unwrap());
        }
        let left = steps(json!([{ "op": "remove", "path": "members[value eq \"u-1\"]" }]));
        assert_eq!(left[0].which.as_deref(), Some("u-1"));
        assert!(flag(&json!("maybe")).is_err() && flag(&json!(1)).is_err());
    }
}
