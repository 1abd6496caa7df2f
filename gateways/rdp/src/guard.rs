//! What stands between a client and its target once TLS is spoken: signs in where the relay does, and
//! lets channels carry what they may.
//!
//! INVARIANT: every byte that passes is part of a frame whose channel is known.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::capabilities::{Limits, narrowed};
use crate::channel::Passage;
use crate::clipboard::{Client, Kind, Rules, Way, Within, empty_list};
use crate::devices::{Devices, Shared};
use crate::dynamic::{Dynamic, Opens};
use crate::frame::{
    ATTACH, ATTACHED, DISCONNECT, ERECT, Fault, JOIN, JOINED, SEND_INDICATION, SEND_REQUEST,
    SEQUENCE, Sent, TPKT, is_fast_path, length, mcs, sequence,
};
use crate::negotiation::Protocols;
use crate::settings::{Account, Changes, client_info, of_client, of_target};
use crate::watch::Watch;

/// Of one connection. Each direction is handed what has arrived, and gives what goes on.
pub(crate) struct Guard {
    rules: Rules,
    protocol: Protocols,
    account: Option<Account>,
    /// Of the keyboard, where the client does not say it itself.
    layout: Option<u32>,
    up: Up,
    down: Down,
    /// The client's channels in their order.
    channels: Vec<Channel>,
    /// The target's own channel, on which the client says who it is.
    own: u16,
    /// The client's number among users.
    user: u16,
    clipboard_up: Within,
    clipboard_down: Within,
    devices: Devices,
    dynamic: Dynamic,
    /// Of a desktop that is recorded.
    watch: Option<Watch>,
}

/// How far the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    /// It may sign in by NLA.
    Login,
    /// Its settings come next.
    Settings,
    /// It joins channels, and then says who it is.
    Joins,
    Open,
}

/// How far the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Login { result: bool },
    Settings,
    Open,
}

/// A channel of the client's, and its number once the target has given it one.
struct Channel {
    kind: Kind,
    number: Option<u16>,
}

/// What becomes of a frame.
enum Verdict {
    Pass,
    Drop,
    Replace(Bytes),
}

impl Guard {
    /// For a target that has chosen `protocol`. With an account the relay has signed in there already,
    /// where the protocol asks for that.
    pub(crate) fn new(rules: Rules, protocol: Protocols, account: Option<Account>) -> Self {
        let theirs = protocol.has_nla() && account.is_none();
        let (up, down) = match theirs {
            true => (Up::Login, Down::Login { result: protocol.has_result() }),
            false => (Up::Settings, Down::Settings),
        };
        let (channels, own, user) = (Vec::new(), 0, 0);
        let (clipboard_up, clipboard_down) = (Within::default(), Within::default());
        Self {
            rules,
            protocol,
            account,
            layout: None,
            up,
            down,
            channels,
            own,
            user,
            clipboard_up,
            clipboard_down,
            devices: Devices::default(),
            dynamic: Dynamic::default(),
            watch: None,
        }
    }

    /// The same, and `watch` is shown what passes.
    pub(crate) fn watched(self, watch: Option<Watch>) -> Self {
        Self { watch, ..self }
    }

    /// The same, and the target is told of this layout of the client's keyboard.
    pub(crate) fn with_layout(self, layout: Option<u32>) -> Self {
        Self { layout, ..self }
    }

    /// What is kept of the desktop, where something is.
    pub(crate) fn watch(&mut self) -> Option<&mut Watch> {
        self.watch.as_mut()
    }

    /// The frame that has the target paint all of its screen, where it is time for that.
    pub(crate) fn repaint(&mut self) -> Option<Bytes> {
        self.watch.as_mut()?.repaint(self.user, self.own)
    }

