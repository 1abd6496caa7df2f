//! Which resources a list is of.

use serde::Deserialize;

use super::MOST_LISTED;
use super::answer::Failure;
use axum::http::StatusCode;

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Query {
    filter: Option<String>,
    start_index: Option<usize>,
    count: Option<usize>,
}

/// `attribute eq "value"`: the filter that directories look with before they make something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// In lower case.
    pub(super) attribute: String,
    pub(super) value: String,
}

impl Query {
    pub(super) fn filter(&self) -> Result<Option<Filter>, Failure> {
        self.filter.as_deref().map(parse).transpose()
    }

    pub(super) fn part(&self) -> (usize, usize) {
        (self.start_index.unwrap_or(1), self.count.unwrap_or(MOST_LISTED).min(MOST_LISTED))
    }
}

impl Filter {
    /// Whether a resource with these fits; names are compared without regard to case.
    pub(super) fn fits(&self, id: &str, name: &str, external: Option<&str>) -> bool {
        match self.attribute.as_str() {
            "id" => self.value == id,
            "externalid" => external == Some(self.value.as_str()),
            _ => self.value.to_lowercase() == name.to_lowercase(),
        }
    }
}

fn parse(text: &str) -> Result<Filter, Failure> {
    let unknown = || {
        let words = "a filter is `userName eq \"…\"`, `displayName`, `externalId` or `id`";
        Failure::new(StatusCode::BAD_REQUEST, Some("invalidFilter"), words)
    };
    let mut words = text.trim().splitn(3, ' ');
    let attribute = words.next().unwrap_or_default().to_ascii_lowercase();
    let known = ["username", "displayname", "externalid", "id"].contains(&attribute.as_str());
    let equals = words.next().is_some_and(|word| word.eq_ignore_ascii_case("eq"));
    let value = words.next().map(str::trim).unwrap_or_default();
    let value: String = serde_json::from_str(value).map_err(|_| unknown())?;
    if !known || !equals {
        return Err(unknown());
    }
    Ok(Filter { attribute, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_one_comparison_with_a_text() {
        let read = |text: &str| parse(text).ok();
        let filter = read("userName Eq \"a \\\"b\\\"@x\"").unwrap();
        assert_eq!((filter.attribute.as_str(), filter.value.as_str()), ("username", "a \"b\"@x"));
        assert!(filter.fits("1", "A \"B\"@X", None) && !filter.fits("1", "a", None));
        assert!(read("externalId eq \"7\"").unwrap().fits("1", "a", Some("7")));
        let others = [
            "",
            "userName",
            "userName eq",
            "userName eq a",
            "userName co \"a\"",
            "password eq \"a\"",
            "userName eq \"a\" or id eq \"b\"",
        ];
        for other in others {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
