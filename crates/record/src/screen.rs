//! A terminal's screen, as far as it takes to read the line that the cursor is on.
//!
//! Every character is as wide as any other. What programs draw on the alternate screen, where they
//! have it to themselves, is not kept.

use std::collections::VecDeque;

use crate::vt::{Act, Control};

/// A screen of bounded size.
#[derive(Debug)]
pub(crate) struct Screen {
    rows: VecDeque<Row>,
    columns: usize,
    cursor: Place,
    saved: Place,
    /// The cursor is behind the last column; the next character is the first of the next row.
    full: bool,
    /// The rows that scroll: the first, and the one after the last.
    region: (usize, usize),
    /// Where the cursor was when the other screen was shown.
    other: Option<Place>,
    placed: bool,
}

#[derive(Clone, Debug, Default)]
struct Row {
    cells: Vec<char>,
    /// Whether it goes on with what did not fit into the row before.
    goes_on: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    row: usize,
    column: usize,
}

impl Screen {
    pub(crate) fn new(columns: u32, rows: u32) -> Self {
        let (columns, rows) =
            (size(columns, USUAL_COLUMNS, MOST_COLUMNS), size(rows, USUAL_ROWS, MOST_ROWS));
        Self {
            rows: vec![Row::default(); rows].into(),
            columns,
            cursor: Place::default(),
            saved: Place::default(),
            full: false,
            region: (0, rows),
            other: None,
            placed: false,
        }
    }

    /// Takes another size; terminals keep the last rows.
    pub(crate) fn resize(&mut self, columns: u32, rows: u32) {
        self.columns = size(columns, USUAL_COLUMNS, MOST_COLUMNS);
        let rows = size(rows, USUAL_ROWS, MOST_ROWS);
        while self.rows.len() > rows {
            // Empty ones below the cursor go first.
            if self.rows.len() > self.cursor.row + 1 {
                self.rows.pop_back();
            } else {
                self.rows.pop_front();
                self.cursor.row = self.cursor.row.saturating_sub(1);
            }
        }
        self.rows.resize(rows, Row::default());
        self.region = (0, rows);
        self.full = false;
        self.cursor = self.within(self.cursor);
    }

    /// Whether a program has the screen to itself.
    pub(crate) fn is_other(&self) -> bool {
        self.other.is_some()
    }

    /// Whether the cursor was put somewhere by its row since the last line feed: shells do not.
    pub(crate) fn is_placed(&self) -> bool {
        self.placed
    }

