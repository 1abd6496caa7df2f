//! The one text of an event.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

/// An event that has no text of its own.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("the event is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("the event holds a number that is no whole number")]
    Fraction,
}

/// The event as JSON in one form: keys sorted, no blanks, everything outside of printable ASCII as
/// `\u….`. Python writes the same with `json.dumps(event, sort_keys=True, separators=(",", ":"))`.
///
/// Being printable ASCII, it can be shown and sent anywhere as it is.
pub fn canonical(event: &impl Serialize) -> Result<String, EventError> {
    let mut out = String::with_capacity(256);
    value(&serde_json::to_value(event)?, &mut out)?;
    Ok(out)
}

fn value(value: &Value, out: &mut String) -> Result<(), EventError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        // Other languages write other digits for the same fraction.
        Value::Number(number) if number.is_f64() => return Err(EventError::Fraction),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(string) => text(string, out),
        Value::Array(items) => list(items, out)?,
        Value::Object(fields) => object(fields, out)?,
    }
    Ok(())
}

fn list(items: &[Value], out: &mut String) -> Result<(), EventError> {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        value(item, out)?;
    }
    out.push(']');
    Ok(())
}

fn object(fields: &serde_json::Map<String, Value>, out: &mut String) -> Result<(), EventError> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    out.push('{');
    for (index, (key, field)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        text(key, out);
        out.push(':');
        value(field, out)?;
    }
    out.push('}');
    Ok(())
}

fn text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            other => escape(other, out),
        }
    }
    out.push('"');
}

fn escape(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a String does not fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_one_text() {
        let event = json!({"b": [1, null, true], "a": "ü\u{202e}\x7f\x1b\"\\\n\u{1f600}", "": {}});
        let text = canonical(&event).unwrap();
        let expected =
            r#"{"":{},"a":"\u00fc\u202e\u007f\u001b\"\\\n\ud83d\ude00","b":[1,null,true]}"#;
        assert_eq!(text, expected);
        let again: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(again, event);
        assert!(matches!(canonical(&json!({"a": 0.5})), Err(EventError::Fraction)));
    }

    proptest! {
        #[test]
        fn any_text_is_printable_ascii_and_reads_back(text in any::<String>()) {
            let written = canonical(&text).unwrap();
            prop_assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
