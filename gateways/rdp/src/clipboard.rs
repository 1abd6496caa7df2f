//! What a rule lets channels carry, and which way a clipboard carries (MS-RDPECLIP).

use access::{Clipboard, RdpOptions, Recording, Terms};

use crate::channel::{FIRST, LAST, PART_HEAD, Passage, SHOWN, ends};
use crate::dynamic::{DRAWING, SHOWING, SOUNDING};
use crate::frame::{Fault, u16_at, u32_at};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToTarget,
    FromTarget,
}

/// What a rule lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) clipboard: Clipboard,
    /// Files on the clipboard, drives and ports.
    pub(crate) files: bool,
    pub(crate) printer: bool,
    /// Sound, and the microphone.
    pub(crate) audio: bool,
    pub(crate) client: Client,
    /// What the desktop shows is kept, so nothing may show it that is not.
    pub(crate) recorded: bool,
    /// The client is shown pictures as the target has them.
    pub(crate) exact: bool,
}

/// What the client is, and so which channels it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A page of the portal: a clipboard, and what shows and steers.
    Page,
    /// A program: whatever it has.
    Native,
}

/// What becomes of a channel by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Clipboard,
    Devices,
    Dynamic,
    /// It carries what it does.
    Open,
    /// Nobody is there.
    Closed,
}

/// Where one direction of the clipboard's channel is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Within {
    #[default]
    Between,
    Passing,
    Dropping,
}

impl Rules {
    pub(crate) fn of(terms: &Terms, client: Client, options: &RdpOptions) -> Self {
        let Terms { clipboard, file_transfer: files, printer, audio, .. } = *terms;
        let recorded = terms.recording != Recording::Off;
        // A program asks for what it likes.
        let exact = client == Client::Page && !options.lossy;
        Self { clipboard, files, printer, audio, client, recorded, exact }
    }

    /// Whether anything is held back, so that all has to be readable.
    pub(crate) fn restrict(self) -> bool {
        self.clipboard != Clipboard::Both || !self.files || !self.printer || !self.audio
    }

    /// Whether devices of one type are shared and others are not.
    pub(crate) fn restrict_devices(self) -> bool {
        !self.files || !self.printer
    }

    /// Whether of channels by names only those open that are known.
    pub(crate) fn restrict_dynamic(self) -> bool {
        self.recorded || self.restrict()
    }

    /// What becomes of a static channel of this name, in lower case.
    pub(crate) fn channel(self, name: &str) -> Kind {
        let native = self.client == Client::Native;
        match name {
            "cliprdr" if self.clipboard != Clipboard::Off => Kind::Clipboard,
            "drdynvc" => Kind::Dynamic,
            "rdpdr" if native && (self.files || self.printer) => Kind::Devices,
            "rdpsnd" if native && self.audio => Kind::Open,
            // The last is the target's own, and no client's to name (CVE-2019-0708).
            "cliprdr" | "rdpdr" | "rdpsnd" | "ms_t120" => Kind::Closed,
            _ if native && !self.restrict_dynamic() => Kind::Open,
            _ => Kind::Closed,
        }
    }

    /// Whether a dynamic channel of this name opens: where something is held back, those that show and
    /// steer, and sound where it may be; of a recorded desktop none past which it is kept.
    pub(crate) fn opens_dynamic(self, name: &[u8]) -> bool {
        let is_one_of = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
        let shows = is_one_of(&SHOWING) || (!self.recorded && is_one_of(&DRAWING));
        !self.restrict_dynamic() || shows || (self.audio && is_one_of(&SOUNDING))
    }

    fn carries(self, way: Way) -> bool {
        match (self.clipboard, way) {
            (Clipboard::Both, _)
            | (Clipboard::ToTarget, Way::ToTarget)
            | (Clipboard::FromTarget, Way::FromTarget) => true,
            (Clipboard::Off, _)
            | (Clipboard::ToTarget, Way::FromTarget)
            | (Clipboard::FromTarget, Way::ToTarget) => false,
        }
    }

