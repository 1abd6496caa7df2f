//! `adit admin export`

use api::Document;

use crate::context::Context;
use crate::exit::{Exit, Failure};

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let document: Document = context.get("/api/v1/export").await?;
    if context.ui.wants_json() {
        return context.ui.json(&document);
    }
    let text = toml::to_string_pretty(&document)
        .map_err(|error| Failure::new(Exit::Failed, format!("no TOML could be made: {error}")))?;
    context.ui.data(text.trim_end())
}
