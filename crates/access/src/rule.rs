//! Grant rules: a subject, a target, and the terms of access.

use crate::{ApplicationId, GroupId, RuleId, Terms, UserId};

/// One grant rule. Without a rule there is no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: RuleId,
    pub subject: Subject,
    pub target: Target,
    pub terms: Terms,
}

/// Whom a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    User(UserId),
    Group(GroupId),
}

/// What a rule opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Application(ApplicationId),
    /// Every application that has this tag.
    Tag {
        key: String,
        value: String,
    },
}
