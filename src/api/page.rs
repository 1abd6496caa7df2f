//! Lists in pages: one way for all of them.
//!
//! A cursor is the key of the last row that was given, so a page goes on after that row whatever
//! was added or removed meanwhile, the row itself included. It is no secret and no right: it says
//! where to go on, and every page is asked for like the first.

use access::Code;
use api::Page;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use data_encoding::BASE64URL_NOPAD;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::openapi::{Input, Operation, Schemas, problems};

/// What a list is asked for: which rows, and which part of them.
pub(super) struct Listing<F> {
    pub(super) only: F,
    pub(super) part: Part,
}

/// Lists all of whose rows are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct All {}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Part {
    /// At most this many; 100 where absent.
    limit: Option<Limit>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// How many rows a page may have.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub(super) struct Limit(u32);

impl Part {
    pub(super) fn limit(&self) -> u32 {
        self.limit.map_or(USUAL, |limit| limit.0)
    }

    /// One more than asked for, which tells whether there is another page.
    pub(super) fn look_ahead(&self) -> u32 {
        self.limit() + 1
    }

    /// The key to go on after. `list` is the list's name: a cursor of another is none of its own.
    pub(super) fn after<K: DeserializeOwned>(&self, list: &str) -> Result<Option<K>, ApiError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| not_ours())?;
        // No key has one, and no database takes one.
        if bytes.windows(NUL.len()).any(|part| part == NUL) {
            return Err(not_ours());
        }
        let (of, key): (String, K) = serde_json::from_slice(&bytes).map_err(|_| not_ours())?;
        if of == list { Ok(Some(key)) } else { Err(not_ours()) }
    }

    /// The page, of rows that begin where it does and go on beyond its end if there are more.
    pub(super) fn page<T, K: Serialize>(
        &self,
        list: &str,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Page<T> {
        let limit = self.limit() as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| cursor(list, &key(last)));
        Page { items: rows, next }
    }

    /// As [`page`](Self::page), of all rows there are.
    pub(super) fn of_all<T, K>(
        &self,
        list: &str,
        rows: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> K,
    ) -> Result<Page<T>, ApiError>
    where
        K: Serialize + DeserializeOwned + Ord,
    {
        let after: Option<K> = self.after(list)?;
        let rows = rows.into_iter().map(|row| (key(&row), row));
        let mut rows: Vec<_> =
            rows.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let rows = rows.into_iter().map(|(_, row)| row).take(self.look_ahead() as usize);
        Ok(self.page(list, rows.collect(), key))
    }
}

fn cursor(list: &str, key: &impl Serialize) -> String {
    // Keys are names, numbers and ids, which all are JSON.
    BASE64URL_NOPAD.encode(&serde_json::to_vec(&(list, key)).unwrap_or_default())
}

fn not_ours() -> ApiError {
    let detail = "the cursor is none that this list has given";
    ApiError::new(StatusCode::BAD_REQUEST, Code("request.cursor"), detail)
        .hint("ask without one for the first page")
}

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Listing<F> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        // Told apart first: fields of one structure within another would all be texts.
        let (part, only): (Vec<_>, Vec<_>) = query
            .split('&')
            .partition(|pair| matches!(pair.split('=').next(), Some("limit" | "cursor")));
        Ok(Self { only: read(&only)?, part: read(&part)? })
    }
}

fn read<T: DeserializeOwned>(pairs: &[&str]) -> Result<T, ApiError> {
    let uri = Uri::builder().path_and_query(format!("/?{}", pairs.join("&"))).build();
    let uri = uri.map_err(|_| ApiError::invalid("the query is not readable"))?;
    let read = Query::try_from_uri(&uri);
    let Query(value) = read.map_err(|error| ApiError::invalid(error.body_text()))?;
    Ok(value)
}

impl<F: JsonSchema> Input for Listing<F> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        for parameter in schemas.query::<F>().into_iter().chain(schemas.query::<Part>()) {
            operation.parameter(parameter);
        }
        operation.refuses(problems::QUERY);
        operation.refuses(problems::LIST);
    }
}

impl TryFrom<u32> for Limit {
    type Error = String;

    fn try_from(limit: u32) -> Result<Self, String> {
        match limit {
            1..=LONGEST => Ok(Self(limit)),
            _ => Err(format!("limit: 1 to {LONGEST}")),
        }
    }
}

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 1, "maximum": LONGEST })
    }
}

/// As JSON writes it.
const NUL: &[u8] = b"\\u0000";
const USUAL: u32 = 100;
const LONGEST: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_on_after_their_last_row_whatever_was_added_or_removed() {
        let part = |cursor| Part { limit: Some(Limit(2)), cursor };
        let page = |rows: &[u32], cursor| part(cursor).of_all("numbers", rows.to_vec(), |row| *row);
        let first = page(&[50, 10, 30, 20], None).unwrap();
        assert_eq!(first.items, [10, 20]);
        // The row of the cursor is gone, one came before it and one after.
        let second = page(&[5, 10, 25, 30, 50], first.next).unwrap();
        assert_eq!(second.items, [25, 30]);
        let last = page(&[5, 10, 25, 30, 50], second.next).unwrap();
        assert_eq!((last.items, last.next), (vec![50], None));
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        let part = Part { limit: Some(Limit(2)), cursor: None };
        assert_eq!(part.of_all("numbers", [1, 2], |row| *row).unwrap().next, None);
    }

    #[test]
    fn a_cursor_of_another_list_or_key_is_refused() {
        let of = |list: &str| Part { limit: None, cursor: Some(cursor(list, &7)) };
        assert_eq!(of("a").after::<u32>("a").unwrap(), Some(7));
        assert!(of("b").after::<u32>("a").is_err());
        assert!(of("a").after::<String>("a").is_err());
        let nonsense = Part { limit: None, cursor: Some("%%".to_owned()) };
        assert!(nonsense.after::<u32>("a").is_err());
    }
}
