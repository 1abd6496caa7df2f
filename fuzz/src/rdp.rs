//! Desktops: what pages and targets say.

use access::Clipboard;
use gateway_rdp::fuzzing::{Conversation, Setting, before};

/// What comes before a desktop is there.
pub(super) fn first(bytes: &[u8]) {
    before(bytes);
}

/// What a target has said, as it is kept and shown again; what a page says that is shown it; and what a
/// client that is recorded says that it can do.
pub(super) fn recorded(bytes: &[u8]) {
    gateway_rdp::fuzzing::able(bytes);
    gateway_rdp::fuzzing::recorded(bytes);
}

/// Bytes of a client and of a target in turn. The first byte says how the connection is; each part has
/// its side and its length before it. However they are cut, the same passes.
pub(super) fn conversation(bytes: &[u8]) {
    let Some((setting, parts)) = bytes.split_first() else { return };
    let clipboard = Clipboard::ALL[usize::from(setting & 3)];
    let is = |bit: u8| setting & bit != 0;
    let (files, nla, managed, native) = (is(4), is(8), is(16), is(32));
    let (printer, audio) = (!is(64), !is(128));
    for (recorded, exact) in [(false, false), (true, false), (false, true), (true, true)] {
        let setting =
            Setting { clipboard, files, printer, audio, native, nla, managed, recorded, exact };
        alike(&setting, parts);
    }
}

fn alike(setting: &Setting, parts: &[u8]) {
    let conversation = || Conversation::new(setting);
    let (mut whole, mut cut) = (conversation(), conversation());
    let mut rest = parts;
    while let [side, length, more @ ..] = rest {
        let (part, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        let target = side & 1 != 0;
        let passed = if target { whole.down(part) } else { whole.up(part) };
        let mut pieces = Vec::new();
        let mut over = false;
        for byte in part {
            let one = std::slice::from_ref(byte);
            match if target { cut.down(one) } else { cut.up(one) } {
                Some(piece) => pieces.extend(piece),
                None => {
                    over = true;
                    break;
                }
            }
        }
        match passed {
            Some(passed) => assert!(!over && passed == pieces, "cut, something else passes"),
            None => {
                assert!(over, "cut, a fault passes");
                return;
            }
        }
        assert!(whole.waiting() < (64 << 10) + 4, "no frame is longer");
    }
}