    /// The line that the cursor is on, and how many of its characters are before the cursor.
    pub(crate) fn line(&self) -> (String, usize) {
        let goes_on = |row: usize| self.rows.get(row).is_some_and(|row| row.goes_on);
        let mut first = self.cursor.row;
        while first > 0 && goes_on(first) {
            first -= 1;
        }
        let (mut line, mut before, mut row) = (Vec::new(), 0, first);
        loop {
            if row == self.cursor.row {
                before = line.len() + self.cursor.column + usize::from(self.full);
            }
            line.extend_from_slice(self.rows.get(row).map_or(&[], |row| &row.cells));
            row += 1;
            if !goes_on(row) {
                break;
            }
            // What goes on in the next row has filled this one.
            line.resize((row - first) * self.columns, ' ');
        }
        (line.into_iter().collect(), before)
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Control(control, 'h' | 'l') => self.mode(&control, act),
            _ if self.is_other() => {}
            Act::Print(c) => self.print(c),
            Act::Single(c) => self.single(c),
            Act::Escape(c) => self.escape(c),
            Act::Control(control, last) => self.control(&control, last),
        }
    }

    fn mode(&mut self, control: &Control, act: Act) {
        if !control.modes().any(|mode| matches!(mode, 47 | 1047 | 1049)) {
            return;
        }
        match act {
            Act::Control(_, 'h') => self.other = self.other.or(Some(self.cursor)),
            _ => self.cursor = self.other.take().map_or(self.cursor, |before| self.within(before)),
        }
    }

    fn print(&mut self, c: char) {
        if std::mem::take(&mut self.full) {
            self.feed();
            self.cursor.column = 0;
            self.rows[self.cursor.row].goes_on = true;
        }
        let Place { row, column } = self.cursor;
        let cells = &mut self.rows[row].cells;
        if cells.len() <= column {
            cells.resize(column + 1, ' ');
        }
        cells[column] = c;
        if column + 1 < self.columns { self.cursor.column += 1 } else { self.full = true }
    }

    fn single(&mut self, c: char) {
        match c {
            '\n' | '\u{b}' | '\u{c}' => {
                self.placed = false;
                self.feed();
                self.rows[self.cursor.row].goes_on = false;
            }
            '\r' => self.cursor.column = 0,
            '\u{8}' => self.cursor.column = self.cursor.column.saturating_sub(1),
            '\t' => self.cursor.column = (self.cursor.column / 8 * 8 + 8).min(self.columns - 1),
            _ => return,
        }
        self.full = false;
    }

    fn escape(&mut self, c: char) {
        match c {
            '7' => self.saved = self.cursor,
            '8' => self.go(self.saved),
            'D' => self.feed(),
            'E' => self.single('\n'),
            'M' if self.cursor.row == self.region.0 => self.insert(1),
            'M' => self.cursor.row = self.cursor.row.saturating_sub(1),
            'c' => {
                self.erase(0, self.rows.len());
                self.go(Place::default());
            }
            _ => {}
        }
    }

    fn control(&mut self, control: &Control, last: char) {
        let (many, Place { row, column }) = (control.many(), self.cursor);
        match last {
            'A' => self.go(Place { row: row.saturating_sub(many), column }),
            'B' | 'e' => self.go(Place { row: row + many, column }),
            'C' | 'a' => self.go(Place { row, column: column + many }),
            'D' => self.go(Place { row, column: column.saturating_sub(many) }),
            'E' => self.go(Place { row: row + many, column: 0 }),
            'F' => self.go(Place { row: row.saturating_sub(many), column: 0 }),
            'G' | '`' => self.go(Place { row, column: many - 1 }),
            'd' => self.put(Place { row: many - 1, column }),
            'H' | 'f' => {
                let column = control.number(1).unwrap_or(1) - 1;
                self.put(Place { row: many - 1, column });
            }
            'J' => self.erase_screen(control),
            'K' => self.erase_line(control),
            'P' => self.cells(|cells| {
                let length = cells.len();
                cells.drain(column.min(length)..(column + many).min(length));
            }),
            'X' => self.cells(|cells| {
                cells.iter_mut().skip(column).take(many).for_each(|c| *c = ' ');
            }),
            '@' => self.insert_cells(many),
            'L' => self.insert(many),
            'M' => self.remove(many),
            'r' => self.scroll_between(control),
            's' if control.mark.is_none() => self.saved = self.cursor,
            'u' if control.mark.is_none() => self.go(self.saved),
            _ => {}
        }
    }

    fn erase_screen(&mut self, control: &Control) {
        let row = self.cursor.row;
        match control.number(0) {
            None => {
                self.erase_line(control);
                self.erase(row + 1, self.rows.len());
            }
            Some(1) => self.erase(0, row),
            Some(_) => self.erase(0, self.rows.len()),
        }
    }

    fn erase_line(&mut self, control: &Control) {
        let column = self.cursor.column;
        let after = self.cursor.row + 1;
        match control.number(0) {
            None => {
                self.cells(|cells| cells.truncate(column));
                if let Some(next) = self.rows.get_mut(after) {
                    next.goes_on = false;
                }
            }
            Some(1) => self.cells(|cells| cells.iter_mut().take(column + 1).for_each(|c| *c = ' ')),
            Some(_) => self.cells(Vec::clear),
        }
    }

    fn insert_cells(&mut self, many: usize) {
        let (column, columns) = (self.cursor.column, self.columns);
        self.cells(|cells| {
            if column < cells.len() {
                let many = many.min(columns);
                drop(cells.splice(column..column, std::iter::repeat_n(' ', many)));
                cells.truncate(columns);
            }
        });
    }

    fn scroll_between(&mut self, control: &Control) {
        let first = control.many() - 1;
        let after = control.number(1).unwrap_or(usize::MAX).min(self.rows.len());
        if control.mark.is_none() && first < after {
            self.region = (first, after);
            self.go(Place::default());
        }
    }

    /// One row down; at the region's end what is in it moves up.
    fn feed(&mut self) {
        if self.cursor.row + 1 == self.region.1 {
            let (first, after) = self.region;
            if first == 0 && after == self.rows.len() {
                self.rows.pop_front();
                self.rows.push_back(Row::default());
            } else {
                self.rows.remove(first);
                self.rows.insert(after - 1, Row::default());
            }
        } else if self.cursor.row + 1 < self.rows.len() {
            self.cursor.row += 1;
        }
    }

    fn insert(&mut self, many: usize) {
        let (row, after) = (self.cursor.row, self.region.1);
        if row >= after {
            return;
        }
        for _ in 0..many.min(after - row) {
            self.rows.remove(after - 1);
            self.rows.insert(row, Row::default());
        }
    }

    fn remove(&mut self, many: usize) {
        let (row, after) = (self.cursor.row, self.region.1);
        if row >= after {
            return;
        }
        for _ in 0..many.min(after - row) {
            self.rows.remove(row);
            self.rows.insert(after - 1, Row::default());
        }
    }

    fn erase(&mut self, from: usize, to: usize) {
        self.rows.range_mut(from.min(to)..to).for_each(|row| *row = Row::default());
    }

    fn cells(&mut self, act: impl FnOnce(&mut Vec<char>)) {
        act(&mut self.rows[self.cursor.row].cells);
    }

    fn put(&mut self, place: Place) {
        self.placed |= place.row > 0;
        self.go(place);
    }

    fn go(&mut self, place: Place) {
        (self.cursor, self.full) = (self.within(place), false);
    }

    fn within(&self, Place { row, column }: Place) -> Place {
        Place { row: row.min(self.rows.len() - 1), column: column.min(self.columns - 1) }
    }
}

