//! `adit rdp APP`: a desktop, with a client of Remote Desktop.

use std::path::{Path, PathBuf};
use std::process::Command;

use access::Kind;
use api::{MyApplication, MyRdpFile, MyRdpLogin, RdpFile, RdpLogin, Secret, Span};
use clap::Args;

use super::db::{beside, ended, find, spawn};
use super::tunnel::{called, fixed};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::stop::Stop;
use crate::times;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub struct RdpArgs {
    /// The application
    #[arg(value_name = "APP")]
    application: String,
    /// Your account at the desktop
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,
    /// Start no client: write the file that one opens, which anybody who has it can use
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Start no client: print that file
    #[arg(long, conflicts_with = "file")]
    print: bool,
    /// Through a port of this machine instead of the relay's RD Gateway
    #[arg(long, conflicts_with_all = ["file", "print", "expires"])]
    tunnel: bool,
    /// How long the file is good, for example 30m [default: as the relay's settings say]
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// What else to give to the client
    #[arg(last = true, value_name = "CLIENT ARGS")]
    rest: Vec<String>,
}

/// Starts a client, or writes what one needs.
pub async fn run(args: &RdpArgs, context: &Context) -> Result<(), Failure> {
    if args.tunnel {
        return Box::pin(by_tunnel(args, context)).await;
    }
    // Before anything is asked of the relay: a token that nobody can use need not be issued.
    let starts = args.file.is_none() && !args.print && !context.ui.wants_json();
    let client = if starts { Some(Client::installed()?) } else { None };
    let wanted = MyRdpFile {
        application: args.application.clone(),
        login: args.user.clone(),
        expires: args.expires,
        uses: None,
    };
    let made: RdpFile = context.post("/api/v1/me/rdp-files", &wanted).await?;
    match (client, &args.file) {
        (Some(client), _) => start(&client, &made, args, context).await,
        (None, Some(path)) => {
            files::replace(path, &encoded(made.text.expose()))?;
            context.ui.say(format_args!("Wrote {}: {}", path.display(), good(&made)));
            show(made.login.as_ref(), &context.ui);
            Ok(())
        }
        (None, None) if context.ui.wants_json() => context.ui.json(&made),
        (None, None) => {
            context.ui.data(made.text.expose().trim_end())?;
            context.ui.say(good(&made));
            show(made.login.as_ref(), &context.ui);
            Ok(())
        }
    }
}

/// Runs a client with the file, which is gone when the client has ended.
async fn start(
    client: &Client,
    made: &RdpFile,
    args: &RdpArgs,
    context: &Context,
) -> Result<(), Failure> {
    let folder = context.settings.state()?.path().join("rdp");
    files::private_dir(&folder)?;
    let file = Written(folder.join(&made.name));
    files::replace(&file.0, &encoded(made.text.expose()))?;
    // Whoever ends this ends the client; and the file is gone either way.
    let mut stop = Stop::new()?;
    let mut command = client.opens(&file.0);
    let password = hand_over(client, made.login.as_ref(), &mut command, &context.ui);
    command.args(&args.rest);
    let mut child = spawn(tokio::process::Command::from(command), password).await?;
    tokio::select! {
        status = child.wait() => ended(status?),
        () = stop.asked() => Ok(()),
    }
}

/// Runs a client beside a tunnel.
async fn by_tunnel(args: &RdpArgs, context: &Context) -> Result<(), Failure> {
    let client = Client::installed()?;
    let mine: Vec<MyApplication> = context.list("/api/v1/me/applications").await?;
    let found = called(&args.application, &mine)?;
    let address = fixed(found, PORT, context)?;
    let name = format!("{}.{}", found.name, found.site);
    let login = match found.kind == Kind::Rdp && found.login.is_ours() {
        true => {
            let wanted = MyRdpLogin { application: name.clone() };
            Some(context.post::<_, RdpLogin>("/api/v1/me/rdp-logins", &wanted).await?)
        }
        false => None,
    };
    let user = login.as_ref().map(|login| login.user.as_str()).or(args.user.as_deref());
    let mut command = client.reaches(&address.to_string(), user)?;
    hand_over(&client, login.as_ref(), &mut command, &context.ui);
    command.args(&args.rest);
    let password = login.as_ref().map(|login| &login.password);
    let status = Box::pin(beside(command, address, &name, password, context)).await?;
    ended(status)
}

/// Has a client signed in with a login that is good once: the password that it is to be handed, where it
/// takes one on its standard input. Any other asks, and its user is told what to answer.
fn hand_over<'a>(
    client: &Client,
    login: Option<&'a RdpLogin>,
    command: &mut Command,
    ui: &Ui,
) -> Option<&'a Secret> {
    let login = login?;
    if client.kind != ClientKind::FreeRdp {
        show(Some(login), ui);
        return None;
    }
    // It asks for what it was not given, and trusts nothing of itself where it can not ask.
    let known = login.certificates.iter().map(|hash| format!("fingerprint:sha256:{}", pairs(hash)));
    let known = known.collect::<Vec<_>>().join(",");
    command.args(["/d:adit", "/from-stdin"]).arg(format!("/cert:{known}"));
    Some(&login.password)
}

fn show(login: Option<&RdpLogin>, ui: &Ui) {
    if let Some(RdpLogin { user, password, expires, .. }) = login {
        let (password, end) = (password.expose(), times::utc(*expires));
        ui.say(format_args!(
            "The client asks for a login. It is good once, until {end}:\n  user      {user}\n  \
             password  {password}"
        ));
    }
}

