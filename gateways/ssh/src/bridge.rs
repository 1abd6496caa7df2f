//! Carrying one channel: between the user's channel and the target's, or a raw stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use access::{EndReason, Side};
use bytes::{Bytes, BytesMut};
use russh::{ChannelMsg, ChannelWriteHalf, Sig, client, server};
use splice::{BoxStream, Counters, Io};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::inbox::Inbox;
use crate::proto::plain;
use crate::sftp;
use crate::sniff::Sniff;
use crate::track::Track;
use crate::watch::{Files, Forward, Reader};

/// A channel of the user's, and what is needed to answer on it.
pub(crate) struct UserSide {
    pub(crate) writer: ChannelWriteHalf<server::Msg>,
    pub(crate) handle: server::Handle,
}

/// What runs on a channel.
#[derive(Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// Something with an exit status, and who looks at it.
    Program(Watched<'a>),
    /// Bytes alone: a port or an agent.
    Bytes(&'a Forward),
}

/// Who looks at a program.
#[derive(Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) track: &'a Track,
    /// Where it may only read files.
    pub(crate) reader: Option<&'a Reader>,
    /// Where it is sftp.
    pub(crate) files: Option<&'a Files>,
}

impl<'a> Kind<'a> {
    fn track(self) -> Option<&'a Track> {
        match self {
            Self::Program(watched) => Some(watched.track),
            Self::Bytes(_) => None,
        }
    }

    fn reader(self) -> Option<&'a Reader> {
        match self {
            Self::Program(watched) => watched.reader,
            Self::Bytes(_) => None,
        }
    }

    fn files(self) -> Option<&'a Files> {
        match self {
            Self::Program(watched) => watched.files,
            Self::Bytes(_) => None,
        }
    }

    fn forward(self) -> Option<&'a Forward> {
        match self {
            Self::Program(_) => None,
            Self::Bytes(forward) => Some(forward),
        }
    }
}

/// How a bridge came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The user closed, or is gone.
    User,
    /// The target closed in order; `refused`: it did not start the program.
    Target { refused: bool },
    /// The connection to the target broke.
    Lost,
}

/// Carries a channel until either side closes it.
pub(crate) async fn channels(
    user: &UserSide,
    from_user: &mut Inbox,
    target: &ChannelWriteHalf<client::Msg>,
    from_target: &mut Inbox,
    counters: &Counters,
    kind: Kind<'_>,
) -> Over {
    let input_ended = AtomicBool::new(false);
    let mut up = std::pin::pin!(upward(from_user, target, (counters, kind), &input_ended));
    let mut down = std::pin::pin!(downward(from_target, user, counters, kind, &input_ended));
    tokio::select! {
        over = &mut down => over,
        over = &mut up => match over {
            Over::User => Over::User,
            // The target takes no more input; what it still says is carried.
            Over::Lost | Over::Target { .. } => down.await,
        },
    }
}

