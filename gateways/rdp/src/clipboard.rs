//! Which way a clipboard carries (MS-RDPECLIP), and which dynamic channels open (MS-RDPEDYC).

use access::Clipboard;

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
    /// Files on the clipboard.
    pub(crate) files: bool,
}

/// What becomes of a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Passes,
    Dropped,
    /// In its place goes a list of nothing, so that who sent it is answered.
    Emptied,
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
    /// Whether anything is held back, so that all has to be readable.
    pub(crate) fn restrict(self) -> bool {
        self.clipboard != Clipboard::Both || !self.files
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

/// Whether a target's message on the channel of dynamic channels passes: one that opens a channel does
/// for those that only show and steer.
pub(crate) fn opens_dynamic(part: &[u8]) -> Result<bool, Fault> {
    let (first, last) = ends(part)?;
    let [head, rest @ ..] = part.get(PART_HEAD..).unwrap_or_default() else {
        return Err(Fault::Unreadable);
    };
    if !first || head >> 4 != CREATE {
        return Ok(true);
    }
    let number = match head & 3 {
        0 => 1,
        1 => 2,
        _ => 4,
    };
    let name = rest.get(number..).ok_or(Fault::Unreadable)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    match last {
        true => Ok(DYNAMIC.iter().any(|open| open.as_bytes() == name)),
        false => Err(Fault::Unreadable),
    }
}

/// Whether a part begins and whether it ends a message.
fn ends(part: &[u8]) -> Result<(bool, bool), Fault> {
    let flags = u32_at(part, 4)?;
    match flags & COMPRESSED {
        0 => Ok((flags & FIRST != 0, flags & LAST != 0)),
        _ => Err(Fault::Unreadable),
    }
}

/// Length of the whole message, and flags.
const PART_HEAD: usize = 8;
const FIRST: u32 = 1;
const LAST: u32 = 2;
const SHOWN: u32 = 0x10;
const COMPRESSED: u32 = 0x00e0_0000;

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

const CREATE: u8 = 1;
/// Dynamic channels that carry pictures, their size and input.
const DYNAMIC: [&str; 5] = [
    "Microsoft::Windows::RDS::DisplayControl",
    "Microsoft::Windows::RDS::Graphics",
    "Microsoft::Windows::RDS::Geometry::v08.01",
    "Microsoft::Windows::RDS::CoreInput",
    "Microsoft::Windows::RDS::Input",
];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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
            let rules = Rules { clipboard, files: true };
            let found = [Way::ToTarget, Way::FromTarget].map(|way| rules.judge(way, kind));
            assert_eq!(found, [to, from], "{clipboard:?} {kind}");
        }
        let rules = Rules { clipboard: Both, files: false };
        for kind in [FILE, FILE_REQUEST, FOLDER, LOCK, UNLOCK] {
            assert_eq!(rules.judge(Way::ToTarget, kind), Drop, "{kind}");
            assert_eq!(rules.judge(Way::FromTarget, kind), Drop, "{kind}");
        }
    }

    #[test]
    fn a_message_in_parts_is_one_message() {
        let rules = Rules { clipboard: Clipboard::ToTarget, files: true };
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
        let rules = Rules { clipboard: Clipboard::Off, files: true };
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
    fn only_dynamic_channels_that_show_and_steer_open() {
        let open = |name: &str| {
            let content = [&[0x10, 7][..], name.as_bytes(), &[0]].concat();
            let length = u32::try_from(content.len()).unwrap();
            let flags = FIRST | LAST;
            opens_dynamic(&[&length.to_le_bytes()[..], &flags.to_le_bytes(), &content].concat())
        };
        assert_eq!(open("Microsoft::Windows::RDS::DisplayControl"), Ok(true));
        assert_eq!(open("URBDRC"), Ok(false));
        assert_eq!(open(""), Ok(false));
        let data = [&[0, 0, 0, 0, 3, 0, 0, 0, 0x30, 7][..], b"Microsoft"].concat();
        assert_eq!(opens_dynamic(&data), Ok(true), "what goes on in one");
    }
}
