//! Which command lines were typed at recorded terminals, as far as those showed them.
//!
//! A line is read off the screen where the cursor is when the terminal goes on to the next line
//! after the Enter key: so it is what history, completion and editing made of it, and what a
//! terminal did not show (a password) is not there. What stood before the cursor at the first key is
//! taken for the prompt. INVARIANT: pure, and bounded whatever is recorded.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use api::{CommandsPage, RecordedTerminal, RecordingEvent, TypedCommand};

use crate::reading::{ReadError, Reading};
use crate::scan::{Bounds, Finder, Part, scan};
use crate::screen::Screen;
use crate::search::whose;
use crate::vt::{Act, Parser};

/// So many of a recording's commands, from `part` on. Blocks.
pub fn commands(
    mut reading: Reading,
    part: Part,
    most: usize,
    bounds: &Bounds,
) -> Result<CommandsPage, ReadError> {
    let opened_ms = whose(&mut reading)?.map_or(0, |whose| whose.opened_ms);
    let scanned = scan(&mut reading, part, (most, bounds), &mut Commands::default())?;
    let next = scanned.next.map(|next| next.to_string());
    Ok(CommandsPage { opened_ms, commands: scanned.found, next })
}

/// The commands in these events.
pub fn found(events: &[RecordingEvent]) -> Vec<TypedCommand> {
    let mut commands = Commands::default();
    events.iter().flat_map(|event| commands.take(event)).collect()
}

/// Finds the commands in a recording's events, which are taken in their order.
#[derive(Default)]
struct Commands {
    terminals: HashMap<u32, Terminal>,
}

struct Terminal {
    parser: Parser,
    screen: Screen,
    /// What stood before the cursor when the line was begun.
    prompt: Option<String>,
    /// Lines that were entered and not yet gone on from.
    entered: VecDeque<Entered>,
    /// Whether something was shown since the last of them was entered.
    printed: bool,
}

struct Entered {
    at_ms: u64,
    prompt: Option<String>,
    /// Another was not yet gone on from: what that runs shows its lines first.
    ahead: bool,
}

impl Finder for Commands {
    type Found = TypedCommand;

    fn take(&mut self, event: &RecordingEvent) -> Vec<TypedCommand> {
        match event {
            RecordingEvent::Began { channel, terminal: Some(terminal), .. } => {
                let RecordedTerminal { columns, rows, .. } = *terminal;
                if let Some(place) = self.terminal(*channel) {
                    *place = Terminal::new(columns, rows);
                }
            }
            RecordingEvent::Resized { channel, columns, rows, .. } => {
                if let Some(terminal) = self.terminal(*channel) {
                    terminal.screen.resize(*columns, *rows);
                }
            }
            RecordingEvent::Typed { at_ms, channel, enter } => {
                if let Some(terminal) = self.terminal(*channel) {
                    terminal.typed(*at_ms, *enter);
                }
            }
            RecordingEvent::Output { at_ms, channel, text } => {
                let Some(terminal) = self.terminal(*channel) else { return Vec::new() };
                let commands = terminal.output(*at_ms, text).into_iter();
                return commands.map(|(at_ms, text)| command(*channel, at_ms, text)).collect();
            }
            RecordingEvent::Ended { channel, .. } => drop(self.terminals.remove(channel)),
            RecordingEvent::Session { .. }
            | RecordingEvent::Began { .. }
            | RecordingEvent::Input { .. }
            | RecordingEvent::File { .. }
            | RecordingEvent::Change { .. }
            | RecordingEvent::Screen { .. }
            | RecordingEvent::Repaint { .. }
            | RecordingEvent::Key { .. }
            | RecordingEvent::Lost { .. } => {}
        }
        Vec::new()
    }

    fn end(&mut self) -> Vec<TypedCommand> {
        Vec::new()
    }

    /// A screen never is.
    fn is_idle(&self) -> bool {
        self.terminals.is_empty()
    }
}

