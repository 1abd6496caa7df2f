//! The list of applications at a terminal: type to search, pick one, leave. Pure.
//!
//! It is drawn where the cursor is and erased behind itself, so that a terminal's screen and history
//! stay as they were; nothing but line feeds, cursor movements and erasing is asked of the terminal.

use access::Application;
use access::text::{is_hidden, visible};

use crate::keys::Key;

/// The menu as it stands.
#[derive(Debug)]
pub(crate) struct Menu {
    title: String,
    entries: Vec<Entry>,
    typed: String,
    /// Entries that match what was typed, the best first.
    found: Vec<usize>,
    /// Which of those is marked.
    marked: usize,
    columns: usize,
    rows: usize,
    /// Told instead of the hint until the next key.
    said: Option<String>,
    /// Lines that stand above the cursor's.
    above: usize,
}

/// One application that can be picked.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `app.site`.
    name: String,
    /// `app`.
    short: String,
    tags: String,
}

/// What a key comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stay,
    /// This entry.
    Picked(usize),
    Left,
}

impl Entry {
    pub(crate) fn of(application: &Application) -> Self {
        let tags = application.tags.iter().map(|(key, value)| format!("{key}={value}"));
        let tags = tags.collect::<Vec<_>>().join(" ");
        Self::new(application.name.as_str(), application.site.name.as_str(), &tags)
    }

    pub(crate) fn new(application: &str, site: &str, tags: &str) -> Self {
        Self {
            name: format!("{application}.{site}"),
            short: application.to_owned(),
            tags: visible(tags).into_owned(),
        }
    }

    /// How well it fits what was typed, in lower case; the least is best. `None`: not at all.
    fn fit(&self, number: usize, typed: &str) -> Option<u8> {
        if typed == number.to_string() {
            return Some(0);
        }
        if typed == self.name || typed == self.short {
            return Some(1);
        }
        if self.name.starts_with(typed) {
            return Some(2);
        }
        let tags = self.tags.to_lowercase();
        let has = |word: &str| self.name.contains(word) || tags.contains(word);
        typed.split_whitespace().all(has).then_some(3)
    }
}

impl Menu {
    /// A list that shows what fits `typed`, on a terminal of this size.
    pub(crate) fn new(title: &str, entries: Vec<Entry>, typed: &str, size: (u32, u32)) -> Self {
        let mut menu = Self {
            title: title.to_owned(),
            entries,
            typed: typed.to_owned(),
            found: Vec::new(),
            marked: 0,
            columns: 0,
            rows: 0,
            said: None,
            above: 0,
        };
        menu.resize(size);
        menu.search();
        menu
    }

    /// The terminal has another size. One that does not know its own has 80 × 24.
    pub(crate) fn resize(&mut self, (columns, rows): (u32, u32)) {
        let known = |size: u32, usual: usize| match usize::try_from(size) {
            Ok(0) | Err(_) => usual,
            Ok(size) => size.min(MAX_SIZE),
        };
        (self.columns, self.rows) = (known(columns, 80), known(rows, 24));
    }

    pub(crate) fn key(&mut self, key: Key) -> Step {
        self.said = None;
        match key {
            Key::Enter => return self.enter(),
            Key::Leave => return Step::Left,
            Key::Char(c) => {
                if !is_hidden(c) && self.typed.chars().count() < MAX_TYPED {
                    self.typed.push(c);
                    self.search();
                }
            }
            Key::Backspace => {
                self.typed.pop();
                self.search();
            }
            Key::EraseWord => {
                let kept = self.typed.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.typed.truncate(kept);
                self.search();
            }
            Key::EraseAll => {
                self.typed.clear();
                self.search();
            }
            Key::Up => self.marked = self.marked.saturating_sub(1),
            Key::Down => self.mark(self.marked + 1),
            Key::PageUp => self.marked = self.marked.saturating_sub(self.page()),
            Key::PageDown => self.mark(self.marked + self.page()),
            Key::First => self.marked = 0,
            Key::Last => self.mark(usize::MAX),
            Key::Redraw => {}
        }
        Step::Stay
    }

    /// Draws it over what it drew before, and leaves the cursor behind what was typed.
    pub(crate) fn draw(&mut self) -> String {
        let mut text = self.erase();
        self.above = usize::from(self.is_roomy());
        if self.is_roomy() {
            text.push_str(&format!("{}\r\n", self.fitted(&self.title)));
        }
        let line = self.input();
        text.push_str(&line);
        let below = self.below();
        for line in &below {
            text.push_str(&format!("\r\n{line}"));
        }
        text.push_str(&format!("\x1b[{}A\r", below.len()));
        if width(&line) > 0 {
            text.push_str(&format!("\x1b[{}C", width(&line)));
        }
        text
    }

    /// Takes it off the terminal, and leaves a line that says what was picked.
    pub(crate) fn close(&self, picked: Option<usize>) -> String {
        let name = picked.and_then(|index| self.entries.get(index)).map(|entry| &entry.name);
        let line = name.map(|name| format!("{}\r\n", self.fitted(&format!("{PROMPT}{name}"))));
        format!("{}{}", self.erase(), line.unwrap_or_default())
    }

    fn erase(&self) -> String {
        let up = if self.above > 0 { format!("\x1b[{}A", self.above) } else { String::new() };
        format!("\r{up}\x1b[J")
    }

