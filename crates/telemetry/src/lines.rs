//! One event is one line, whatever strangers wrote into its fields.

use std::borrow::Cow;
use std::io::{self, Write};

use access::text::{visible, visible_json};
use tracing_subscriber::fmt::MakeWriter;

use crate::Format;

/// Writes lines in which nothing hides. The formatter hands over each event in one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<M> {
    pub(crate) to: M,
    pub(crate) format: Format,
    /// Whether the formatter colours its words.
    pub(crate) colours: bool,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Lines<M> {
    type Writer = Lines<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines { to: self.to.make_writer(), format: self.format, colours: self.colours }
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = match self.format {
            Format::Json => visible_json(line),
            Format::Text if self.colours => coloured(line),
            Format::Text => visible(line),
        };
        self.to.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// As [`visible`], with the formatter's colours left in: one of a stranger's can not do more than
/// colour.
fn coloured(line: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find("\x1b[") {
        let (before, sequence) = rest.split_at(start);
        let body = &sequence[2..];
        let length = body.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
        let end = if body[length..].starts_with('m') { 2 + length + 1 } else { 0 };
        out.push_str(&visible(before));
        // Something else than a colour: the escape is shown, what follows is looked at again.
        let (colour, after) = if end > 0 { sequence.split_at(end) } else { sequence.split_at(1) };
        out.push_str(&if end > 0 { Cow::Borrowed(colour) } else { visible(colour) });
        rest = after;
    }
    out.push_str(&visible(rest));
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "user=a\x1b[2J\nINFO session.opened\u{202e}\u{85}\u{2028}\r";

    #[test]
    fn an_event_is_one_line_of_visible_text() {
        for colours in [false, true] {
            let line = written(Format::Text, colours, HOSTILE);
            let expected = "user=a\\u{1b}[2J\\nINFO session.opened\\u{202e}\\u{85}\\u{2028}\\r\n";
            assert_eq!(line, expected);
        }
        let json = "{\"user\":\"a\\u001b\\n\u{202e}\u{85}\"}";
        let line = written(Format::Json, false, json);
        assert_eq!(line, "{\"user\":\"a\\u001b\\n\\u202e\\u0085\"}\n");
    }

    #[test]
    fn the_formatters_colours_stay() {
        let text = "\x1b[2m2026\x1b[0m \x1b[32m INFO\x1b[0m a\x1b[5A\x1b]0;t\x07";
        let expected = "\x1b[2m2026\x1b[0m \x1b[32m INFO\x1b[0m a\\u{1b}[5A\\u{1b}]0;t\\u{7}\n";
        assert_eq!(written(Format::Text, true, text), expected);
        assert!(!written(Format::Text, false, text).contains('\x1b'));
    }

    fn written(format: Format, colours: bool, event: &str) -> String {
        let mut lines = Lines { to: Vec::new(), format, colours };
        lines.write_all(format!("{event}\n").as_bytes()).unwrap();
        String::from_utf8(lines.to).unwrap()
    }
}