impl Commands {
    /// The terminal of a channel, of the usual size where it began before the first event.
    fn terminal(&mut self, channel: u32) -> Option<&mut Terminal> {
        let room = self.terminals.len() < MOST_TERMINALS;
        match self.terminals.entry(channel) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(free) if room => Some(free.insert(Terminal::new(0, 0))),
            Entry::Vacant(_) => None,
        }
    }
}

impl Terminal {
    fn new(columns: u32, rows: u32) -> Self {
        let screen = Screen::new(columns, rows);
        Self {
            parser: Parser::default(),
            screen,
            prompt: None,
            entered: VecDeque::new(),
            printed: false,
        }
    }

    fn typed(&mut self, at_ms: u64, enter: bool) {
        let prompt = self.prompt.take();
        if self.screen.is_other() || self.screen.is_placed() {
            return;
        }
        match enter {
            true => {
                self.printed = false;
                if self.entered.len() < MOST_ENTERED {
                    let ahead = !self.entered.is_empty();
                    self.entered.push_back(Entered { at_ms, prompt, ahead });
                }
            }
            false => {
                if self.printed {
                    // What was entered before was taken without another line: a password, say.
                    self.entered.clear();
                }
                let (line, before) = self.screen.line();
                self.prompt = Some(line.chars().take(before).collect());
            }
        }
    }

    fn output(&mut self, at_ms: u64, text: &str) -> Vec<(u64, String)> {
        let mut commands = Vec::new();
        for c in text.chars() {
            let Some(act) = self.parser.take(c) else { continue };
            let goes_on = matches!(act, Act::Single('\n') | Act::Escape('D' | 'E'));
            if goes_on && !self.entered.is_empty() && !self.screen.is_other() {
                commands.extend(self.entered(at_ms));
            }
            self.printed |= matches!(act, Act::Print(_));
            self.screen.act(act);
        }
        commands
    }

    /// The line that the cursor is about to leave.
    fn entered(&mut self, now_ms: u64) -> Option<(u64, String)> {
        let is_late = |first: &Entered| now_ms.saturating_sub(first.at_ms) > FOLLOWS_MS;
        while self.entered.front().is_some_and(is_late) {
            self.entered.pop_front();
        }
        let (line, _) = self.screen.line();
        let is_before = |first: &Entered| {
            let prompt = first.prompt.as_deref();
            first.ahead && prompt.is_some_and(|prompt| !line.starts_with(prompt))
        };
        if self.entered.front().is_some_and(is_before) {
            return None;
        }
        let Entered { at_ms, prompt, .. } = self.entered.pop_front()?;
        if self.screen.is_placed() {
            return None;
        }
        let text = without(prompt.as_deref(), &line)?.trim();
        (!text.is_empty()).then(|| (at_ms, text.chars().take(LONGEST).collect()))
    }
}

/// A line without its prompt; `None`: nobody knows what of it was typed.
fn without<'a>(prompt: Option<&str>, line: &'a str) -> Option<&'a str> {
    match prompt {
        // Typed ahead: the line is what the terminal echoed, or a shell showed it again.
        Some("") => after_mark(line, &PROMPTS[..PROMPTS.len() - 1]).or(Some(line)),
        Some(prompt) => line.strip_prefix(prompt).or_else(|| after_mark(line, &PROMPTS)),
        None => after_mark(line, &PROMPTS),
    }
}

fn after_mark<'a>(line: &'a str, marks: &[&str]) -> Option<&'a str> {
    let ends = marks.iter().filter_map(|mark| Some(line.find(mark)? + mark.len()));
    ends.min().and_then(|at| line.get(at..))
}

fn command(channel: u32, at_ms: u64, text: String) -> TypedCommand {
    TypedCommand { at_ms, channel, text }
}