    /// Takes all whole frames of the client's out of `buffer`, and appends what goes to the target.
    pub(crate) fn up(&mut self, buffer: &mut BytesMut, out: &mut Vec<Bytes>) -> Result<(), Fault> {
        sift(buffer, out, |bytes| {
            if self.up == Up::Login && bytes.first() == Some(&SEQUENCE) {
                return passing(bytes, sequence(bytes)?);
            }
            let whole = turn(bytes, self.up == Up::Open)?;
            let Some(frame) = first(bytes, whole) else { return Ok(None) };
            Ok(Some((frame.len(), self.look_up(frame)?)))
        })
    }

    /// The same of the target's, and what goes to the client.
    pub(crate) fn down(
        &mut self,
        buffer: &mut BytesMut,
        out: &mut Vec<Bytes>,
    ) -> Result<(), Fault> {
        sift(buffer, out, |bytes| {
            if let Down::Login { result } = self.down {
                match bytes.first() {
                    Some(&SEQUENCE) => return passing(bytes, sequence(bytes)?),
                    Some(&TPKT) => self.down = Down::Settings,
                    Some(_) if result => {
                        self.down = Down::Login { result: bytes.len() < RESULT };
                        return passing(bytes, Some(RESULT));
                    }
                    Some(_) | None => {}
                }
            }
            let whole = turn(bytes, self.down == Down::Open)?;
            let Some(frame) = first(bytes, whole) else { return Ok(None) };
            Ok(Some((frame.len(), self.look_down(frame)?)))
        })
    }

    fn look_up(&mut self, frame: &[u8]) -> Result<Verdict, Fault> {
        if is_fast_path(frame) {
            if let Some(watch) = &mut self.watch {
                watch.typed(frame);
            }
            return Ok(Verdict::Pass);
        }
        match self.up {
            Up::Login | Up::Settings => self.client_settings(frame),
            Up::Joins | Up::Open => match mcs(frame)? {
                (SEND_REQUEST, body) if self.up == Up::Joins => self.says_who(body),
                (SEND_REQUEST, body) => self.sent_up(body),
                (ERECT | ATTACH, _) if self.up == Up::Joins => Ok(Verdict::Pass),
                (JOIN | DISCONNECT, _) => Ok(Verdict::Pass),
                _ => Err(Fault::Order),
            },
        }
    }

    fn client_settings(&mut self, frame: &[u8]) -> Result<Verdict, Fault> {
        mcs(frame)?;
        let rules = self.rules;
        let opens = |name: &str| rules.channel(name) != Kind::Closed;
        let mut changed = frame.to_vec();
        let changes = Changes {
            protocol: self.protocol,
            layout: self.layout,
            coloured: rules.client == Client::Page || rules.recorded,
            recorded: rules.recorded,
            opens: &opens,
        };
        let named = of_client(&mut changed, &changes)?;
        let kind = |name: &str| rules.channel(name);
        let kinds = named.iter().map(|name| name.as_deref().map_or(Kind::Closed, kind));
        for kind in kinds {
            // Of those that are looked into there is one, for each is at one place of what it says.
            let again = !matches!(kind, Kind::Closed | Kind::Open)
                && self.channels.iter().any(|channel| channel.kind == kind);
            if again {
                return Err(Fault::Settings);
            }
            self.channels.push(Channel { kind, number: None });
        }
        self.up = Up::Joins;
        Ok(Verdict::Replace(changed.into()))
    }

    /// The first that it sends after it has joined.
    fn says_who(&mut self, body: &[u8]) -> Result<Verdict, Fault> {
        let sent = Sent::read(body)?;
        if self.down != Down::Open || sent.channel != self.own {
            return Err(Fault::Order);
        }
        // What is compressed can be shown from the beginning only.
        let plain = self.rules.restrict() || self.rules.recorded;
        let info = client_info(sent.data, self.account.as_ref(), plain)?;
        (self.up, self.user) = (Up::Open, sent.user());
        Ok(Verdict::Replace(sent.with(&info)?.into()))
    }

