//! A thousand live sessions over ten applications, and every way to take access back.

use std::net::TcpStream;
use std::thread;

use super::*;

#[test]
fn a_thousand_sessions_end_at_once_whatever_is_withdrawn() -> Result<()> {
    let world = World::start()?;
    let restore = document(&world);
    for (way, ended, withdraw) in WAYS {
        world.deployment.apply(&restore)?.ok()?;
        let crowd = Crowd::open(&world)?;
        let started = Instant::now();
        let args = withdraw(&world)?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (said, slowest) = thread::scope(|scope| -> Result<_> {
            let waiting = scope.spawn(|| crowd.wait(*ended, started));
            let said = world.deployment.admin(&args)?.ok()?;
            Ok((said, waiting.join().map_err(|_| anyhow::anyhow!("{way}: the wait panicked"))??))
        })?;
        // What the command takes to start is in it.
        println!(
            "{way}: {ended} sessions, the slowest after {} ms; {}",
            slowest.as_millis(),
            said.trim()
        );
        assert!(slowest < Duration::from_secs(5), "{way}: {slowest:?}");
        let left = SESSIONS - ended;
        eventually(SOON, "the others are open", || sessions(&world) == Some(left))?;
        let receipts = world.deployment.audit("access.withdrawn")?;
        let receipt = receipts.last().with_context(|| format!("{way}: a receipt"))?;
        assert_eq!(receipt["event"]["ended"], *ended, "{way}: {receipt}");
        drop(crowd);
        eventually(SOON, "all sessions have ended", || sessions(&world) == Some(0))?;
    }
    Ok(())
}

type Withdraw = fn(&World) -> Result<Vec<String>>;

/// The way, how many sessions stand on it, and the arguments of `adit admin` that take it back.
const WAYS: &[(&str, usize, Withdraw)] = &[
    ("every token of the user", SESSIONS, |_| words("token revoke --user carol")),
    ("the tokens of one application", EACH, |_| words("token revoke --application crowd3")),
    ("the grant", SESSIONS, |world| Ok(vec!["grant".into(), "rm".into(), grant_of_staff(world)?])),
    ("the user's place in the group", SESSIONS, |world| {
        let file = world.deployment.dir().join("left.toml");
        std::fs::write(&file, "[[group]]\nname = \"staff\"\nmembers = []\n")?;
        words(&format!("apply -f {}", file.display()))
    }),
    ("the group", SESSIONS, |_| words("group rm staff")),
    ("one application", EACH, |_| words("app rm crowd3")),
    ("one session", 1, |world| {
        let session = world.deployment.sessions()?;
        let id = session[SESSIONS / 2]["id"].as_str().context("an id")?.to_owned();
        Ok(vec!["session".into(), "kill".into(), id])
    }),
    // The last: a disabled user stays so.
    ("the user", SESSIONS, |_| words("user disable carol")),
];

/// Live sessions, by application: connections that each have carried a byte.
struct Crowd {
    tunnels: Vec<(Process, Vec<TcpStream>)>,
}

impl Crowd {
    fn open(world: &World) -> Result<Self> {
        let one = |n: usize| {
            let application = format!("crowd{n}");
            let token = world.deployment.token("carol", &application, &["--uses", "10000"])?;
            let mut adit = world.deployment.adit("nobody");
            adit.env("ADIT_TOKEN", token);
            let (tunnel, port) = world.deployment.tunnel_by(adit, &application)?;
            Ok((tunnel, connect(port, EACH)?))
        };
        let tunnels = (0..APPLICATIONS).map(one).collect::<Result<_>>()?;
        assert_eq!(sessions(world), Some(SESSIONS));
        Ok(Self { tunnels })
    }

    /// Waits until this many have ended, and says how long after `started` the last one did.
    fn wait(&self, count: usize, started: Instant) -> Result<Duration> {
        let streams = || self.tunnels.iter().flat_map(|(_, streams)| streams);
        for stream in streams() {
            stream.set_nonblocking(true)?;
        }
        let mut open: Vec<&TcpStream> = streams().collect();
        let left = SESSIONS - count;
        until(SOON, "the sessions end", || {
            open.retain(|stream| !is_over(stream));
            (open.len() <= left).then(|| started.elapsed())
        })
    }
}

fn is_over(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

fn document(world: &World) -> String {
    let one = |n: usize| {
        let name = format!("crowd{n}");
        application(&name, "tcp", &world.echo.address()) + "[application.tags]\ncrowd = \"yes\"\n"
    };
    let applications: String = (0..APPLICATIONS).map(one).collect();
    format!(
        "[[user]]\nname = \"carol\"\n[[group]]\nname = \"staff\"\nmembers = [\"carol\"]\n\
         {applications}[[grant]]\ngroup = \"staff\"\ntag = \"crowd=yes\"\n"
    )
}

fn grant_of_staff(world: &World) -> Result<String> {
    let grants = world.deployment.admin_json(&["grant", "ls"])?;
    let grants = grants.as_array().context("grants")?;
    let of_staff = grants.iter().find(|grant| grant["grant"]["group"] == "staff");
    Ok(of_staff.context("the group's grant")?["id"].as_str().context("an id")?.to_owned())
}

fn words(line: &str) -> Result<Vec<String>> {
    Ok(line.split(' ').map(str::to_owned).collect())
}

const APPLICATIONS: usize = 10;
const EACH: usize = 100;
const SESSIONS: usize = APPLICATIONS * EACH;
