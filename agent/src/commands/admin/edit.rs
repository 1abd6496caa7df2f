//! Showing one object, and changing it as it was shown.

use api::{Applied, Document};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::changed;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Reads an object, changes it, and writes it unless it was changed meanwhile.
pub(super) async fn edit<T: Serialize + DeserializeOwned>(
    context: &Context,
    path: &str,
    change: impl FnOnce(&mut T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut object, tag) = context.look_at(path).await?;
    change(&mut object)?;
    let applied: Applied = context.put(path, &object, tag.as_deref()).await?;
    if applied.changes.is_empty() && !context.ui.wants_json() {
        context.ui.say("It is like that already.");
    }
    changed(context, &applied)
}

/// Prints an object as a file for `apply` writes it.
pub(super) async fn show<T: Serialize + DeserializeOwned>(
    context: &Context,
    path: &str,
    document: impl FnOnce(T) -> Document,
) -> Result<(), Failure> {
    let object: T = context.get(path).await?;
    if context.ui.wants_json() {
        return context.ui.json(&object);
    }
    context.ui.data(as_file(&document(object))?.trim_end())
}

pub(super) fn as_file(document: &Document) -> Result<String, Failure> {
    toml::to_string_pretty(document)
        .map_err(|error| Failure::new(Exit::Failed, format!("no TOML could be made: {error}")))
}

/// The value of an option that turns something on or off.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

/// Puts a list that was given, or one that was cleared, in the place of what is there.
pub(super) fn replace<T>(list: &mut Option<Vec<T>>, given: Vec<T>, clear: bool) {
    if clear || !given.is_empty() {
        *list = Some(given);
    }
}
