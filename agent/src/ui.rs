//! What a person and a program see: data on stdout, talk on stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use access::text::{visible, visible_json, visible_lines};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::exit::Failure;

/// Where a command writes. Cheap to clone.
#[derive(Clone)]
pub struct Ui {
    json: bool,
    live: bool,
    person: bool,
    out: Sink,
    err: Sink,
}

type Sink = Arc<Mutex<Box<dyn Write + Send>>>;

impl Ui {
    /// The process's own stdout and stderr.
    pub fn standard(json: bool) -> Self {
        let (live, person) = (io::stderr().is_terminal(), io::stdout().is_terminal());
        Self { json, live, person, out: sink(io::stdout()), err: sink(io::stderr()) }
    }

    /// Writes into the two given places, for tests.
    pub fn into_writers(
        json: bool,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Self { json, live: false, person: false, out: sink(out), err: sink(err) }
    }

    /// The same, as if stdout were a terminal.
    #[cfg(test)]
    pub(crate) fn on_terminal(self) -> Self {
        Self { person: true, ..self }
    }

    /// Whether `--json` was given.
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// Whether stderr is a terminal, so that a line may be rewritten in place.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Whether stdout is a terminal: what stands there is read by a person and taken by no program.
    pub fn is_read_by_a_person(&self) -> bool {
        self.person
    }

    /// One line of data.
    pub fn data(&self, line: impl Display) -> Result<(), Failure> {
        write_line(&self.out, &line)?;
        Ok(())
    }

    /// Data for a terminal as it is, for callers that know that it only draws.
    pub fn draw(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
    }

    /// One line of talk. Nobody listening is no failure.
    pub fn say(&self, line: impl Display) {
        let start = if self.live { CLEAR } else { "" };
        let line = line.to_string();
        drop(write_line(&self.err, &format_args!("{start}{}", visible_lines(&line))));
    }

    /// One line about what went wrong, and one for each of its details.
    pub fn complain(&self, failure: &Failure) {
        self.say(format_args!("adit: {failure}"));
        for detail in failure.all_details() {
            self.say(format_args!("  {detail}"));
        }
    }

    /// Rewrites the last line of a terminal; does nothing where there is none.
    pub fn progress(&self, line: impl Display) {
        if self.live {
            let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
            drop(write!(err, "{CLEAR}{}", visible(&line.to_string())).and_then(|()| err.flush()));
        }
    }

    /// A value as JSON: indented, with a line break at its end.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.data(visible_json(&json))
    }

    /// A value as one line of JSON, for programs that read a line at a time.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(io::Error::from)?;
        self.data(visible_json(&json))
    }

    /// A listing: with `--json` the items as they are, otherwise a table of `row`s. `none` is said
    /// on stderr where there are none.
    pub fn list<T: Serialize, const N: usize>(
        &self,
        items: &[T],
        none: &str,
        heads: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> Result<(), Failure> {
        if self.json {
            return self.json(&items);
        }
        if items.is_empty() {
            self.say(none);
            return Ok(());
        }
        self.data(table(heads, items.iter().map(row)))
    }

    /// A list of facts: with `--json` the value as it is, otherwise one `name  value` line each.
    pub fn facts(&self, value: &impl Serialize, facts: &[(&str, String)]) -> Result<(), Failure> {
        if self.json {
            return self.json(value);
        }
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in facts {
            self.data(format_args!("{name:width$}  {}", visible(value)))?;
        }
        Ok(())
    }
}

/// Columns two spaces apart, without borders, never wrapped: `grep`, `awk` and people can read it.
fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.map(str::to_uppercase));
    table.add_rows(rows.map(|row| row.map(|cell| shown(&cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// What machines say of themselves must not drive the terminal it is shown on.
fn shown(cell: &str) -> String {
    match cell.is_empty() {
        true => "-".to_owned(),
        false => visible(cell).into_owned(),
    }
}

fn sink(writer: impl Write + Send + 'static) -> Sink {
    Arc::new(Mutex::new(Box::new(writer)))
}

fn write_line(sink: &Sink, line: &dyn Display) -> io::Result<()> {
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    // One write for the line: two processes that share a terminal do not mix theirs.
    sink.write_all(format!("{line}\n").as_bytes())?;
    sink.flush()
}

/// To the first column, and the line erased.
const CLEAR: &str = "\r\x1b[K";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_no_borders_and_no_trailing_blanks() {
        let rows = [["web1".to_owned(), "hq".to_owned()], ["orders-db".to_owned(), String::new()]];
        let text = table(["name", "site"], rows.into_iter());
        assert_eq!(text, "NAME       SITE\nweb1       hq\norders-db  -");
    }

    #[test]
    fn a_cell_can_not_drive_the_terminal() {
        let rows = [["a\x1b]0;b\x07\nc".to_owned()]];
        assert_eq!(table(["version"], rows.into_iter()), "VERSION\na\\u{1b}]0;b\\u{7}\\nc");
    }
}
