//! Targets that mean harm, or are broken: each costs its own session, for a bounded time and in
//! bounded memory, and its user is told. A session to another target beside it never notices.
#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings fail")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use access::{EndReason, Kind, Login, Side, Terms};
use russh::client::KeyboardInteractiveAuthResponse as Reply;
use russh::keys::PrivateKey;
use russh::server::{self, Auth, ChannelOpenHandle, Handler, Msg, Session};
use russh::{Channel, ChannelId, Sig};
use support::target::play;
use support::user::{Client, Outcome, outcome, within};
use support::{World, managed, memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn lines_without_end_before_the_name_are_read_for_a_few_only() {
    for line in [&b"welcome to the machine\r\n"[..], b"no end of a line, "] {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let (told, seconds) = beside(move |mut stream| {
            let sent = counted.clone();
            async move {
                while stream.write_all(line).await.is_ok() {
                    sent.fetch_add(line.len(), Relaxed);
                }
            }
        })
        .await;
        assert!(told.err.contains("target.handshake"), "{told:?}");
        // What a pipe holds, and the few lines that were read.
        assert!(sent.load(Relaxed) < 80 * 1024, "{sent:?}");
        assert!(seconds < 2, "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_closes_at_once_is_told_at_once() {
    let (told, seconds) = beside(|stream| async move { drop(stream) }).await;
    assert!(told.err.contains("target.handshake"), "{told:?}");
    assert!(seconds < 2, "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_given_up_after_twenty_seconds() {
    for said in [&b""[..], b"SSH-2.0-Slow\r\n", b"SSH-2.0-Slow\r\n\0\0\0\x24\x08"] {
        let (told, seconds) = beside(move |mut stream| async move {
            stream.write_all(said).await.unwrap();
            let mut sink = Vec::new();
            drop(stream.read_to_end(&mut sink).await);
        })
        .await;
        assert!(told.err.contains("target.timeout"), "{told:?}");
        assert!((20..22).contains(&seconds), "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_packet_of_two_gigabytes_is_not_waited_for() {
    let (told, seconds) = beside(|mut stream| async move {
        stream.write_all(b"SSH-2.0-Big\r\n\x7f\xff\xff\xff").await.unwrap();
        while stream.write_all(&[0; 4096]).await.is_ok() {}
    })
    .await;
    assert!(told.err.contains("target.handshake"), "{told:?}");
    assert!(seconds < 2, "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_never_opened_is_given_up_after_twenty_seconds() {
    let (told, seconds) = beside(|stream| hostile(stream, Harm::OpensNothing)).await;
    assert!(told.err.contains("target.timeout"), "{told:?}");
    assert!((20..22).contains(&seconds), "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_never_answered_is_given_up_after_twenty_seconds() {
    let (told, seconds) = beside(|stream| hostile(stream, Harm::AnswersNoLogin)).await;
    assert!(told.err.contains("target.timeout"), "{told:?}");
    assert!((20..22).contains(&seconds), "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn what_a_program_is_said_to_have_died_of_is_cut_short_and_told_once() {
    let before = memory();
    let (told, _) = beside(|stream| hostile(stream, Harm::DiesLoudly)).await;
    assert_eq!(told.signal.as_deref(), Some("TERM"));
    assert_eq!(told.signals, 1);
    assert_eq!(told.last_words.chars().count(), 1024);
    assert!(told.last_words.chars().all(|letter| letter == 'x'), "{}", told.last_words);
    let grown = memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_in_the_middle_is_told_and_recorded() {
    let (told, seconds) = beside(|stream| hostile(stream, Harm::GoesAway)).await;
    assert!(told.err.contains("the connection to the application broke"), "{told:?}");
    assert!(seconds < 2, "{seconds} s");
}

/// More questions than anybody would answer are not put to the user: the login is refused.
#[tokio::test(start_paused = true)]
async fn a_thousand_questions_are_asked_of_nobody() {
    let world = World::start().await;
    world.plays.set("bad", |stream| hostile(stream, Harm::AsksWithoutEnd));
    let id = world.add("bad", Kind::Ssh, "bad:22", Login::Transparent, Terms::default());
    let (stream, _serving) = connect(&world);
    let mut client = Client::over(stream).await;
    assert_eq!(client.ask("ubuntu").await, ["Access token:"]);
    let answer = client.answer(&world.token(Some(id), 1)).await;
    assert!(matches!(answer, Reply::Success), "{answer:?}");
    let told = client.run("anything").await;
    assert!(told.err.contains("target.login_refused"), "{told:?}");
}

/// Runs a program at a target like this, beside a shell at an honest one: what the user is told, and
/// after how many seconds.
async fn beside<F, P>(play_bad: P) -> (Outcome, u64)
where
    F: Future<Output = ()> + Send + 'static,
    P: Fn(DuplexStream) -> F + Send + Sync + 'static,
{
    let world = World::start().await;
    world.plays.set("bad", play_bad);
    world.plays.set("good", play);
    let ((bad, mut serving), (good, _good)) =
        (signed_in(&world, "bad").await, signed_in(&world, "good").await);
    let mut shell = good.exec("echo").await;
    let started = Instant::now();
    let mut program = bad.exec("anything").await;
    let told = outcome(&mut program).await;
    let seconds = started.elapsed().as_secs();
    assert!(told.status == Some(255) || told.signal.is_some(), "{told:?}");
    drop((program, bad));
    within(serving.join_next()).await.unwrap().unwrap();
    assert_eq!(world.broker.live().len(), 1);
    if told.signal.is_none() {
        let (reason, side) = world.audit.ends()[0];
        assert!(matches!(reason, EndReason::Failed | EndReason::Broken), "{reason:?}");
        assert_eq!(side, Side::Target);
    }
    shell.eof().await.unwrap();
    assert_eq!(outcome(&mut shell).await.status, Some(0));
    (told, seconds)
}

async fn signed_in(world: &World, name: &str) -> (Client, JoinSet<()>) {
    let address = format!("{name}:22");
    let id = world.add(name, Kind::Ssh, &address, managed("ubuntu"), Terms::default());
    world.store_password(id, "right");
    let (stream, serving) = connect(world);
    let mut client = Client::over(stream).await;
    let token = world.token(Some(id), 1);
    assert!(client.handle.authenticate_password("x", token).await.unwrap().success());
    (client, serving)
}

/// A user's connection over a pipe: with a paused clock, sockets would be late for every deadline.
fn connect(world: &World) -> (DuplexStream, JoinSet<()>) {
    let (near, far) = duplex(64 * 1024);
    let (gateway, drain) = (world.gateway.clone(), world.drain.clone());
    let mut serving = JoinSet::new();
    let peer = ([127, 0, 0, 1], 1).into();
    serving.spawn(async move { gateway.serve(far, peer, None, drain).await });
    (near, serving)
}

/// The same on each of a target's connections.
static KEY: LazyLock<PrivateKey> = LazyLock::new(support::key);

/// What a target does to us after a handshake in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    AnswersNoLogin,
    AsksWithoutEnd,
    OpensNothing,
    DiesLoudly,
    GoesAway,
}

async fn hostile(stream: DuplexStream, harm: Harm) {
    let config = server::Config {
        keys: vec![KEY.clone()],
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    };
    let hostile = Hostile { harm, kept: Vec::new(), held: Vec::new(), tasks: JoinSet::new() };
    if let Ok(running) = server::run_stream(Arc::new(config), stream, hostile).await {
        drop(running.await);
    }
}

struct Hostile {
    harm: Harm,
    kept: Vec<Channel<Msg>>,
    held: Vec<ChannelOpenHandle>,
    tasks: JoinSet<()>,
}

impl Handler for Hostile {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        if self.harm == Harm::AnswersNoLogin {
            std::future::pending::<()>().await;
        }
        Ok(Auth::reject())
    }

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        _: Option<server::Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let prompts = (0..1000).map(|_| ("Why? ".into(), false)).collect::<Vec<_>>();
        Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: prompts.into() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.kept.push(channel);
        if self.harm == Harm::OpensNothing {
            self.held.push(reply);
        } else {
            reply.accept().await;
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        if self.harm == Harm::GoesAway {
            return Err(russh::Error::Disconnect);
        }
        let handle = session.handle();
        self.tasks.spawn(async move {
            for _ in 0..200 {
                let text = "\u{1b}x".repeat(100_000);
                let told = handle.exit_signal_request(id, Sig::TERM, false, text, "en".into());
                if told.await.is_err() {
                    return;
                }
            }
            handle.close(id).await.unwrap_or_default();
        });
        Ok(())
    }
}
