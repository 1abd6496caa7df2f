//! Grant rules, found by whom and what they name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Application, ApplicationId, Rule, Subject, Target, User};

/// Rules by target and subject. Its size is that of the rules, however many applications a tag is
/// on; finding takes a look-up for each group of the user and each tag of the application, however
/// many rules there are for others.
#[derive(Debug, Default)]
pub(crate) struct RuleIndex {
    applications: HashMap<ApplicationId, BySubject>,
    /// By key, then by value.
    tags: HashMap<String, HashMap<String, BySubject>>,
}

type BySubject = HashMap<Subject, Vec<Arc<Rule>>>;

impl RuleIndex {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let mut index = Self::default();
        for rule in rules {
            let subjects = index.subjects(&rule.target);
            subjects.entry(rule.subject).or_default().push(Arc::new(rule));
        }
        index
    }

    /// The rules that name both, whatever their terms are.
    pub(crate) fn naming<'a>(
        &'a self,
        user: &'a User,
        application: &'a Application,
    ) -> impl Iterator<Item = &'a Arc<Rule>> {
        let groups = user.groups.iter().map(|group| Subject::Group(*group));
        let subjects = std::iter::once(Subject::User(user.id)).chain(groups);
        let covering = self.covering(application);
        covering.flat_map(move |rules| subjects.clone().filter_map(|who| rules.get(&who))).flatten()
    }

    fn covering<'a>(&'a self, application: &'a Application) -> impl Iterator<Item = &'a BySubject> {
        let tags = application.tags.iter();
        let tagged = tags.filter_map(|(key, value)| self.tags.get(key)?.get(value));
        self.applications.get(&application.id).into_iter().chain(tagged)
    }

    fn subjects(&mut self, target: &Target) -> &mut BySubject {
        match target {
            Target::Application(id) => self.applications.entry(*id).or_default(),
            Target::Tag { key, value } => {
                self.tags.entry(key.clone()).or_default().entry(value.clone()).or_default()
            }
        }
    }
}