/// `aa:bb:cc`.
fn pairs(hex: &str) -> String {
    let pairs = hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned());
    pairs.collect::<Vec<_>>().join(":")
}

/// A file that holds a token: gone with this value.
struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        if let Err(error) = files::remove(&self.0) {
            tracing::warn!(%error, file = %self.0.display(), "Could not remove a file with a token");
        }
    }
}

/// A Remote Desktop client of this machine.
#[derive(Debug)]
struct Client {
    program: PathBuf,
    kind: ClientKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientKind {
    FreeRdp,
    /// Windows' own, from its Linux.
    Mstsc,
    /// macOS knows which program opens such files.
    Open,
}

impl Client {
    fn installed() -> Result<Self, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let here = CLIENTS.iter().filter(|(_, kind)| {
            // Elsewhere that is the name of other programs.
            *kind != ClientKind::Open || cfg!(target_os = "macos")
        });
        let found = here.map(|(name, kind)| (find(name, &path), *kind));
        let found =
            found.filter_map(|(program, kind)| Some(Self { program: program?, kind })).next();
        found.ok_or_else(|| {
            Failure::new(Exit::Failed, "there is no Remote Desktop client in the PATH")
                .hint("install FreeRDP (xfreerdp), or `adit rdp APP --file desk.rdp` for another")
        })
    }

    fn opens(&self, file: &Path) -> Command {
        let mut command = Command::new(&self.program);
        match self.kind {
            ClientKind::FreeRdp | ClientKind::Mstsc => command.arg(file),
            // Until the program is closed.
            ClientKind::Open => command.arg("-W").arg(file),
        };
        command
    }

    fn reaches(&self, address: &str, user: Option<&str>) -> Result<Command, Failure> {
        let mut command = Command::new(&self.program);
        command.arg(format!("/v:{address}"));
        match (self.kind, user) {
            (ClientKind::FreeRdp, Some(user)) => {
                command.arg(format!("/u:{user}"));
            }
            (ClientKind::FreeRdp | ClientKind::Mstsc, _) => {}
            (ClientKind::Open, _) => {
                return Err(Failure::new(Exit::Failed, "that needs FreeRDP")
                    .hint("`adit tunnel APP` opens a port for any other client"));
            }
        }
        Ok(command)
    }
}

/// As Windows writes such files, and reads every letter of: UTF-16 with its mark.
fn encoded(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

fn good(made: &RdpFile) -> String {
    let uses = match made.uses {
        Some(1) => "for one connection".to_owned(),
        Some(uses) => format!("for {uses} connections"),
        None => "for any number of connections".to_owned(),
    };
    let until = made.expires.map(times::utc).map(|end| format!(", until {end}"));
    let (until, token) = (until.unwrap_or_default(), &made.token);
    format!("good {uses}{until}; `adit token revoke {token}` ends it")
}

/// The first that is there.
const CLIENTS: [(&str, ClientKind); 6] = [
    ("xfreerdp3", ClientKind::FreeRdp),
    ("sdl-freerdp3", ClientKind::FreeRdp),
    ("xfreerdp", ClientKind::FreeRdp),
    ("wlfreerdp", ClientKind::FreeRdp),
    ("mstsc.exe", ClientKind::Mstsc),
    ("open", ClientKind::Open),
];
const PORT: u16 = 3389;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_as_windows_does() {
        assert_eq!(encoded("a\u{fc}"), [0xff, 0xfe, b'a', 0, 0xfc, 0]);
    }

    #[test]
    fn each_client_is_told_in_its_own_way() {
        let client = |kind| Client { program: "client".into(), kind };
        let words = |command: &Command| -> Vec<String> {
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
        };
        let opens = |kind| words(&client(kind).opens(Path::new("desk.rdp")));
        assert_eq!(opens(ClientKind::FreeRdp), ["desk.rdp"]);
        assert_eq!(opens(ClientKind::Open), ["-W", "desk.rdp"]);
        let reaches = |kind| client(kind).reaches("127.0.0.2:3389", Some("alice"));
        let free = reaches(ClientKind::FreeRdp).unwrap();
        assert_eq!(words(&free), ["/v:127.0.0.2:3389", "/u:alice"]);
        assert_eq!(words(&reaches(ClientKind::Mstsc).unwrap()), ["/v:127.0.0.2:3389"]);
        assert!(reaches(ClientKind::Open).is_err());
    }

    #[test]
    fn a_password_is_handed_over_where_nobody_sees_it() {
        let client = Client { program: "client".into(), kind: ClientKind::FreeRdp };
        let login = RdpLogin {
            user: "adit-x".to_owned(),
            password: "only once".to_owned().into(),
            certificates: vec!["aabbcc".to_owned()],
            expires: 0,
        };
        let mut command = client.opens(Path::new("desk.rdp"));
        let ui = crate::testing::Paper::default().ui(false);
        let password = hand_over(&client, Some(&login), &mut command, &ui);
        assert_eq!(password.map(Secret::expose), Some("only once"));
        let words = format!("{command:?}");
        assert!(words.contains("/from-stdin") && words.contains("sha256:aa:bb:cc"), "{words}");
        assert!(!words.contains("only once"), "{words}");
    }

    #[test]
    fn a_file_with_a_token_is_gone_with_its_client() {
        let dir = tempfile::tempdir().unwrap();
        let file = Written(dir.path().join("desk.rdp"));
        files::replace(&file.0, b"token").unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