async fn upward(
    from: &mut Inbox,
    target: &ChannelWriteHalf<client::Msg>,
    (counters, kind): (&Counters, Kind<'_>),
    input_ended: &AtomicBool,
) -> Over {
    while let Some(message) = from.next().await {
        if matches!(message, ChannelMsg::Close) {
            return Over::User;
        }
        if matches!(message, ChannelMsg::Eof) {
            input_ended.store(true, Relaxed);
        }
        if from.during(pass_up(message, target, (counters, kind))).await.is_err() {
            // It is still read, so that its connection goes on.
            while let Some(message) = from.next().await {
                if matches!(message, ChannelMsg::Close) {
                    return Over::User;
                }
            }
        }
    }
    Over::User
}

async fn pass_up(
    message: ChannelMsg,
    target: &ChannelWriteHalf<client::Msg>,
    (counters, kind): (&Counters, Kind<'_>),
) -> Result<(), russh::Error> {
    match message {
        ChannelMsg::Data { data } => {
            let length = data.len() as u64;
            if let Some(track) = kind.track() {
                track.input(&data).await;
            }
            pass_data_up(data, target, kind).await?;
            counters.add_up(length);
        }
        ChannelMsg::ExtendedData { data, ext } => {
            let length = data.len() as u64;
            target.extended_data_bytes(ext, data).await?;
            counters.add_up(length);
        }
        ChannelMsg::Eof => target.eof().await?,
        ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
            if let Some(track) = kind.track() {
                track.resized(col_width, row_height).await;
            }
            target.window_change(col_width, row_height, pix_width, pix_height).await?;
        }
        ChannelMsg::Signal { signal } => target.signal(signal).await?,
        // What else a user may say on a running channel was refused when it arrived.
        _ => {}
    }
    Ok(())
}

async fn pass_data_up(
    data: Bytes,
    target: &ChannelWriteHalf<client::Msg>,
    kind: Kind<'_>,
) -> Result<(), russh::Error> {
    if let Some(forward) = kind.forward() {
        forward.up(&data).await;
    }
    let data = match kind.reader() {
        Some(reader) => match reader.up(&data).await {
            Some(rest) if rest.is_empty() => return Ok(()),
            Some(rest) => rest,
            // It gets no more of what nobody understands, and ends.
            None => return target.eof().await,
        },
        None => data,
    };
    if let Some(files) = kind.files() {
        // Before its answer can come.
        files.up(&data);
    }
    target.data_bytes(data).await?;
    if let Some(files) = kind.files() {
        files.tell().await;
    }
    Ok(())
}

async fn downward(
    from: &mut Inbox,
    user: &UserSide,
    counters: &Counters,
    kind: Kind<'_>,
    input_ended: &AtomicBool,
) -> Over {
    let mut held = HeldEof::default();
    let mut told = false;
    loop {
        let message = tokio::select! {
            biased;
            message = from.next() => message,
            () = held.due(input_ended) => Some(held.release()),
            own = sftp::answers(kind.reader().map(|reader| &reader.rules)) => {
                if from.during(user.writer.data_bytes(own)).await.is_err() {
                    return Over::User;
                }
                continue;
            }
        };
        let passed = match message {
            Some(ChannelMsg::Close) => {
                let passed = held.pass(user).await;
                return if passed.is_ok() { Over::Target { refused: false } } else { Over::User };
            }
            Some(ChannelMsg::Failure) => return Over::Target { refused: true },
            Some(ChannelMsg::Eof) if kind.track().is_some() && held.hold() => Ok(()),
            Some(message) => {
                let ends = matches!(
                    message,
                    ChannelMsg::ExitStatus { .. } | ChannelMsg::ExitSignal { .. }
                );
                if ends && std::mem::replace(&mut told, true) {
                    // A program ends once.
                    continue;
                }
                let passed = from.during(pass_down(message, user, (counters, kind))).await;
                if ends { passed.and(held.pass(user).await) } else { passed }
            }
            None => return Over::Lost,
        };
        if passed.is_err() {
            return Over::User;
        }
    }
}

/// The end of a program's output, kept back until its exit status is told.
///
/// Servers tell the one before the other. A client that has sent its own end closes the channel when
/// it is told (PuTTY does, and OpenSSH where connections are shared), and the library answers that
/// close at once: a status that came after it would never be heard. To such a client the end is told
/// with the status, however long the program goes on with its output closed; to others it is told
/// soon.
#[derive(Default)]
enum HeldEof {
    #[default]
    NotYet,
    Held(Instant),
    Passed,
}

impl HeldEof {
    /// Keeps it back, once.
    fn hold(&mut self) -> bool {
        let first = matches!(self, Self::NotYet);
        if first {
            *self = Self::Held(Instant::now() + STATUS_FOLLOWS);
        }
        first
    }

    /// Completes when no status came: the program closed its output and goes on.
    async fn due(&self, input_ended: &AtomicBool) {
        match self {
            Self::Held(until) => {
                sleep_until(*until).await;
                if input_ended.load(Relaxed) {
                    std::future::pending::<()>().await;
                }
            }
            Self::NotYet | Self::Passed => std::future::pending().await,
        }
    }

    fn release(&mut self) -> ChannelMsg {
        *self = Self::Passed;
        ChannelMsg::Eof
    }

    async fn pass(&mut self, user: &UserSide) -> Result<(), ()> {
        match std::mem::replace(self, Self::Passed) {
            Self::Held(_) => user.writer.eof().await.map_err(drop),
            Self::NotYet | Self::Passed => Ok(()),
        }
    }
}

async fn pass_down(
    message: ChannelMsg,
    user: &UserSide,
    (counters, kind): (&Counters, Kind<'_>),
) -> Result<(), ()> {
    let (id, track) = (user.writer.id(), kind.track());
    match message {
        ChannelMsg::Data { data } => {
            let length = data.len() as u64;
            if let Some(track) = track {
                track.output(&data).await;
            }
            if let Some(forward) = kind.forward() {
                forward.down(&data).await;
            }
            if let Some(files) = kind.files() {
                files.down(&data);
                files.tell().await;
            }
            let data = match kind.reader() {
                Some(reader) => reader.rules.down(data),
                None => data,
            };
            user.writer.data_bytes(data).await.map_err(drop)?;
            counters.add_down(length);
        }
        ChannelMsg::ExtendedData { data, ext } => {
            let length = data.len() as u64;
            if let Some(track) = track {
                track.output(&data).await;
            }
            user.writer.extended_data_bytes(ext, data).await.map_err(drop)?;
            counters.add_down(length);
        }
        ChannelMsg::Eof => user.writer.eof().await.map_err(drop)?,
        ChannelMsg::ExitStatus { exit_status } => {
            track.inspect(|track| track.outcome(exit_status.to_string()));
            user.handle.exit_status_request(id, exit_status).await?;
        }
        ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, lang_tag } => {
            let (text, language) = (plain(&error_message, MAX_TEXT), plain(&lang_tag, MAX_NAME));
            let signal = match signal_name {
                Sig::Custom(name) => Sig::Custom(plain(&name, MAX_NAME)),
                known => known,
            };
            track.inspect(|track| track.outcome(format!("signal {signal:?}")));
            user.handle.exit_signal_request(id, signal, core_dumped, text, language).await?;
        }
        ChannelMsg::XonXoff { client_can_do } => {
            user.handle.xon_xoff_request(id, client_can_do).await?;
        }
        // Replies to requests that were answered before the target was asked.
        _ => {}
    }
    Ok(())
}

/// Carries a channel to and from a raw stream until both directions have ended or one breaks.
pub(crate) async fn stream(
    user: &UserSide,
    from_user: &mut Inbox,
    stream: BoxStream,
    counters: &Arc<Counters>,
    sniff: &Sniff,
) -> (EndReason, Side) {
    let (reader, writer) = tokio::io::split(Io::new(stream));
    let said_all = CancellationToken::new();
    let mut up = std::pin::pin!(raw_up(from_user, writer, (counters, sniff), &said_all));
    let mut down = std::pin::pin!(raw_down(reader, user, (counters, sniff)));
    tokio::select! {
        end = &mut up => end,
        end = &mut down => {
            if end == (EndReason::Closed, Side::Target) {
                // A client that was told the end may still have something to say. One that has told
                // its own end may wait for us to close (ssh -W does).
                let rest = async {
                    tokio::select! {
                        _ = up => {}
                        () = said_all.cancelled() => {}
                    }
                };
                drop(tokio::time::timeout(LINGER, rest).await);
            }
            end
        }
    }
}

async fn raw_up(
    from: &mut Inbox,
    mut to: WriteHalf<Io<BoxStream>>,
    (counters, sniff): (&Counters, &Sniff),
    said_all: &CancellationToken,
) -> (EndReason, Side) {
    loop {
        match from.next().await {
            Some(ChannelMsg::Data { data }) => {
                sniff.up(&data);
                let sent = async {
                    to.write_all(&data).await?;
                    to.flush().await
                };
                if from.during(sent).await.is_err() {
                    return (EndReason::Broken, Side::Target);
                }
                counters.add_up(data.len() as u64);
            }
            Some(ChannelMsg::Eof) => {
                if from.during(to.shutdown()).await.is_err() {
                    return (EndReason::Broken, Side::Target);
                }
                said_all.cancel();
            }
            Some(ChannelMsg::Close) | None => return (EndReason::Closed, Side::Client),
            Some(_) => {}
        }
    }
}

async fn raw_down(
    mut from: ReadHalf<Io<BoxStream>>,
    user: &UserSide,
    (counters, sniff): (&Counters, &Sniff),
) -> (EndReason, Side) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(COPY);
        match from.read_buf(&mut buffer).await {
            Ok(0) => {
                drop(user.writer.eof().await);
                return (EndReason::Closed, Side::Target);
            }
            Ok(_) => {
                let data: Bytes = buffer.split().freeze();
                let length = data.len() as u64;
                sniff.down(&data);
                if user.writer.data_bytes(data).await.is_err() {
                    return (EndReason::Closed, Side::Client);
                }
                counters.add_down(length);
            }
            Err(_) => return (EndReason::Broken, Side::Target),
        }
    }
}

/// Between the end of a program's output and its exit status, when the program has ended.
const STATUS_FOLLOWS: Duration = Duration::from_millis(500);

/// Of what a target says about a program's end.
const MAX_TEXT: usize = 1024;
const MAX_NAME: usize = 64;

const COPY: usize = 32 * 1024;
const LINGER: Duration = Duration::from_secs(10);
