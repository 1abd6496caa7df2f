use serde::{Deserialize, Serialize};

/// What is shown to who asks for a name of a web application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificateRow {
    pub name: String,
    /// `app.site`.
    pub application: String,
    pub source: CertificateSource,
    /// Unix seconds; absent: it is made when somebody asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Unix seconds: when the CA is asked for the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Why the CA has issued none, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// Files that the relay's configuration names.
    Files,
    /// A CA, by ACME.
    Acme,
    /// The relay's own CA.
    Relay,
}

impl CertificateSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Acme => "acme",
            Self::Relay => "relay",
        }
    }
}