fn size(said: u32, usual: usize, most: usize) -> usize {
    match usize::try_from(said) {
        Ok(0) => usual,
        Ok(said) => said.min(most),
        Err(_) => most,
    }
}

const USUAL_COLUMNS: usize = 80;
const USUAL_ROWS: usize = 24;
const MOST_COLUMNS: usize = 1000;
const MOST_ROWS: usize = 500;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vt::Parser;

    fn line(text: &str) -> (String, usize) {
        shown(text).line()
    }

    fn shown(text: &str) -> Screen {
        let (mut screen, mut parser) = (Screen::new(10, 4), Parser::default());
        text.chars().filter_map(|c| parser.take(c)).for_each(|act| screen.act(act));
        screen
    }

    #[test]
    fn the_line_is_the_one_that_a_person_sees_at_the_cursor() {
        for (text, line_at, before) in [
            ("$ ls", "$ ls", 4),
            ("one\r\n$ ls", "$ ls", 4),
            ("$ lx\u{8} \u{8}s", "$ ls", 4),
            ("$ lx\u{8}\u{1b}[Ks", "$ ls", 4),
            ("$ s\u{8}\u{1b}[1@l", "$ ls", 3),
            ("$ lxs\u{8}\u{8}\u{1b}[P", "$ ls", 3),
            ("$ old\r\u{1b}[C\u{1b}[Cls\u{1b}[K", "$ ls", 4),
            ("junk\u{1b}[H\u{1b}[2J$ ls", "$ ls", 4),
            ("$ 12345678", "$ 12345678", 10),
            ("$ 123456789abcdefgh", "$ 123456789abcdefgh", 19),
            ("$ 123456789\r\u{1b}[A\u{1b}[2C\u{1b}[J", "$ ", 2),
            ("a\r\nb\r\nc\r\nd\r\n$ ls", "$ ls", 4),
            ("$ vi\r\n\u{1b}[?1049h\u{1b}[2;3Hrubbish\u{1b}[?1049l$ ls", "$ ls", 4),
            ("x\u{1b}7yy\u{1b}8z", "xzy", 2),
        ] {
            assert_eq!(line(text), (line_at.to_owned(), before), "{text:?}");
        }
    }

    #[test]
    fn a_cursor_that_is_put_on_a_row_is_told_until_a_line_feed() {
        assert!(shown("\u{1b}[3;1Htext").is_placed());
        assert!(!shown("\u{1b}[3;1Htext\r\n").is_placed());
        assert!(!shown("\u{1b}[H\u{1b}[2Jtext").is_placed());
    }

    proptest! {
        #[test]
        fn no_output_makes_it_panic_or_grow(
            text in "([ -~é\r\n\t\u{8}]|\u{1b}[\\[78DEMc]|\u{1b}\\[[0-9;?]{0,5}[@-z]){0,300}",
            sizes in proptest::collection::vec((0u32..2000, 0u32..900), 0..3),
        ) {
            let mut screen = shown(&text);
            for (columns, rows) in sizes {
                screen.resize(columns, rows);
                let mut parser = Parser::default();
                text.chars().filter_map(|c| parser.take(c)).for_each(|act| screen.act(act));
                prop_assert!(screen.rows.len() <= MOST_ROWS);
                prop_assert!(screen.rows.iter().all(|row| row.cells.len() <= MOST_COLUMNS));
                prop_assert!(screen.line().1 <= MOST_ROWS * MOST_COLUMNS);
            }
        }
    }
}