    fn sent_up(&mut self, body: &[u8]) -> Result<Verdict, Fault> {
        let sent = Sent::read(body)?;
        match self.kind(sent.channel) {
            None if self.rules.recorded => self.said_up(&sent),
            None if self.rules.exact => self.said_by_page(&sent),
            None | Some(Kind::Open) => Ok(Verdict::Pass),
            Some(Kind::Closed) => Ok(Verdict::Drop),
            Some(Kind::Dynamic) if self.rules.restrict_dynamic() => {
                opened(self.dynamic.up(sent.data)?, &sent)
            }
            Some(Kind::Devices) if self.rules.restrict_devices() => {
                shared(self.devices.up(self.rules, sent.data)?, &sent)
            }
            Some(Kind::Dynamic | Kind::Devices) => Ok(Verdict::Pass),
            Some(Kind::Clipboard) => {
                clipboard(&mut self.clipboard_up, self.rules, Way::ToTarget, &sent)
            }
        }
    }

    /// What a client of a recorded desktop says on no channel of its own.
    fn said_up(&mut self, sent: &Sent<'_>) -> Result<Verdict, Fault> {
        // Elsewhere a target might take what is to be looked at.
        let Some(watch) = self.watch.as_mut().filter(|_| sent.channel == self.own) else {
            return Ok(Verdict::Drop);
        };
        watch.asked(sent.data);
        let limits = Limits { shown_again: true, exact: self.rules.exact };
        told(&narrowed(sent.data, !watch.has_screen(), limits)?, sent)
    }

    /// What a page says on no channel of its own. What is not understood is for the target alone to
    /// take or leave.
    fn said_by_page(&self, sent: &Sent<'_>) -> Result<Verdict, Fault> {
        let limits = Limits { shown_again: false, exact: true };
        match narrowed(sent.data, true, limits) {
            Ok(said) if sent.channel == self.own => told(&said, sent),
            Ok(_) | Err(_) => Ok(Verdict::Pass),
        }
    }

    fn look_down(&mut self, frame: &[u8]) -> Result<Verdict, Fault> {
        if is_fast_path(frame) {
            if let Some(watch) = &mut self.watch {
                watch.pictured(frame)?;
            }
            return Ok(Verdict::Pass);
        }
        match self.down {
            Down::Login { .. } | Down::Settings => self.target_settings(frame),
            Down::Open => match mcs(frame)? {
                (SEND_INDICATION, body) => self.sent_down(frame, body),
                (ATTACHED | JOINED | DISCONNECT, _) => Ok(Verdict::Pass),
                _ => Err(Fault::Order),
            },
        }
    }

    fn target_settings(&mut self, frame: &[u8]) -> Result<Verdict, Fault> {
        mcs(frame)?;
        if self.up != Up::Joins {
            return Err(Fault::Order);
        }
        if let Some(answer) = of_target(frame)? {
            self.own = answer.own;
            for (channel, number) in self.channels.iter_mut().zip(answer.channels) {
                channel.number = Some(number);
            }
        }
        self.down = Down::Open;
        Ok(Verdict::Pass)
    }

    fn sent_down(&mut self, frame: &[u8], body: &[u8]) -> Result<Verdict, Fault> {
        let sent = Sent::read(body)?;
        if sent.channel == self.own
            && let Some(watch) = &mut self.watch
        {
            watch.said(frame, sent.data)?;
        }
        match self.kind(sent.channel) {
            None | Some(Kind::Open) => Ok(Verdict::Pass),
            Some(Kind::Closed) => Ok(Verdict::Drop),
            Some(Kind::Dynamic) if self.rules.restrict_dynamic() => {
                opened(self.dynamic.down(self.rules, sent.data)?, &sent)
            }
            Some(Kind::Devices) if self.rules.restrict_devices() => {
                shared(Shared::As(self.devices.down(sent.data)?), &sent)
            }
            Some(Kind::Dynamic | Kind::Devices) => Ok(Verdict::Pass),
            Some(Kind::Clipboard) => {
                clipboard(&mut self.clipboard_down, self.rules, Way::FromTarget, &sent)
            }
        }
    }

