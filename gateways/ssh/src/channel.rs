//! A session channel: what it asks for, the program it runs at the target, and its last words.

use std::sync::Arc;
use std::time::Duration;

use access::{EndReason, Explain, Sftp, Side};
use russh::server::Msg;
use russh::{Channel, ChannelId, ChannelMsg, ChannelWriteHalf, Pty, client};
use session::{Facts, Screen};
use tokio::time::timeout;

use crate::bridge::{self, Over, UserSide, Watched};
use crate::choose::{self, Asking};
use crate::config::TARGET_DEADLINE;
use crate::connection::{Connection, Place};
use crate::inbox::{DOWN_CAP, Inbox, UP_CAP};
use crate::program::Program;
use crate::proto::plain;
use crate::reach::Reach;
use crate::target::{Target, TargetError};
use crate::terminal::{Applicant, Terminal};
use crate::track::Track;
use crate::watch::{Files, Forward, Reader};
use crate::words;

/// Serves a session channel to its end.
pub(crate) async fn serve(connection: Arc<Connection>, channel: Channel<Msg>, _place: Place) {
    let Some(handle) = connection.handle() else { return };
    let id = channel.id();
    let (reader, writer) = channel.split();
    let user = UserSide { writer, handle };
    let inbox = Inbox::new(reader, id, connection.up.clone());
    let last = tokio::select! {
        biased;
        text = connection.ending() => Some(text),
        // Its queue is let go with it, so that a connection that was held goes on.
        () = work(&connection, inbox, &user) => None,
    };
    if let Some(text) = last {
        drop(timeout(LAST_WORDS, fail(&user, &text)).await);
    }
    connection.ended(id);
}

/// Says why on the terminal, or on the standard error of what was asked for, and ends the channel.
async fn fail(user: &UserSide, text: &str) {
    let line = format!("{text}\r\n").into_bytes();
    // A user who does not read can't be told here; the connection's goodbye may still reach them.
    drop(timeout(LAST_WORDS / 2, user.writer.extended_data_bytes(STDERR, line)).await);
    finish(user, Some(EXIT_FAILED)).await;
}

async fn finish(user: &UserSide, status: Option<u32>) {
    if let Some(status) = status {
        let told = user.handle.exit_status_request(user.writer.id(), status).await;
        if told.is_err() {
            return;
        }
    }
    // The connection may be gone already, and then there is nobody to tell.
    drop(user.writer.eof().await);
    drop(user.writer.close().await);
}

async fn work(connection: &Arc<Connection>, mut inbox: Inbox, user: &UserSide) {
    let Some((mut wishes, program)) = wishes(&mut inbox).await else { return };
    inbox.open_up(UP_CAP);
    match start(connection, &mut inbox, user, &mut wishes, &program).await {
        Ok(Some(running)) => {
            carry(connection, &mut inbox, user, running).await;
        }
        Ok(None) => finish(user, Some(EXIT_FAILED)).await,
        Err(text) => inbox.during(fail(user, &connection.texts.helped(text))).await,
    }
}

/// What a client said before it named a program.
#[derive(Default)]
struct Wishes {
    pty: Option<Terms>,
    environment: Vec<(String, String)>,
    agent: bool,
    x11: Option<Display>,
}

/// Where the user's client shows windows.
struct Display {
    single: bool,
    protocol: String,
    cookie: String,
    screen: u32,
}

struct Terms {
    term: String,
    size: [u32; 4],
    modes: Vec<(Pty, u32)>,
}

impl Terms {
    fn screen(&self) -> Screen {
        let [columns, rows, ..] = self.size;
        Screen { term: plain(&self.term, MAX_TERM), columns, rows }
    }
}

async fn wishes(inbox: &mut Inbox) -> Option<(Wishes, Program)> {
    let mut wishes = Wishes::default();
    loop {
        match inbox.next().await? {
            ChannelMsg::RequestPty {
                term,
                col_width,
                row_height,
                pix_width,
                pix_height,
                terminal_modes: modes,
                ..
            } => {
                let size = [col_width, row_height, pix_width, pix_height];
                wishes.pty = Some(Terms { term, size, modes });
            }
            ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
                if let Some(pty) = &mut wishes.pty {
                    pty.size = [col_width, row_height, pix_width, pix_height];
                }
            }
            ChannelMsg::SetEnv { variable_name, variable_value, .. } => {
                let bytes = variable_name.len() + variable_value.len();
                if wishes.environment.len() < MAX_VARIABLES && bytes <= MAX_VARIABLE {
                    wishes.environment.push((variable_name, variable_value));
                }
            }
            ChannelMsg::AgentForward { .. } => wishes.agent = true,
            ChannelMsg::RequestX11 {
                single_connection: single,
                x11_authentication_protocol: protocol,
                x11_authentication_cookie: cookie,
                x11_screen_number: screen,
                ..
            } => wishes.x11 = Some(Display { single, protocol, cookie, screen }),
            ChannelMsg::RequestShell { .. } => return Some((wishes, Program::Shell)),
            ChannelMsg::Exec { command, .. } => return Some((wishes, Program::Exec(command))),
            ChannelMsg::RequestSubsystem { name, .. } => {
                return Some((wishes, Program::Subsystem(name)));
            }
            ChannelMsg::Close | ChannelMsg::Eof => return None,
            // Before there is a program, nothing else has a meaning.
            _ => {}
        }
    }
}