    fn enter(&mut self) -> Step {
        match self.found.get(self.marked) {
            Some(index) => Step::Picked(*index),
            None => {
                let typed = std::mem::take(&mut self.typed);
                self.search();
                self.said = Some(format!("{typed:?} is not in the list"));
                Step::Stay
            }
        }
    }

    fn mark(&mut self, wanted: usize) {
        self.marked = wanted.min(self.found.len().saturating_sub(1));
    }

    fn search(&mut self) {
        let typed = self.typed.trim().to_lowercase();
        let fit = |(index, entry): (usize, &Entry)| Some((entry.fit(index + 1, &typed)?, index));
        let mut found: Vec<_> = self.entries.iter().enumerate().filter_map(fit).collect();
        if !typed.is_empty() {
            found.sort_unstable();
        }
        self.found = found.into_iter().map(|(_, index)| index).collect();
        self.marked = 0;
    }

    /// Whether there is room for more than the list.
    fn is_roomy(&self) -> bool {
        self.rows >= ROOMY
    }

    /// How many entries are shown at a time.
    fn page(&self) -> usize {
        let around = if self.is_roomy() { AROUND } else { 1 };
        self.rows.saturating_sub(around).clamp(1, MAX_SHOWN)
    }

    /// The prompt and what was typed, of which the end is shown where there is no room for all.
    fn input(&self) -> String {
        let (mut prompt, mut typed) = (PROMPT, self.typed.as_str());
        if width(prompt) + 8 > self.columns {
            prompt = "";
        }
        while width(prompt) + width(typed) >= self.columns {
            let mut rest = typed.chars();
            if rest.next().is_none() {
                break;
            }
            typed = rest.as_str();
        }
        format!("{prompt}{typed}")
    }

    /// The lines below the cursor's.
    fn below(&self) -> Vec<String> {
        let page = self.page();
        let first = (self.marked + 1).saturating_sub(page);
        let mut lines: Vec<_> =
            (first..self.found.len()).take(page).map(|place| self.line(place)).collect();
        if lines.is_empty() {
            lines.push(self.fitted("  nothing matches"));
        }
        if self.is_roomy() {
            lines.push(self.fitted(&self.hint()));
        }
        lines
    }

    fn line(&self, place: usize) -> String {
        let index = self.found[place];
        let entry = &self.entries[index];
        let longest = self.entries.iter().map(|entry| width(&entry.name)).max().unwrap_or(0);
        let digits = self.entries.len().to_string().len();
        let (number, name, tags) = (index + 1, &entry.name, &entry.tags);
        let line = format!("{number:>digits$}  {name:<longest$}  {tags}");
        let line = self.fitted(&format!("  {}", line.trim_end()));
        match place == self.marked {
            true => format!("\x1b[7m>{}\x1b[0m", line.strip_prefix(' ').unwrap_or(&line)),
            false => line,
        }
    }

    fn hint(&self) -> String {
        if let Some(said) = &self.said {
            return said.clone();
        }
        let (found, all) = (self.found.len(), self.entries.len());
        format!("{found} of {all}: type to search, arrows or a number, Enter opens, Esc leaves")
    }

    /// A line's beginning that wraps on no terminal of this size.
    fn fitted(&self, line: &str) -> String {
        let room = self.columns.saturating_sub(1);
        let mut used = 0;
        let fits = |c: &char| {
            used += cells(*c);
            used <= room
        };
        line.chars().take_while(fits).collect()
    }
}

/// The same list for a terminal that can move no cursor.
pub(crate) fn plain_list(title: &str, entries: &[Entry]) -> String {
    let lines = entries.iter().take(MAX_PLAIN).enumerate();
    let lines = lines.map(|(index, entry)| format!("  {:>3}  {}\r\n", index + 1, entry.name));
    let more = entries.len().saturating_sub(MAX_PLAIN);
    let more = if more > 0 { format!("  and {more} more, by name\r\n") } else { String::new() };
    format!("\r\n{title}\r\n\r\n{}{more}\r\nNumber or name: ", lines.collect::<String>())
}

/// The entry that a whole line picks: by its number from 1, or its name.
pub(crate) fn pick(line: &str, entries: &[Entry]) -> Option<usize> {
    let line = line.trim().to_lowercase();
    let named = |read: fn(&Entry) -> &str| entries.iter().position(|entry| read(entry) == line);
    let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    number
        .filter(|&index| index < entries.len())
        .or_else(|| named(|entry| &entry.name))
        .or_else(|| named(|entry| &entry.short))
}

/// How many columns a text takes, wide characters rather counted as two.
fn width(text: &str) -> usize {
    text.chars().map(cells).sum()
}

fn cells(c: char) -> usize {
    if c < '\u{1100}' { 1 } else { 2 }
}

const PROMPT: &str = "Application: ";
/// Lines beside the list: title, what was typed, hint, and one to spare.
const AROUND: usize = 4;
/// From here on there is room for them.
const ROOMY: usize = 6;
const MAX_SHOWN: usize = 15;
const MAX_PLAIN: usize = 200;
/// Characters.
const MAX_TYPED: usize = 128;
const MAX_SIZE: usize = 1000;

#[cfg(test)]
mod tests;
