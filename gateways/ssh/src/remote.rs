//! `ssh -R`: ports and sockets on which the target listens for the user, and the connections that
//! arrive there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::{Channel, client};
use tokio::time::timeout;

use crate::bridge::UserSide;
use crate::channel::carry_bytes;
use crate::config::TARGET_DEADLINE;
use crate::connection::Connection;
use crate::forward::{self, Back};
use crate::inbox::Inbox;
use crate::proto::plain;
use crate::reach::Reach;
use crate::target::Target;
use crate::unopened::Unopened;

/// The ports of one application's session, and the connection to the target that they belong to.
#[derive(Default)]
pub(crate) struct Ports {
    listening: Mutex<Listening>,
}

#[derive(Default)]
struct Listening {
    target: Option<Arc<Target>>,
    /// As the user asked; port 0 while the target has not said which one it took.
    ports: Vec<(String, u32)>,
    sockets: Vec<String>,
}

/// Where a connection came in at the target, and from where.
pub(crate) struct Arrived {
    pub(crate) address: String,
    pub(crate) port: u32,
    pub(crate) originator: String,
    pub(crate) originator_port: u32,
}

/// Has the target listen, where the terms allow it: the port it took, or `None` where it may not or
/// will not.
///
/// The library asks this between two packets of the user, and waits: nothing here may need another.
pub(crate) async fn listen(connection: &Arc<Connection>, address: &str, port: u32) -> Option<u32> {
    let detail = format!("{address}:{port}");
    let Some(reach) = connection.reach().filter(|reach| reach.channels().remote).cloned() else {
        Unopened::NoTarget.within(connection).record(connection, &detail).await;
        return None;
    };
    if address.len() > MAX_ADDRESS || !reach.ports().begin(address, port) {
        Unopened::TooManyPorts.record(connection, &detail).await;
        return None;
    }
    let asked = timeout(TARGET_DEADLINE, ask(connection, &reach, address, port)).await;
    let taken = asked.ok().flatten();
    reach.ports().settle(address, port, taken);
    match taken {
        Some(taken) => reach.note("ssh.listen", &format!("{address}:{taken}")).await,
        None => reach.note("ssh.listen_failed", &detail).await,
    }
    taken
}

async fn ask(connection: &Arc<Connection>, reach: &Reach, address: &str, port: u32) -> Option<u32> {
    let target = listener(connection, reach).await?;
    let told = target.handle.tcpip_forward(address, port).await.ok()?;
    // A target says which port it took only where it could choose.
    Some(if port == 0 { told } else { port }).filter(|&taken| taken != 0)
}

/// The connection to the target that listens.
async fn listener(connection: &Arc<Connection>, reach: &Reach) -> Option<Arc<Target>> {
    match reach.ports().target() {
        Some(target) => Some(target),
        None => Some(reach.ports().keep(reach.silently(connection).await?)),
    }
}

/// Has the target listen on a socket of its file system, where the terms allow it.
pub(crate) async fn listen_socket(connection: &Arc<Connection>, path: &str) -> bool {
    let Some(reach) = connection.reach().filter(|reach| reach.channels().streamlocal).cloned()
    else {
        Unopened::NoTarget.within(connection).record(connection, path).await;
        return false;
    };
    if !reach.ports().begin_socket(path) {
        Unopened::TooManyPorts.record(connection, path).await;
        return false;
    }
    let asking = async {
        let target = listener(connection, &reach).await?;
        target.handle.streamlocal_forward(path).await.ok()
    };
    let listens = matches!(timeout(TARGET_DEADLINE, asking).await, Ok(Some(())));
    if !listens {
        reach.ports().forget_socket(path);
    }
    reach.note(if listens { "ssh.listen" } else { "ssh.listen_failed" }, path).await;
    listens
}

/// Has the target listen on it no more.
pub(crate) async fn cancel_socket(connection: &Arc<Connection>, path: &str) -> bool {
    let Some(reach) = connection.reach() else { return false };
    let Some(target) = reach.ports().target().filter(|_| reach.ports().forget_socket(path)) else {
        return false;
    };
    reach.note("ssh.listen_ended", path).await;
    let cancelled = timeout(TARGET_DEADLINE, target.handle.cancel_streamlocal_forward(path));
    matches!(cancelled.await, Ok(Ok(())))
}

/// Joins a connection that arrived at a socket of the target with the user's client.
pub(crate) fn join_socket(
    connection: &Arc<Connection>,
    channel: Channel<client::Msg>,
    reply: client::ChannelOpenHandle,
    path: &str,
) {
    if connection.reach().is_some_and(|reach| reach.ports().listens_on(path)) {
        forward::back(connection, Back::Socket(path.to_owned()), channel, reply);
    }
}

/// Has the target listen no more.
pub(crate) async fn cancel(connection: &Arc<Connection>, address: &str, port: u32) -> bool {
    let Some(reach) = connection.reach() else { return false };
    let Some(target) = reach.ports().target().filter(|_| reach.ports().forget(address, port))
    else {
        return false;
    };
    reach.note("ssh.listen_ended", &format!("{address}:{port}")).await;
    let cancelled = timeout(TARGET_DEADLINE, target.handle.cancel_tcpip_forward(address, port));
    matches!(cancelled.await, Ok(Ok(())))
}