    /// `None`: no channel of the client's.
    fn kind(&self, number: u16) -> Option<Kind> {
        let found = self.channels.iter().find(|channel| channel.number == Some(number));
        found.map(|channel| channel.kind)
    }
}

/// What goes on in place of what was sent.
fn told(said: &[u8], sent: &Sent<'_>) -> Result<Verdict, Fault> {
    Ok(match said {
        [] => Verdict::Drop,
        said if said == sent.data => Verdict::Pass,
        said => Verdict::Replace(sent.with(said)?.into()),
    })
}

fn opened(opens: Opens, sent: &Sent<'_>) -> Result<Verdict, Fault> {
    Ok(match opens {
        Opens::Passes => Verdict::Pass,
        Opens::Dropped => Verdict::Drop,
        Opens::Changed(data) => Verdict::Replace(sent.with(&data)?.into()),
    })
}

fn shared(shared: Shared, sent: &Sent<'_>) -> Result<Verdict, Fault> {
    match shared {
        Shared::As(Passage::Passes) => Ok(Verdict::Pass),
        Shared::As(Passage::Dropped | Passage::Emptied) => Ok(Verdict::Drop),
        Shared::Made(parts) => {
            let frames = parts.iter().map(|part| sent.with(part));
            Ok(Verdict::Replace(frames.collect::<Result<Vec<_>, _>>()?.concat().into()))
        }
    }
}

fn clipboard(
    within: &mut Within,
    rules: Rules,
    way: Way,
    sent: &Sent<'_>,
) -> Result<Verdict, Fault> {
    if !rules.restrict() {
        return Ok(Verdict::Pass);
    }
    match within.look(rules, way, sent.data)? {
        Passage::Passes => Ok(Verdict::Pass),
        Passage::Dropped => Ok(Verdict::Drop),
        Passage::Emptied => Ok(Verdict::Replace(sent.with(&empty_list(sent.data)?)?.into())),
    }
}

/// Takes frames out of `buffer` as long as `step` finds whole ones. Those that pass one behind the other
/// go on as they are, in one piece.
fn sift(
    buffer: &mut BytesMut,
    out: &mut Vec<Bytes>,
    mut step: impl FnMut(&[u8]) -> Result<Option<(usize, Verdict)>, Fault>,
) -> Result<(), Fault> {
    let mut passing = 0;
    while let Some((length, verdict)) = step(&buffer[passing..])? {
        match verdict {
            Verdict::Pass => passing += length,
            Verdict::Drop => {
                give(buffer, passing, out);
                buffer.advance(length);
                passing = 0;
            }
            Verdict::Replace(other) => {
                give(buffer, passing, out);
                buffer.advance(length);
                out.push(other);
                passing = 0;
            }
        }
    }
    give(buffer, passing, out);
    Ok(())
}

fn give(buffer: &mut BytesMut, length: usize, out: &mut Vec<Bytes>) {
    if length > 0 {
        out.push(buffer.split_to(length).freeze());
    }
}

/// The length of the frame that begins here: before a desktop is open none is of the fast path.
fn turn(bytes: &[u8], open: bool) -> Result<Option<usize>, Fault> {
    match bytes.first() {
        Some(&first) if first != TPKT && !open => Err(Fault::Order),
        Some(_) | None => length(bytes),
    }
}

/// The first frame, if it is all there.
fn first(bytes: &[u8], length: Option<usize>) -> Option<&[u8]> {
    bytes.get(..length?)
}

fn passing(bytes: &[u8], length: Option<usize>) -> Result<Option<(usize, Verdict)>, Fault> {
    Ok(first(bytes, length).map(|frame| (frame.len(), Verdict::Pass)))
}

/// How long the target's word on a login by NLA is.
const RESULT: usize = 4;

#[cfg(test)]
#[path = "guard_tests.rs"]
pub(crate) mod tests;