/// A program at the target, and the connection it runs on.
struct Running {
    reach: Arc<Reach>,
    writer: ChannelWriteHalf<client::Msg>,
    inbox: Inbox,
    reader: Option<Reader>,
    // What is cut ends in this order.
    files: Option<Files>,
    track: Track,
    _target: Arc<Target>,
}

/// `Ok(None)`: the user went away from the menu or a question.
async fn start(
    connection: &Arc<Connection>,
    inbox: &mut Inbox,
    user: &UserSide,
    wishes: &mut Wishes,
    program: &Program,
) -> Result<Option<Running>, String> {
    let terminal = wishes.pty.as_mut().filter(|_| program.is_shell());
    let reach = match (connection.reach(), terminal) {
        (Some(reach), _) => reach.clone(),
        (None, Some(Terms { term, size, .. })) => {
            let asking = Asking { inbox: &mut *inbox, writer: &user.writer, term, size };
            match Box::pin(choose::application(connection, asking)).await? {
                Some(reach) => reach,
                None => return Ok(None),
            }
        }
        (None, None) => return Err(choose::unnamed(connection)),
    };
    if let Err(refused) = program.judge(reach.channels()) {
        let (what, detail) = program.noted();
        let facts = Facts::Refused { code: refused.code() };
        reach.note_with("ssh.refused", format!("{what} {detail}").trim_end(), facts).await;
        return Err(words::explain(&refused));
    }
    // A command on a terminal (ssh -t) can be asked for a password too.
    let has_terminal = wishes.pty.is_some();
    let target = match has_terminal {
        true => {
            let terminal = Terminal { inbox, writer: &user.writer };
            let mut applicant = Applicant { agent: wishes.agent, terminal: Some(terminal) };
            Box::pin(reach.target(connection, &mut applicant)).await?
        }
        false => {
            let mut applicant = Applicant { agent: wishes.agent, terminal: None };
            inbox.during(Box::pin(reach.target(connection, &mut applicant))).await?
        }
    };
    let channel = inbox.during(open(&reach, &target)).await?;
    let (what, detail) = program.noted();
    let number = user.writer.id().into();
    reach.note_now(what, &detail, Facts::Of { channel: number });
    let id = channel.id();
    let (reader, writer) = channel.split();
    let mut target_inbox = Inbox::new(reader, id, connection.down.clone());
    target_inbox.open_up(DOWN_CAP);
    let asked = ask(&reach, &target, &writer, wishes, program);
    if inbox.during(target_inbox.during(asked)).await.is_err() {
        return Err(words::CONNECTION_LOST.to_owned());
    }
    let screen = wishes.pty.as_ref().map(Terms::screen);
    let track = Track::begin(reach.clone(), number, (what, detail), screen);
    let track = inbox.during(target_inbox.during(track)).await;
    let reads = program.is_sftp() && reach.channels().sftp == Sftp::Read;
    let reader = reads.then(|| Reader::new(reach.clone()));
    let files = program.speaks_sftp().then(|| Files::new(reach.clone(), number));
    let inbox = target_inbox;
    Ok(Some(Running { reach, writer, inbox, track, reader, files, _target: target }))
}

/// A session channel at the target; what fails is told in the user's words.
async fn open(reach: &Reach, target: &Target) -> Result<Channel<client::Msg>, String> {
    let error = match timeout(TARGET_DEADLINE, target.handle.channel_open_session()).await {
        Ok(Ok(channel)) => return Ok(channel),
        Ok(Err(russh::Error::ChannelOpenFailure(_))) => {
            return Err(words::PROGRAM_REFUSED.to_owned());
        }
        Ok(Err(source)) => TargetError::Broken { source },
        Err(_) => TargetError::TimedOut { after: TARGET_DEADLINE },
    };
    reach.went_wrong(EndReason::Broken, Side::Target);
    Err(words::explain(&error))
}