/// What prompts end with.
const PROMPTS: [&str; 5] = ["$ ", "# ", "% ", "❯ ", "> "];
/// A terminal goes on to the next line sooner, if it is for the key that was pressed.
const FOLLOWS_MS: u64 = 20_000;
/// Terminals of one session at a time.
const MOST_TERMINALS: usize = 32;
const MOST_ENTERED: usize = 64;
/// Characters of a command.
const LONGEST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is typed (`<`: the first key of a line, `\r`: Enter) and what is shown.
    fn commands(talk: &[(&str, &str)]) -> Vec<String> {
        let mut commands = Commands::default();
        let terminal = RecordedTerminal { term: "xterm".to_owned(), columns: 40, rows: 10 };
        let (program, detail) = ("ssh.shell".to_owned(), String::new());
        let began = RecordingEvent::Began {
            at_ms: 0,
            channel: 0,
            program,
            detail,
            terminal: Some(terminal),
        };
        let mut found = commands.take(&began);
        for (at_ms, (typed, shown)) in (0..).step_by(100).zip(talk) {
            for key in typed.chars() {
                let enter = key == '\r';
                found.extend(commands.take(&RecordingEvent::Typed { at_ms, channel: 0, enter }));
            }
            let text = (*shown).to_owned();
            found.extend(commands.take(&RecordingEvent::Output { at_ms, channel: 0, text }));
        }
        found.into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn a_line_is_what_the_screen_shows_of_it_without_the_prompt() {
        let talk = [
            ("", "Welcome $ 5\r\nuser@host:~$ "),
            ("<", "l"),
            ("", "x\u{8} \u{8}s"),
            ("\r", "\r\nfile\r\nuser@host:~$ "),
            ("<", "echo one"),
            ("", "\u{8}\u{8}\u{8}\u{1b}[Ktwo"),
            ("\r", "\r\ntwo\r\nuser@host:~$ "),
            ("<\r", "\r\nuser@host:~$ "),
        ];
        assert_eq!(commands(&talk), ["ls", "echo two"]);
    }

    #[test]
    fn an_echo_that_comes_late_is_waited_for_and_a_paste_is_its_lines() {
        let talk =
            [("", "$ "), ("<\r<\r", ""), ("", "ls\r\nfile\r\n$ "), ("", "pwd\r\n/srv\r\n$ ")];
        assert_eq!(commands(&talk), ["ls", "pwd"]);
    }

    #[test]
    fn what_is_not_shown_is_no_command() {
        let talk = [
            ("", "$ "),
            ("<\r", "read -s it\r\n"),
            ("<\r", "$ "),
            ("<\r", "sudo id\r\n[sudo] password for me: "),
            ("<\r", "\r\nroot\r\n$ "),
            ("<\r", "top\r\n\u{1b}[?1049h\u{1b}[5;1Hrubbish"),
            ("<\r", "\n\n\u{1b}[?1049l\r\n$ "),
            ("<\r", "vi\r\n\u{1b}[10;1H:w"),
            ("<\r", "\u{1b}[10;1Hwritten\r\n$ "),
            ("<", "\r\u{1b}[K(reverse-i-search)`l': ls"),
            ("\r", "\r\u{1b}[K$ ls\r\n"),
        ];
        assert_eq!(commands(&talk), ["read -s it", "sudo id", "top", "vi", "ls"]);
    }

    #[test]
    fn a_long_line_that_goes_on_in_the_next_row_is_one() {
        let long = format!("echo {}", "abc ".repeat(20));
        let typed = format!("{long}\r\nout\r\n$ ");
        let talk = [("", "$ "), ("<\r", typed.as_str())];
        assert_eq!(commands(&talk), [long.trim()]);
    }

    #[test]
    fn an_enter_that_nothing_followed_is_forgotten() {
        let mut talk = vec![("", "$ "), ("<\r", "")];
        talk.extend(std::iter::repeat_n(("", ""), 250));
        talk.push(("", "late\r\n"));
        assert!(commands(&talk).is_empty());
    }
}