/// Joins a connection that arrived at the target with the user's client, which knows where it goes.
pub(crate) fn join(
    connection: &Arc<Connection>,
    channel: Channel<client::Msg>,
    reply: client::ChannelOpenHandle,
    arrived: Arrived,
) {
    let listens = connection.reach().is_some_and(|reach| reach.ports().listens(arrived.port));
    let Some(place) = connection.place().filter(|_| listens) else { return };
    let shared = connection.clone();
    let joining = async move {
        let _place = place;
        tokio::select! {
            biased;
            _ = shared.ending() => {}
            () = carry(&shared, channel, reply, arrived) => {}
        }
    };
    // Without room the reply is dropped with the task, which refuses the channel.
    connection.try_run(joining);
}

async fn carry(
    connection: &Arc<Connection>,
    channel: Channel<client::Msg>,
    reply: client::ChannelOpenHandle,
    arrived: Arrived,
) {
    let (Some(handle), Some(reach)) = (connection.handle(), connection.reach().cloned()) else {
        return;
    };
    let Arrived { address, port, originator, originator_port } = arrived;
    let (address, originator) = (plain(&address, MAX_ADDRESS), plain(&originator, MAX_ADDRESS));
    let from = format!("{originator}:{originator_port} at {address}:{port}");
    let opening = handle.channel_open_forwarded_tcpip(address, port, originator, originator_port);
    let Ok(Ok(user)) = timeout(TARGET_DEADLINE, opening).await else { return };
    reach.note("ssh.forwarded", &from).await;
    reply.accept().await;
    let id = user.id();
    let (reader, writer) = user.split();
    let mut inbox = Inbox::new(reader, id, connection.up.clone());
    let side = UserSide { writer, handle };
    carry_bytes(connection, &reach, &side, &mut inbox, channel, from).await;
}

impl Ports {
    /// Whether something still listens for the user.
    pub(crate) fn is_empty(&self) -> bool {
        let listening = self.lock();
        listening.ports.is_empty() && listening.sockets.is_empty()
    }

    /// Lets go of the connection to the target.
    pub(crate) fn clear(&self) {
        let listening = std::mem::take(&mut *self.lock());
        // Not under the lock: a target that goes may ask what still listens.
        drop(listening);
    }

    fn lock(&self) -> MutexGuard<'_, Listening> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target(&self) -> Option<Arc<Target>> {
        self.lock().target.clone().filter(|target| !target.is_closed())
    }

    fn keep(&self, target: Arc<Target>) -> Arc<Target> {
        target.keep_listening();
        let before = self.lock().target.replace(target.clone());
        drop(before);
        target
    }

    /// Reserves a place for a port that is being asked for. Connections may arrive before the answer
    /// that it is open was read.
    fn begin(&self, address: &str, port: u32) -> bool {
        let mut listening = self.lock();
        let asked = (address.to_owned(), port);
        let free = listening.ports.len() < MAX_PORTS && !listening.ports.contains(&asked);
        if free {
            listening.ports.push(asked);
        }
        free
    }

    fn begin_socket(&self, path: &str) -> bool {
        let mut listening = self.lock();
        let known = listening.sockets.iter().any(|socket| socket == path);
        let free = !known && path.len() <= MAX_ADDRESS && listening.sockets.len() < MAX_PORTS;
        if free {
            listening.sockets.push(path.to_owned());
        }
        free
    }

    fn forget_socket(&self, path: &str) -> bool {
        let mut listening = self.lock();
        let known = listening.sockets.iter().position(|socket| socket == path);
        known.map(|index| listening.sockets.swap_remove(index)).is_some()
    }

    fn listens_on(&self, path: &str) -> bool {
        self.lock().sockets.iter().any(|socket| socket == path)
    }

    fn settle(&self, address: &str, asked: u32, taken: Option<u32>) {
        let mut listening = self.lock();
        let begun =
            listening.ports.iter().position(|(host, port)| host == address && *port == asked);
        match (begun, taken) {
            (Some(index), Some(taken)) => listening.ports[index].1 = taken,
            (Some(index), None) => drop(listening.ports.swap_remove(index)),
            (None, _) => {}
        }
    }

    fn forget(&self, address: &str, port: u32) -> bool {
        let mut listening = self.lock();
        let known =
            listening.ports.iter().position(|(host, open)| host == address && *open == port);
        known.map(|index| listening.ports.swap_remove(index)).is_some()
    }

    /// Targets word their own address as they like; the user's client knows what it asked for.
    fn listens(&self, port: u32) -> bool {
        self.lock().ports.iter().any(|(_, open)| *open == port || *open == 0)
    }
}

/// Ports of one session, and sockets.
const MAX_PORTS: usize = 64;

const MAX_ADDRESS: usize = 255;