    /// What becomes of a message of this kind. What asks for content goes against its way.
    fn judge(self, way: Way, kind: u16) -> Passage {
        let back = match way {
            Way::ToTarget => Way::FromTarget,
            Way::FromTarget => Way::ToTarget,
        };
        let passes = match kind {
            LIST if !self.carries(way) => return Passage::Emptied,
            READY => way == Way::FromTarget,
            LIST | LIST_ANSWER | CAPABILITIES => true,
            DATA_REQUEST => self.carries(back),
            DATA => self.carries(way),
            FILE_REQUEST | LOCK | UNLOCK => self.files && self.carries(back),
            FILE => self.files && self.carries(way),
            FOLDER => self.files && way == Way::ToTarget,
            _ => false,
        };
        if passes { Passage::Passes } else { Passage::Dropped }
    }
}

impl Within {
    /// Looks at one part of a message on the clipboard's channel.
    pub(crate) fn look(&mut self, rules: Rules, way: Way, part: &[u8]) -> Result<Passage, Fault> {
        let (first, last) = ends(part)?;
        if first != (*self == Self::Between) {
            return Err(Fault::Unreadable);
        }
        let passage = match self {
            Self::Between => {
                u32_at(part, PART_HEAD + 4)?;
                rules.judge(way, u16_at(part, PART_HEAD)?)
            }
            Self::Passing => Passage::Passes,
            Self::Dropping => Passage::Dropped,
        };
        *self = match passage {
            _ if last => Self::Between,
            Passage::Passes => Self::Passing,
            Passage::Dropped | Passage::Emptied => Self::Dropping,
        };
        Ok(passage)
    }
}

/// A list of no formats, as a part by itself; `like` the part whose place it takes.
pub(crate) fn empty_list(like: &[u8]) -> Result<Vec<u8>, Fault> {
    let flags = (u32_at(like, 4)? & SHOWN) | FIRST | LAST;
    let mut part = 8_u32.to_le_bytes().to_vec();
    part.extend(flags.to_le_bytes());
    part.extend(LIST.to_le_bytes());
    part.extend([0; 6]);
    Ok(part)
}

