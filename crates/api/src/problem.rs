use serde::{Deserialize, Serialize};

/// A failure as the API tells it (`application/problem+json`, RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Problem {
    pub title: String,
    pub status: u16,
    /// The stable code, as `docs/errors.md` lists it.
    pub code: String,
    /// One sentence for the person who asked.
    pub detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Under this id the relay logged it; also in the header `X-Request-Id`.
    pub request_id: String,
    /// Every mistake in what was sent, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

/// One mistake of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fault {
    /// `application web1.hq`, `grant alice → web1.hq`.
    pub object: String,
    pub code: String,
    pub detail: String,
}
