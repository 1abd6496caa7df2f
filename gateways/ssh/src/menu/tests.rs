use proptest::prelude::*;

use super::*;
use crate::keys::Keys;

#[test]
fn what_is_typed_searches_names_sites_tags_and_numbers() {
    let table = [
        ("", "0 1 2 3"),
        ("web", "0 1"),
        ("web1.lab", "1"),
        ("web1", "0 1"),
        ("WEB hq", "0"),
        ("prod", "0 2"),
        ("db prod", "2"),
        ("3", "2 3"),
        ("4", "3"),
        ("nothing", ""),
        ("  ", "0 1 2 3"),
    ];
    for (typed, found) in table {
        let menu = Menu::new("Pick", entries(), typed, (80, 24));
        let found: Vec<usize> = found.split_whitespace().map(|one| one.parse().unwrap()).collect();
        assert_eq!(menu.found, found, "{typed:?}");
    }
}

#[test]
fn keys_move_and_pick_and_leave() {
    let table = [
        ("\r", Step::Picked(0)),
        ("\x1b[B\r", Step::Picked(1)),
        ("\x1b[B\x1b[B\x1b[A\r", Step::Picked(1)),
        ("\x1b[A\x1b[A\r", Step::Picked(0)),
        ("\x1b[F\x1b[B\r", Step::Picked(3)),
        ("\x1b[6~\x1b[5~\r", Step::Picked(0)),
        ("3\r", Step::Picked(2)),
        ("db\x1b[B\r", Step::Picked(3)),
        ("web1.lab\r", Step::Picked(1)),
        ("dx\x7fb\r", Step::Picked(2)),
        ("web nonsense\x17\r", Step::Picked(0)),
        ("nonsense\x15lab\r", Step::Picked(1)),
        ("nonsense\r2\r", Step::Picked(1)),
        ("web\x03", Step::Left),
        ("\x04", Step::Left),
        ("\x1b\x1b", Step::Left),
        ("web", Step::Stay),
    ];
    for (typed, step) in table {
        assert_eq!(press(&mut menu((80, 24)), typed), step, "{typed:?}");
    }
}

#[test]
fn it_shows_what_there_is_and_how_to_go_on() {
    let mut screen = Screen::new(80, 24, "$ ssh relay\r\n");
    let mut menu = menu((80, 24));
    screen.print(&menu.draw());
    press(&mut menu, "prod\x1b[B");
    screen.print(&menu.draw());
    let shown = [
        "$ ssh relay",
        "Pick one",
        "Application: prod",
        "  1  web1.hq   env=prod",
        "> 3  db.hq     env=prod role=db",
        "2 of 4: type to search, arrows or a number, Enter opens, Esc leaves",
    ];
    assert_eq!(screen.lines(), shown);
    assert_eq!(screen.cursor(), (2, 17));
    press(&mut menu, "\x15?\r");
    screen.print(&menu.draw());
    assert_eq!(screen.lines().last().unwrap(), "\"?\" is not in the list");
}

#[test]
fn it_leaves_nothing_behind_but_what_was_picked() {
    for (columns, rows) in [(80_u32, 24_u32), (20, 5), (12, 3), (200, 60)] {
        let before = "one\r\ntwo\r\n";
        let mut screen = Screen::new(columns as usize, rows as usize, before);
        let mut menu = menu((columns, rows));
        for typed in ["w", "e", "b", "\x1b[B", "\x15", "\x1b[F", "nothing"] {
            screen.print(&menu.draw());
            press(&mut menu, typed);
        }
        screen.print(&menu.draw());
        screen.print(&menu.close(None));
        let lines = screen.lines();
        assert_eq!(lines.last().map_or("two", String::as_str), "two", "{columns}x{rows}");
        screen.print(&menu.close(Some(1)));
        assert!(screen.lines().last().unwrap().starts_with("Applicat"), "{:?}", screen.lines());
    }
}

#[test]
fn a_long_list_scrolls_with_the_mark() {
    let entry = |number| Entry { name: format!("host{number}.hq"), ..entry("x", "") };
    let mut menu = Menu::new("Pick one", (0..300).map(entry).collect(), "", (80, 10));
    let mut screen = Screen::new(80, 10, "");
    press(&mut menu, "\x1b[F");
    screen.print(&menu.draw());
    let lines = screen.lines();
    assert!(lines.iter().any(|line| line == "> 300  host299.hq"), "{lines:?}");
    assert!(lines.len() <= 10 && lines[0] == "Pick one", "{lines:?}");
    press(&mut menu, "\x1b[H");
    screen.print(&menu.draw());
    assert!(screen.lines().iter().any(|line| line == ">   1  host0.hq"), "{:?}", screen.lines());
}

#[test]
fn names_and_tags_drive_no_terminal() {
    let tags = [("x".to_owned(), "\x1b]0;owned\x07\u{202e}\r\n".to_owned())];
    let application = Application { tags: tags.into(), ..application() };
    let entries = vec![Entry::of(&application)];
    let shown = Menu::new("Pick one", entries, "", (80, 24)).draw();
    assert!(!shown.contains("\x1b]") && !shown.contains('\u{202e}'), "{shown:?}");
    assert!(shown.contains(r"x=\u{1b}]0;owned\u{7}\u{202e}\r\n"), "{shown:?}");
}

