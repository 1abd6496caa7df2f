//! `adit admin export`

use api::Document;

use super::edit::as_file;
use crate::context::Context;
use crate::exit::Failure;

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let (document, tag): (Document, _) = context.look_at("/api/v1/export").await?;
    if context.ui.wants_json() {
        return context.ui.json(&document);
    }
    context.ui.data(as_file(&document)?.trim_end())?;
    if let Some(tag) = tag {
        let tag = tag.trim_matches('"').to_owned();
        context.ui.say(format_args!("To apply it to nothing newer: apply --if-match {tag}"));
    }
    Ok(())
}