const READY: u16 = 1;
const LIST: u16 = 2;
const LIST_ANSWER: u16 = 3;
const DATA_REQUEST: u16 = 4;
const DATA: u16 = 5;
const FOLDER: u16 = 6;
const CAPABILITIES: u16 = 7;
const FILE_REQUEST: u16 = 8;
const FILE: u16 = 9;
const LOCK: u16 = 10;
const UNLOCK: u16 = 11;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const ALL: Rules = Rules {
        clipboard: Clipboard::Both,
        files: true,
        printer: true,
        audio: true,
        client: Client::Page,
        recorded: false,
        exact: true,
    };

    /// A message of the clipboard's in one part.
    pub(crate) fn message(kind: u16, content: &[u8]) -> Vec<u8> {
        part(kind, content, FIRST | LAST)
    }

    pub(crate) fn part(kind: u16, content: &[u8], flags: u32) -> Vec<u8> {
        let length = u32::try_from(8 + content.len()).unwrap();
        let inner = u32::try_from(content.len()).unwrap();
        [
            &length.to_le_bytes()[..],
            &flags.to_le_bytes(),
            &kind.to_le_bytes(),
            &[0, 0],
            &inner.to_le_bytes(),
            content,
        ]
        .concat()
    }

    #[test]
    fn content_goes_only_the_way_it_may() {
        use Clipboard::{Both, FromTarget, Off, ToTarget};
        use Passage::{Dropped as Drop, Emptied as Empty, Passes as Pass};
        // Towards the target, then from it.
        let cases = [
            (Both, LIST, Pass, Pass),
            (Both, DATA, Pass, Pass),
            (ToTarget, LIST, Pass, Empty),
            (ToTarget, LIST_ANSWER, Pass, Pass),
            (ToTarget, DATA_REQUEST, Drop, Pass),
            (ToTarget, DATA, Pass, Drop),
            (ToTarget, FILE, Pass, Drop),
            (ToTarget, FILE_REQUEST, Drop, Pass),
            (FromTarget, LIST, Empty, Pass),
            (FromTarget, DATA_REQUEST, Pass, Drop),
            (FromTarget, DATA, Drop, Pass),
            (FromTarget, FILE, Drop, Pass),
            (Off, LIST, Empty, Empty),
            (Off, DATA, Drop, Drop),
            (Off, DATA_REQUEST, Drop, Drop),
            (Both, READY, Drop, Pass),
            (Both, 99, Drop, Drop),
        ];
        for (clipboard, kind, to, from) in cases {
            let rules = Rules { clipboard, ..ALL };
            let found = [Way::ToTarget, Way::FromTarget].map(|way| rules.judge(way, kind));
            assert_eq!(found, [to, from], "{clipboard:?} {kind}");
        }
        let rules = Rules { files: false, ..ALL };
        for kind in [FILE, FILE_REQUEST, FOLDER, LOCK, UNLOCK] {
            assert_eq!(rules.judge(Way::ToTarget, kind), Drop, "{kind}");
            assert_eq!(rules.judge(Way::FromTarget, kind), Drop, "{kind}");
        }
    }

    #[test]
    fn a_message_in_parts_is_one_message() {
        let rules = Rules { clipboard: Clipboard::ToTarget, ..ALL };
        let mut within = Within::default();
        let mut look = |part: &[u8]| within.look(rules, Way::FromTarget, part);
        assert_eq!(look(&part(DATA, b"se", FIRST)), Ok(Passage::Dropped));
        // It looks like the beginning of one that would pass.
        assert_eq!(look(&part(LIST_ANSWER, b"cr", 0)), Ok(Passage::Dropped));
        assert_eq!(look(&part(0, b"et", LAST)), Ok(Passage::Dropped));
        assert_eq!(look(&message(LIST_ANSWER, b"")), Ok(Passage::Passes));
        assert_eq!(look(&part(LIST, b"", 0)), Err(Fault::Unreadable), "the middle of nothing");
    }

    #[test]
    fn what_can_not_be_read_is_refused() {
        let rules = Rules { clipboard: Clipboard::Off, ..ALL };
        let look = |part: &[u8]| Within::default().look(rules, Way::ToTarget, part);
        let compressed = part(LIST, b"", FIRST | LAST | 0x0020_0000);
        assert_eq!(look(&compressed), Err(Fault::Unreadable));
        assert_eq!(look(&message(LIST, b"")[..12]), Err(Fault::Cut));
    }

    #[test]
    fn an_emptied_list_is_a_list() {
        let made = empty_list(&part(LIST, b"secret", FIRST | SHOWN)).unwrap();
        assert_eq!(made, part(LIST, b"", FIRST | LAST | SHOWN));
    }

    #[test]
    fn channels_are_there_by_their_names_and_the_client_they_are_for() {
        let native = Rules { client: Client::Native, ..ALL };
        let cases = [
            ("all", native, ["clipboard", "devices", "open", "dynamic", "open", "closed"]),
            ("a page", ALL, ["clipboard", "closed", "closed", "dynamic", "closed", "closed"]),
            (
                "no audio",
                Rules { audio: false, ..native },
                ["clipboard", "devices", "closed", "dynamic", "closed", "closed"],
            ),
            (
                "no printer",
                Rules { printer: false, ..native },
                ["clipboard", "devices", "open", "dynamic", "closed", "closed"],
            ),
            (
                "neither files nor printer",
                Rules { printer: false, files: false, ..native },
                ["clipboard", "closed", "open", "dynamic", "closed", "closed"],
            ),
            (
                "no clipboard",
                Rules { clipboard: Clipboard::Off, ..native },
                ["closed", "devices", "open", "dynamic", "closed", "closed"],
            ),
        ];
        for (what, rules, wanted) in cases {
            let names = ["cliprdr", "rdpdr", "rdpsnd", "drdynvc", "rail", "ms_t120"];
            let found = names.map(|name| format!("{:?}", rules.channel(name)).to_lowercase());
            assert_eq!(found, wanted, "{what}");
        }
    }
}