/// Repeats the user's wishes to the target. Only the program's answer is asked for, so that there is
/// one answer and it is the program's.
async fn ask(
    reach: &Reach,
    target: &Target,
    writer: &ChannelWriteHalf<client::Msg>,
    wishes: &Wishes,
    program: &Program,
) -> Result<(), russh::Error> {
    ask_for_agent(reach, target, writer, wishes).await?;
    ask_for_display(reach, target, writer, wishes).await?;
    if let Some(Terms { term, size: [columns, rows, width, height], modes }) = &wishes.pty {
        writer.request_pty(false, term, *columns, *rows, *width, *height, modes).await?;
    }
    let mut refused = Vec::new();
    for (name, value) in &wishes.environment {
        match reach.channels().environment(name) {
            true => writer.set_env(false, name.as_str(), value.as_str()).await?,
            false => refused.push(name.as_str()),
        }
    }
    if !refused.is_empty() {
        reach.note("ssh.env_refused", &refused.join(" ")).await;
    }
    match program {
        Program::Shell => writer.request_shell(true).await,
        Program::Exec(command) => writer.exec(true, command.clone()).await,
        Program::Subsystem(name) => writer.request_subsystem(true, name.as_str()).await,
    }
}

async fn ask_for_agent(
    reach: &Reach,
    target: &Target,
    writer: &ChannelWriteHalf<client::Msg>,
    wishes: &Wishes,
) -> Result<(), russh::Error> {
    match (wishes.agent, reach.channels().agent) {
        (true, true) => {
            target.allow_agent();
            reach.note("ssh.agent", "").await;
            writer.agent_forward(false).await
        }
        (true, false) => {
            reach.note("ssh.agent_refused", "").await;
            Ok(())
        }
        (false, _) => Ok(()),
    }
}

async fn ask_for_display(
    reach: &Reach,
    target: &Target,
    writer: &ChannelWriteHalf<client::Msg>,
    wishes: &Wishes,
) -> Result<(), russh::Error> {
    let Some(Display { single, protocol, cookie, screen }) = &wishes.x11 else { return Ok(()) };
    if !reach.channels().x11 {
        reach.note("ssh.x11_refused", "").await;
        return Ok(());
    }
    target.allow_display();
    reach.note("ssh.x11", "").await;
    writer.request_x11(false, *single, protocol.as_str(), cookie.as_str(), *screen).await
}

async fn carry(
    connection: &Arc<Connection>,
    inbox: &mut Inbox,
    user: &UserSide,
    mut running: Running,
) {
    let reach = running.reach.clone();
    let Running { writer, inbox: from_target, track, reader, files, .. } = &mut running;
    let watched = Watched { track, reader: reader.as_ref(), files: files.as_ref() };
    let (counters, kind) = (reach.counters(), bridge::Kind::Program(watched));
    let over = bridge::channels(user, inbox, writer, from_target, counters, kind).await;
    if let Some(files) = files {
        inbox.during(files.end()).await;
    }
    inbox.during(track.end()).await;
    match over {
        Over::Target { refused: false } => {
            drop(user.writer.close().await);
        }
        Over::Target { refused: true } => fail(user, words::PROGRAM_REFUSED).await,
        Over::User => drop(running.writer.close().await),
        Over::Lost => {
            reach.went_wrong(EndReason::Broken, Side::Target);
            tracing::debug!(peer = %connection.peer, "The target was lost");
            inbox.during(fail(user, words::CONNECTION_LOST)).await;
        }
    }
}

/// The exit status of what could not be run, as ssh(1) gives it.
const EXIT_FAILED: u32 = 255;
const STDERR: u32 = 1;
const LAST_WORDS: Duration = Duration::from_millis(300);
const LINGER: Duration = Duration::from_secs(2);
/// Characters of a terminal's name.
const MAX_TERM: usize = 64;
const MAX_VARIABLES: usize = 128;
const MAX_VARIABLE: usize = 32 * 1024;

/// Carries a channel that only has bytes, such as a forwarded port or an agent; `what` it is, for
/// the record.
pub(crate) async fn carry_bytes(
    connection: &Arc<Connection>,
    reach: &Arc<Reach>,
    user: &UserSide,
    inbox: &mut Inbox,
    target: Channel<client::Msg>,
    what: String,
) {
    let id: ChannelId = target.id();
    let (reader, writer) = target.split();
    let mut target_inbox = Inbox::new(reader, id, connection.down.clone());
    target_inbox.open_up(DOWN_CAP);
    inbox.open_up(UP_CAP);
    let forward = Forward::new(reach.clone(), what);
    let (counters, kind) = (reach.counters(), bridge::Kind::Bytes(&forward));
    let over = bridge::channels(user, inbox, &writer, &mut target_inbox, counters, kind).await;
    match over {
        Over::User => drop(writer.close().await),
        Over::Target { .. } | Over::Lost => {
            // A client that was told the end closes by itself, and then nothing is kept of it.
            drop(user.writer.eof().await);
            let closing = async { while inbox.next().await.is_some() {} };
            drop(timeout(LINGER, closing).await);
            drop(user.writer.close().await);
        }
    }
}
