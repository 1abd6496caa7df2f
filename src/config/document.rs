//! Reads values out of a TOML document and keeps every mistake with its place.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::rc::Rc;

use access::Name;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistake;

/// A table that is being read. What is not asked for is a mistake too.
///
/// The readers give `None` for a value with a mistake and `Some(None)` for an absent one.
pub(super) struct Section<'a> {
    text: &'a str,
    /// `listen`, `audit.destination`; absent: the document itself.
    name: Option<String>,
    /// Where it begins.
    at: usize,
    table: Option<&'a DeTable<'a>>,
    known: BTreeSet<&'static str>,
    mistakes: Rc<RefCell<Vec<Mistake>>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(text: &'a str, table: &'a DeTable<'a>) -> Self {
        Self {
            text,
            name: None,
            at: 0,
            table: Some(table),
            known: BTreeSet::new(),
            mistakes: Rc::default(),
        }
    }

    /// A text that `read` accepts.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(value) = self.take(key) else { return Some(None) };
        self.read_text(key, value, expected, read).map(Some)
    }

    /// As [`text`](Self::text), for what may hold a password: a mistake does not show it.
    pub(super) fn secret<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Option<T>> {
        self.secret_or(key, |text| read(text).ok_or_else(|| format!("expected {expected}")))
    }

    /// As [`secret`](Self::secret), where `read` says what is wrong, without what it read.
    pub(super) fn secret_or<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let Some(value) = self.take(key) else { return Some(None) };
        let text = value.get_ref().as_str();
        let read = text.map_or_else(|| Err("expected a text".to_owned()), read);
        match read {
            Ok(read) => Some(Some(read)),
            Err(wrong) => {
                let text = format!("`{}`: {wrong} (not shown)", self.path(key));
                let mistake = Mistake::at(self.text, value.span().start, &text);
                self.mistakes.borrow_mut().push(mistake);
                None
            }
        }
    }

    /// A list of texts that `read` accepts.
    pub(super) fn texts<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Option<Vec<T>>> {
        let Some(value) = self.take(key) else { return Some(None) };
        let Some(items) = value.get_ref().as_array() else {
            self.mistake(value.span().start, key, "a list, each item being", expected, value);
            return None;
        };
        let read: Vec<_> =
            items.iter().map(|item| self.read_text(key, item, expected, &read)).collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Some)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<Option<bool>> {
        let Some(value) = self.take(key) else { return Some(None) };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.mistake(value.span().start, key, "", "true or false", value);
        }
        flag.map(Some)
    }

    /// A whole number within `range`.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<Option<usize>> {
        let Some(value) = self.take(key) else { return Some(None) };
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| usize::from_str_radix(n.as_str(), n.radix()).ok());
        let fits = number.filter(|number| range.contains(number));
        if fits.is_none() {
            let expected = format!("{} to {}", range.start(), range.end());
            self.mistake(value.span().start, key, "a whole number from", &expected, value);
        }
        fits.map(Some)
    }

    /// A table that `resolve` reads; an absent one reads as an empty one.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        resolve: impl Fn(&mut Section<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            self.mistake(value.span().start, key, "a table", &format!("[{key}]"), value);
            return None;
        }
        let at = value.map_or(self.at, |value| value.span().start);
        let mut section = self.inner(key, at, table);
        let resolved = resolve(&mut section);
        section.refuse_the_rest();
        resolved
    }

    /// A list of tables that `resolve` reads, each with where it begins. At most `most`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        most: usize,
        resolve: impl Fn(&mut Section<'a>) -> Option<T>,
    ) -> Option<Vec<(usize, T)>> {
        let Some(value) = self.take(key) else { return Some(Vec::new()) };
        let items = value.get_ref().as_array().filter(|items| items.len() <= most);
        let tables: Option<Vec<_>> = items.and_then(|items| {
            items.iter().map(|item| Some((item.span().start, item.get_ref().as_table()?))).collect()
        });
        let Some(tables) = tables else {
            let expected = format!("[[{}]], {most} at most", self.path(key));
            self.mistake(value.span().start, key, "tables", &expected, value);
            return None;
        };
        let each = tables.into_iter().map(|(at, table)| {
            let mut section = self.inner(key, at, Some(table));
            let resolved = resolve(&mut section);
            section.refuse_the_rest();
            Some((at, resolved?))
        });
        // All of them are read, so that every mistake is told.
        each.collect::<Vec<_>>().into_iter().collect()
    }

    /// As [`Self::tables`], of things that are told apart by their names.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        most: usize,
        resolve: impl Fn(&mut Section<'a>) -> Option<T>,
        name: impl Fn(&T) -> &Name,
    ) -> Option<Vec<T>> {
        let all = self.tables(key, most, resolve)?;
        let mut names = BTreeSet::new();
        for (at, one) in &all {
            if !names.insert(name(one)) {
                self.twice(*at, &format!("{key}.name"), name(one).as_str());
            }
        }
        Some(all.into_iter().map(|(_, one)| one).collect())
    }

    /// Says that a value which only one table may have stands in another too.
    fn twice(&self, at: usize, key: &str, value: &str) {
        let text = format!("`{}`: {value:?} is taken by another", self.path(key));
        self.mistakes.borrow_mut().push(Mistake::at(self.text, at, &text));
    }

    /// Takes whatever else stands here: what may depends on a value with a mistake.
    pub(super) fn accept_the_rest(&mut self) {
        self.table = None;
    }

    fn inner(&self, key: &str, at: usize, table: Option<&'a DeTable<'a>>) -> Section<'a> {
        Section {
            text: self.text,
            name: Some(self.path(key)),
            at,
            table,
            known: BTreeSet::new(),
            mistakes: self.mistakes.clone(),
        }
    }

    /// Whether it stands in the document.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// A key that has to be `true`.
    pub(super) fn agreement(&mut self, key: &'static str, expected: &str) -> Option<()> {
        let value = self.take(key);
        let agreed = value.and_then(|value| value.get_ref().as_bool()) == Some(true);
        if !agreed {
            let at = value.map_or(self.at, |value| value.span().start);
            let text = format!("`{}`: expected {expected}", self.path(key));
            self.mistakes.borrow_mut().push(Mistake::at(self.text, at, &text));
        }
        agreed.then_some(())
    }

    /// A mistake about a key that fits its neighbours not.
    pub(super) fn wrong(&self, key: &str, expected: &str) {
        let text = format!("`{}`: expected {expected}", self.path(key));
        self.mistakes.borrow_mut().push(Mistake::at(self.text, self.at, &text));
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &str,
        expected: &str,
        value: Option<Option<T>>,
    ) -> Option<T> {
        let value = value?;
        if value.is_none() {
            let text = format!("`{}` is missing: expected {expected}", self.path(key));
            self.mistakes.borrow_mut().push(Mistake::at(self.text, self.at, &text));
        }
        value
    }

    /// All mistakes of the document.
    pub(super) fn finish(self) -> Vec<Mistake> {
        self.refuse_the_rest();
        self.mistakes.take()
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.insert(key);
        self.table?.get(key)
    }

    fn read_text<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let read = value.get_ref().as_str().and_then(read);
        if read.is_none() {
            self.mistake(value.span().start, key, "", expected, value);
        }
        read
    }

    fn mistake(
        &self,
        offset: usize,
        key: &str,
        form: &str,
        expected: &str,
        found: &Spanned<DeValue<'_>>,
    ) {
        let (key, found) = (self.path(key), shown(found.get_ref()));
        let space = if form.is_empty() { "" } else { " " };
        let text = format!("`{key}`: expected {form}{space}{expected}, found {found}");
        self.mistakes.borrow_mut().push(Mistake::at(self.text, offset, &text));
    }

    fn refuse_the_rest(&self) {
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            if !self.known.contains(key.get_ref().as_ref()) {
                let known: Vec<_> = self.known.iter().copied().collect();
                let path = self.path(key.get_ref());
                let text = format!("`{path}` is not known here: expected {}", known.join(", "));
                self.mistakes.borrow_mut().push(Mistake::at(self.text, key.span().start, &text));
            }
        }
    }

    fn path(&self, key: &str) -> String {
        self.name.as_ref().map_or_else(|| key.to_owned(), |name| format!("{name}.{key}"))
    }
}

/// What stands there, as far as it helps.
fn shown(value: &DeValue<'_>) -> Cow<'static, str> {
    match value {
        DeValue::String(text) => {
            Cow::Owned(format!("{:?}", text.chars().take(64).collect::<String>()))
        }
        DeValue::Integer(number) => Cow::Owned(number.as_str().to_owned()),
        DeValue::Float(number) => Cow::Owned(number.as_str().to_owned()),
        DeValue::Boolean(value) => Cow::Owned(value.to_string()),
        DeValue::Datetime(_) => Cow::Borrowed("a date"),
        DeValue::Array(_) => Cow::Borrowed("a list"),
        DeValue::Table(_) => Cow::Borrowed("a table"),
    }
}