#[test]
fn a_terminal_without_a_cursor_gets_a_list_and_takes_a_line() {
    let entries = entries();
    let list = plain_list("Pick one", &entries);
    assert!(list.contains("    2  web1.lab\r\n") && !list.contains('\x1b'), "{list:?}");
    for (line, picked) in
        [("2", Some(1)), (" web1 ", Some(0)), ("Web1.Lab", Some(1)), ("0", None), ("5", None)]
    {
        assert_eq!(pick(line, &entries), picked, "{line:?}");
    }
    for wrong in ["", "web", "-1", "99999999999999999999999"] {
        assert_eq!(pick(wrong, &entries), None, "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn no_line_wraps_on_any_terminal(
        columns in 1_u32..120, rows in 1_u32..60,
        typed in proptest::collection::vec("[a-z0-9 日ü]|\x1b\\[[ABFH]|\x7f", 0..40),
    ) {
        let mut menu = menu((columns, rows));
        for key in typed {
            press(&mut menu, &key);
            let shown = menu.draw();
            let mut screen = Screen::new(columns as usize, 100, "");
            screen.print(&shown);
            prop_assert!(!screen.wrapped, "{shown:?}");
            let lines = screen.lines().len();
            prop_assert!(lines <= rows.max(2) as usize, "{lines} of {rows}");
        }
    }
}

fn press(menu: &mut Menu, typed: &str) -> Step {
    let mut keys = Keys::default();
    for key in typed.bytes().filter_map(|byte| keys.feed(byte)) {
        match menu.key(key) {
            Step::Stay => {}
            step => return step,
        }
    }
    Step::Stay
}

fn menu(size: (u32, u32)) -> Menu {
    Menu::new("Pick one", entries(), "", size)
}

fn entries() -> Vec<Entry> {
    let mut last = entry("mydb3.hq", "");
    last.short = "mydb3".to_owned();
    vec![
        entry("web1.hq", "env=prod"),
        entry("web1.lab", "env=test"),
        entry("db.hq", "env=prod role=db"),
        last,
    ]
}

fn entry(name: &str, tags: &str) -> Entry {
    let short = name.split('.').next().unwrap().to_owned();
    Entry { name: name.to_owned(), short, tags: tags.to_owned() }
}

fn application() -> Application {
    let (name, id) = ("web1".parse().unwrap(), uuid::Uuid::nil());
    Application {
        id: access::ApplicationId(id),
        name,
        site: access::Site { id: access::SiteId(id), name: "hq".parse().unwrap() },
        kind: access::Kind::Ssh,
        address: "127.0.0.1:22".parse().unwrap(),
        login: access::Login::Transparent,
        host_key: None,
        legacy_algorithms: false,
        allow_api: true,
        require_active_session: false,
        tags: Default::default(),
        web: Default::default(),
        database: Default::default(),
        rdp: Default::default(),
    }
}

/// As much of a terminal as the menu asks for.
struct Screen {
    columns: usize,
    rows: usize,
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    wrapped: bool,
}

impl Screen {
    fn new(columns: usize, rows: usize, before: &str) -> Self {
        let cells = vec![Vec::new()];
        let mut screen = Self { columns, rows, cells, at: (0, 0), wrapped: false };
        screen.print(before);
        screen
    }

    fn print(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let sequence: String =
                        chars.by_ref().take_while(char::is_ascii_digit).collect();
                    // `take_while` has eaten the last character; it is found again by its place.
                    let rest = chars.as_str();
                    let last = text[..text.len() - rest.len()].chars().next_back();
                    self.control(sequence.parse().unwrap_or(0), last.unwrap());
                }
                '\r' => self.at.1 = 0,
                '\n' => self.feed(),
                c => self.put(c),
            }
        }
    }

    fn control(&mut self, count: usize, last: char) {
        match last {
            'A' => self.at.0 = self.at.0.saturating_sub(count.max(1)),
            'C' => self.at.1 = (self.at.1 + count.max(1)).min(self.columns - 1),
            'J' => {
                self.cells.truncate(self.at.0 + 1);
                self.cells[self.at.0].truncate(self.at.1);
            }
            'm' => {}
            other => panic!("the menu asks for {other:?}"),
        }
    }

    fn feed(&mut self) {
        self.at.0 += 1;
        if self.at.0 == self.cells.len() {
            self.cells.push(Vec::new());
        }
        if self.cells.len() > self.rows {
            self.cells.remove(0);
            self.at.0 -= 1;
        }
    }

    fn put(&mut self, c: char) {
        for cell in std::iter::once(c).chain((1..cells(c)).map(|_| '\0')) {
            if self.at.1 == self.columns {
                self.wrapped = true;
                self.at.1 = 0;
                self.feed();
            }
            let line = &mut self.cells[self.at.0];
            line.resize(line.len().max(self.at.1 + 1), ' ');
            line[self.at.1] = cell;
            self.at.1 += 1;
        }
    }

    fn cursor(&self) -> (usize, usize) {
        self.at
    }

    fn lines(&self) -> Vec<String> {
        let text = |line: &Vec<char>| line.iter().filter(|c| **c != '\0').collect::<String>();
        let mut lines: Vec<_> = self.cells.iter().map(text).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}
