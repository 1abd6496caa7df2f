//! Which application, where the user has named none or one that several sites have: asked at their
//! terminal, and told where they have none.

use std::sync::Arc;
use std::time::Duration;

use access::{Application, Authenticated, Kind};
use russh::{ChannelMsg, ChannelWriteHalf, server};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::inbox::Inbox;
use crate::keys::{Key, Keys};
use crate::menu::{Entry, Menu, Step, pick, plain_list};
use crate::reach::Reach;
use crate::terminal::{Gone, Terminal};
use crate::words;

/// What is known of the terminal that asks.
pub(crate) struct Asking<'a> {
    pub(crate) inbox: &'a mut Inbox,
    pub(crate) writer: &'a ChannelWriteHalf<server::Msg>,
    pub(crate) term: &'a str,
    /// Columns, rows, and both in pixels: kept as the terminal last told them.
    pub(crate) size: &'a mut [u32; 4],
}

/// Lets the user pick one of the SSH applications they can reach, and opens it. `Ok(None)`: they
/// left.
pub(crate) async fn application(
    connection: &Arc<Connection>,
    mut asking: Asking<'_>,
) -> Result<Option<Arc<Reach>>, String> {
    let Some(who) = connection.who() else { return Err(words::INTERNAL.to_owned()) };
    let applications = reachable(connection, who);
    if applications.is_empty() {
        return Err(words::NOTHING_REACHABLE.to_owned());
    }
    let chosen = async {
        let index = asking.choose(connection, &applications).await?;
        let login = asking.login(connection, &applications[index]).await?;
        Ok::<_, Gone>((index, login))
    };
    let Ok(Ok((index, login))) = timeout(CHOICE_DEADLINE, chosen).await else { return Ok(None) };
    let opening = Reach::open(connection, who, applications[index].clone(), &login);
    asking.inbox.during(opening).await.map(Some)
}

/// What who has no terminal is told: how to name an application, and which there are.
pub(crate) fn unnamed(connection: &Connection) -> String {
    let Some(who) = connection.who() else { return words::INTERNAL.to_owned() };
    let applications = reachable(connection, who);
    let asked = connection.asked();
    let named = |app: &&Arc<Application>| {
        asked.is_none_or(|asked| app.name.as_str() == asked || app.label() == asked)
    };
    let names: Vec<_> = applications.iter().filter(named).map(|app| app.full_name()).collect();
    words::unnamed(asked, &names, &connection.gateway.domain)
}

fn reachable(connection: &Connection, who: &Authenticated) -> Vec<Arc<Application>> {
    let policy = connection.gateway.broker.policy();
    let ssh = |app: &&&Arc<Application>| app.kind == Kind::Ssh;
    policy.reachable(who).iter().filter(ssh).copied().cloned().collect()
}

impl Asking<'_> {
    async fn choose(
        &mut self,
        connection: &Connection,
        applications: &[Arc<Application>],
    ) -> Result<usize, Gone> {
        let entries = applications.iter().map(|app| Entry::of(app)).collect();
        let title = &connection.texts.menu_title;
        // What moves no cursor says so, or says nothing.
        if matches!(self.term, "" | "dumb") {
            return self.choose_by_line(title, entries).await;
        }
        let typed = connection.asked().unwrap_or_default();
        let mut menu = Menu::new(title, entries, typed, (self.size[0], self.size[1]));
        let picked = self.browse(&mut menu).await?;
        self.show(menu.close(picked)).await?;
        picked.ok_or(Gone)
    }

    /// `Ok(None)`: the user leaves, and their terminal is still there.
    async fn browse(&mut self, menu: &mut Menu) -> Result<Option<usize>, Gone> {
        let mut keys = Keys::default();
        loop {
            self.show(menu.draw()).await?;
            let patience = if keys.is_escaping() { ESCAPE_TIME } else { IDLE };
            let step = match timeout(patience, self.inbox.next()).await {
                Ok(Some(ChannelMsg::Data { data })) => self.press(menu, &mut keys, data),
                Ok(Some(ChannelMsg::WindowChange {
                    col_width,
                    row_height,
                    pix_width,
                    pix_height,
                })) => {
                    *self.size = [col_width, row_height, pix_width, pix_height];
                    menu.resize((col_width, row_height));
                    Step::Stay
                }
                Ok(Some(ChannelMsg::Eof | ChannelMsg::Close) | None) => return Err(Gone),
                // Signals and the like mean nothing to a menu.
                Ok(Some(_)) => Step::Stay,
                Err(_) => Step::Left,
            };
            match step {
                Step::Stay => {}
                Step::Picked(index) => return Ok(Some(index)),
                Step::Left => return Ok(None),
            }
        }
    }

    /// What is typed behind the choice is for the application.
    fn press(&mut self, menu: &mut Menu, keys: &mut Keys, mut data: bytes::Bytes) -> Step {
        while !data.is_empty() {
            let byte = data.split_to(1)[0];
            let step = keys.feed(byte).map_or(Step::Stay, |key: Key| menu.key(key));
            if step != Step::Stay {
                self.inbox.put_back(data);
                return step;
            }
        }
        Step::Stay
    }

    async fn choose_by_line(&mut self, title: &str, entries: Vec<Entry>) -> Result<usize, Gone> {
        let mut terminal = Terminal { inbox: &mut *self.inbox, writer: self.writer };
        terminal.show(&plain_list(title, &entries)).await?;
        for _ in 0..TRIES {
            if let Some(index) = pick(&terminal.typed_line().await?, &entries) {
                return Ok(index);
            }
            terminal.show("Not in the list. Number or name: ").await?;
        }
        Err(Gone)
    }

    /// The account at the target: as signed in with, or asked for where that says none.
    async fn login(
        &mut self,
        connection: &Connection,
        application: &Application,
    ) -> Result<String, Gone> {
        let login = connection.login();
        if !application.login.account(login).is_empty() {
            return Ok(login.to_owned());
        }
        let mut terminal = Terminal { inbox: &mut *self.inbox, writer: self.writer };
        for _ in 0..TRIES {
            terminal.show(&words::login_prompt(application)).await?;
            let line = terminal.typed_line().await?;
            let login = line.trim();
            if !login.is_empty() && !login.chars().any(access::text::is_hidden) {
                return Ok(login.to_owned());
            }
        }
        Err(Gone)
    }

    async fn show(&mut self, text: String) -> Result<(), Gone> {
        Terminal { inbox: &mut *self.inbox, writer: self.writer }.show(&text).await
    }
}

/// Nobody presses a key for so long.
const IDLE: Duration = Duration::from_secs(120);
/// For all of it, whatever is pressed.
const CHOICE_DEADLINE: Duration = Duration::from_secs(600);
/// A terminal's sequence follows its escape at once; a person's next key does not.
const ESCAPE_TIME: Duration = Duration::from_millis(150);
const TRIES: usize = 5;
