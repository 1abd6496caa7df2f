//! How long and how often an access token is good, by the kind of its application.

use access::Code;
use api::Span;
use axum::http::StatusCode;
use store::TokenRules;

use crate::api::error::ApiError;

/// Who asks for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A user, for themselves: the door's rules bind them.
    Owner,
    /// An admin, up to [`CEILING`].
    Admin,
}

/// How long a token is good where that was asked for.
pub(super) fn life(
    rules: TokenRules,
    asked: Option<Span>,
    by: By,
) -> Result<Option<Span>, ApiError> {
    let usual = u64::from(rules.hours) * 3600;
    let most = match by {
        By::Owner => usual,
        By::Admin => CEILING,
    };
    match asked {
        None => Ok(Span::from_seconds(usual)),
        Some(span) if span.seconds() > most => Err(too_long(most / 3600, by)),
        Some(span) => Ok(Some(span)),
    }
}

/// How often it may be used; `None`: until it expires, which 0 asks for.
pub(super) fn uses(rules: TokenRules, asked: Option<u32>, by: By) -> Result<Option<u32>, ApiError> {
    match (asked, by) {
        (None, _) => Ok((!rules.reusable).then_some(1)),
        (Some(1), _) => Ok(Some(1)),
        (Some(_), By::Owner) if !rules.reusable => Err(single_use()),
        (Some(0), _) => Ok(None),
        (Some(uses), _) => Ok(Some(uses)),
    }
}

fn too_long(hours: u64, by: By) -> ApiError {
    let detail = format!("a token for this application is good for {hours} hours at most");
    let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("token.too_long"), detail);
    match by {
        By::Owner => error.hint("ask for less, or an administrator for a longer one"),
        By::Admin => error.hint("for a program that needs one for longer, issue kind `api`"),
    }
}

fn single_use() -> ApiError {
    let detail = "tokens for this application are good for one use";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("token.single_use"), detail)
        .hint("issue one for each use, or ask an administrator for one of several")
}

/// The longest life of an access token, whoever issues it.
const CEILING: u64 = 30 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_stays_within_the_doors_rules_and_an_admin_within_the_ceiling() {
        let hours = |hours: u64| Span::from_seconds(hours * 3600);
        let rules = TokenRules { hours: 12, reusable: false };
        assert_eq!(life(rules, None, By::Owner).unwrap(), hours(12));
        assert_eq!(life(rules, hours(12), By::Owner).unwrap(), hours(12));
        assert!(life(rules, hours(13), By::Owner).is_err());
        assert_eq!(life(rules, hours(13), By::Admin).unwrap(), hours(13));
        assert!(life(rules, hours(24 * 31), By::Admin).is_err());
        assert_eq!(uses(rules, None, By::Owner).unwrap(), Some(1));
        assert!(
            uses(rules, Some(2), By::Owner).is_err() && uses(rules, Some(0), By::Owner).is_err()
        );
        assert_eq!(uses(rules, Some(0), By::Admin).unwrap(), None);
        let reusable = TokenRules { reusable: true, ..rules };
        assert_eq!(uses(reusable, None, By::Owner).unwrap(), None);
        assert_eq!(uses(reusable, Some(7), By::Owner).unwrap(), Some(7));
    }
}
