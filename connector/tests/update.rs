//! Updates against relays that hand on what they should not, and programs that do not do what they
//! should.
#![allow(clippy::unwrap_used, reason = "clippy takes a test's helpers for no test")]

#[path = "../../crates/tunnel/tests/relay/mod.rs"]
mod relay;

use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::update::{Digest, File, MAX_FILE, Manifest, PublicKey, Ring, Signed, Signer, Version, Why};
use adit_connector::allow::AllowList;
use adit_connector::config::{self, ProxyChoice};
use adit_connector::dial::SystemResolver;
use adit_connector::orders::Order;
use adit_connector::run::{Ended, run};
use adit_connector::serve::Site;
use adit_connector::update::{
    Done, Gate, Kept, Settings, Swapped, UpdateError, Updater, trial_said,
};
use bytes::Bytes;
use relay::{TestRelay, how, within};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tunnel::{Connection, Stream};
use wire::{Fetch, Header, Mode, Refusal, Reply, VERSIONS, VersionRange};

#[tokio::test]
async fn a_genuine_update_takes_the_programs_place_and_the_one_before_stays_beside_it() {
    let rig = Rig::start().await;
    let new = good(&next());
    let mut steps = Vec::new();
    let done = rig.update(rig.serves(&new), |step| steps.push(step)).await.unwrap();
    assert_eq!(done, Done::Swapped { version: next(), cut: 0 });
    assert_eq!(std::fs::read_to_string(&rig.updater.program).unwrap(), new);
    let kept = Kept::read(&rig.updater.state);
    let swapped = kept.swapped.unwrap();
    assert_eq!((swapped.to, kept.serial), (next(), 7));
    assert_eq!(std::fs::read_to_string(swapped.previous).unwrap(), OLD);
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(rig.site.orders.now().is_drain(), "sessions began after draining");
}

#[tokio::test]
async fn nothing_but_what_the_publisher_signed_is_ever_started() {
    let rig = Rig::start().await;
    let new = good(&next());
    // Whatever is started writes here.
    let trace = rig.dir.path().join("started");
    let evil = format!("#!/bin/sh\necho x >> {}\n", trace.display());
    let (other, _) = Signer::generate().unwrap();
    let cut = |at: usize| new.as_bytes()[..at].to_vec();
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = rig.manifest(&new);
        change(&mut manifest);
        manifest.sign(&rig.signer)
    };
    let same = with(&|_| ());
    let longer = [new.as_bytes(), b"more"].concat();
    let table: Vec<(&str, Signed, Vec<u8>)> = vec![
        ("update.signature", rig.manifest(&new).sign(&other), new.clone().into()),
        ("update.hash", same.clone(), evil.clone().into_bytes().repeat(9)[..new.len()].to_vec()),
        ("update.truncated", same.clone(), cut(new.len() - 1)),
        ("update.truncated", same.clone(), Vec::new()),
        ("update.too_long", same.clone(), longer),
        ("update.too_large", with(&|m| m.files[0].size = MAX_FILE + 1), new.clone().into()),
        ("update.downgrade", with(&|m| m.version = Version::new(0, 0, 1)), new.clone().into()),
        ("update.expired", with(&|m| m.expires = 1), new.clone().into()),
        ("update.program", with(&|m| m.program = "adit-relay".into()), new.clone().into()),
        (
            "update.platform",
            with(&|m| m.files[0].platform = "pdp11-unix".into()),
            new.clone().into(),
        ),
        ("update.too_old", with(&|m| m.minimum = Some(next())), new.clone().into()),
        // Signed, and not what it says it is.
        ("update.check", with(&|m| m.version = Version::new(99, 0, 0)), new.clone().into()),
    ];
    for (code, signed, file) in table {
        let refused = rig.update((signed, file), |_| {}).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(!refused.hint().is_empty());
        rig.is_untouched(code);
    }
    assert!(!trace.exists(), "what nobody signed was started");
}

#[tokio::test]
async fn an_older_manifest_does_not_come_back_once_a_newer_one_was_seen() {
    let rig = Rig::start().await;
    let new = good(&next());
    let older = rig.serves(&new);
    // Seen, though its ring has not come.
    let newer = Manifest { serial: 8, ring: Ring::First, ..rig.manifest(&new) }.sign(&rig.signer);
    let seen = rig.update((newer, Vec::new()), |_| {}).await.unwrap();
    assert_eq!(seen, Done::Nothing(Why::Later));
    let replayed = rig.update(older, |_| {}).await.unwrap_err();
    assert_eq!(replayed.code(), "update.replayed");
    rig.is_untouched("a replayed manifest");
}

#[tokio::test]
async fn a_program_that_does_not_reach_the_relay_is_left_and_not_tried_again() {
    for (why, run) in [("it fails", "exit 3"), ("it hangs", "sleep 60"), ("it lies", "echo hello")]
    {
        let rig = Rig::start().await;
        let new = script(&next(), run);
        let failed = rig.update(rig.serves(&new), |_| {}).await.unwrap_err();
        assert_eq!(failed.code(), "update.unreached", "{why}: {failed}");
        rig.is_untouched(why);
        assert_eq!(Kept::read(&rig.updater.state).failed, [next()], "{why}");
        let again = rig.update(rig.serves(&new), |_| {}).await.unwrap();
        assert_eq!(again, Done::Nothing(Why::Failed), "{why}");
    }
}

#[tokio::test]
async fn a_program_that_can_not_be_tried_as_the_relay_is_gone_may_be_tried_later() {
    let rig = Rig::start().await;
    let new = script(&next(), "sleep 1; exit 3");
    let serves = rig.serves(&new);
    let relay = rig.relay.clone();
    let gone = rig.update(serves, move |step| {
        if step == adit_connector::update::Step::Trying {
            relay.close(access::EndReason::Broken, "gone");
        }
    });
    assert_eq!(gone.await.unwrap_err().code(), "update.unreached");
    assert_eq!(Kept::read(&rig.updater.state).failed, []);
}

#[tokio::test]
async fn without_a_publishers_key_and_from_a_relay_of_before_nothing_is_taken() {
    let mut rig = Rig::start().await;
    let new = good(&next());
    Arc::get_mut(&mut rig.updater).unwrap().settings.key = None;
    let refused = rig.update(rig.serves(&new), |_| {}).await.unwrap_err();
    assert_eq!(refused.code(), "update.no_key");
    let before = VersionRange { min: 1, max: VERSIONS.max - 1 };
    let rig = Rig::speaking(before).await;
    let refused = rig.update(rig.serves(&new), |_| {}).await.unwrap_err();
    assert_eq!(refused.code(), "wire.version");
}

#[tokio::test]
async fn a_program_in_anothers_place_that_reaches_no_relay_is_put_back_and_one_that_does_stays() {
    let relay = TestRelay::start();
    for (reached, starts) in [(true, 0), (false, 0), (false, 3)] {
        let dir = tempfile::tempdir().unwrap();
        let (state, program) = (dir.path(), dir.path().join("program"));
        relay.ca.identity("connector:1").save(state).unwrap();
        let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let nobody = nobody.local_addr().unwrap().to_string();
        let quic = if reached { relay.address() } else { nobody };
        let proxy = ProxyChoice::None;
        let text = config::template("https://127.0.0.1:1", "relay.test", &quic, &proxy, &[]);
        let (signer, _) = Signer::generate().unwrap();
        let section = config::update_section(&signer.public().to_string(), false);
        let text = text + &section + "reach = \"2s\"\n";
        std::fs::write(state.join("connector.toml"), text).unwrap();
        std::fs::write(&program, "new").unwrap();
        let previous = dir.path().join("program.previous");
        std::fs::write(&previous, "old").unwrap();
        let to = adit_connector::version();
        let from = Version::new(0, 0, 1);
        let swapped = Swapped { from, to: to.clone(), program: program.clone(), previous, starts };
        Kept { swapped: Some(swapped), ..Kept::default() }.write(state).unwrap();

        let stop = CancellationToken::new();
        let mut running = Box::pin(run(state, Duration::from_secs(1), stop.clone()));
        if reached {
            let stays = async {
                let _connection = relay.welcome().await;
                while Kept::read(state).swapped.is_some() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                _ = &mut running => panic!("it ended"),
                () = within(stays) => stop.cancel(),
            }
            assert_eq!(within(running).await.unwrap(), Ended::Stopped);
            assert_eq!(std::fs::read_to_string(&program).unwrap(), "new");
        } else {
            let ended = within(running).await.unwrap();
            assert_eq!(ended, Ended::Replaced { program: program.clone() });
            assert_eq!(std::fs::read_to_string(&program).unwrap(), "old");
            assert_eq!(Kept::read(state).failed, [to]);
            assert!(Gate::at_start(state).is_ok(), "the one that is back has nothing to show");
        }
    }
}

/// A connector with a program of its own, and a relay that hands on whatever the test says.
struct Rig {
    dir: tempfile::TempDir,
    signer: Signer,
    updater: Arc<Updater>,
    site: Site,
    relay: Connection,
    _test: TestRelay,
}

impl Rig {
    async fn start() -> Self {
        Self::speaking(VERSIONS).await
    }

    async fn speaking(versions: VersionRange) -> Self {
        let test = TestRelay::start();
        let address = test.address();
        let identity = test.ca.identity("connector:1");
        let dial = tunnel::dial_out_speaking(how(&address, identity), versions);
        let (relay, machine) = within(async { tokio::join!(test.welcome(), dial) }).await;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("bin/program");
        std::fs::create_dir(program.with_file_name("")).unwrap();
        write(&program, OLD);
        let (signer, _) = Signer::generate().unwrap();
        let settings = settings(signer.public());
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let updater = Updater::new(&state, settings, program, "instance".to_owned());
        updater.links.set(0, Some(machine.unwrap()));
        let site = Site::new(AllowList::new(None), Box::new(SystemResolver));
        Self { dir, signer, updater: Arc::new(updater), site, relay, _test: test }
    }

    fn manifest(&self, program: &str) -> Manifest {
        let file = File {
            platform: ::update::platform(),
            sha256: Digest::of(program.as_bytes()),
            size: program.len() as u64,
        };
        Manifest {
            program: "adit-connector".to_owned(),
            version: next(),
            serial: 7,
            expires: unix() + 60,
            minimum: None,
            ring: Ring::All,
            files: vec![file],
        }
    }

    fn serves(&self, program: &str) -> (Signed, Vec<u8>) {
        (self.manifest(program).sign(&self.signer), program.into())
    }

    async fn update(
        &self,
        (signed, file): (Signed, Vec<u8>),
        tell: impl FnMut(adit_connector::update::Step) + Send,
    ) -> Result<Done, UpdateError> {
        let (relay, mut serving) = (self.relay.clone(), JoinSet::new());
        serving.spawn(async move {
            while let Ok(stream) = relay.accept().await {
                serve(stream, &signed, &file).await;
            }
        });
        within(self.updater.update(&self.site, Duration::from_secs(5), tell)).await
    }

    /// The program is the old one, nothing lies beside it, and sessions are taken.
    fn is_untouched(&self, why: &str) {
        assert_eq!(std::fs::read_to_string(&self.updater.program).unwrap(), OLD, "{why}");
        let folder = self.updater.program.parent().unwrap();
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "{why}");
        assert_eq!(self.site.orders.now(), Order::Serve, "{why}");
        assert_eq!(Kept::read(&self.updater.state).swapped, None, "{why}");
    }
}

async fn serve(mut stream: Stream, signed: &Signed, file: &[u8]) {
    let Ok(Header::Fetch(fetch)) = stream.recv_frame::<Header>().await else { return };
    let opened = Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() };
    stream.send_frame(&opened).await.unwrap();
    match fetch {
        Fetch::Manifest => stream.send_frame(signed).await.unwrap(),
        Fetch::File { .. } => {
            let mut bytes = Bytes::copy_from_slice(file);
            while !bytes.is_empty() {
                // Who has had enough does not take the rest.
                if poll_fn(|cx| splice::Stream::poll_send(&mut stream, cx, &mut bytes))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
        Fetch::Unknown => {
            let refusal = Refusal { code: "a.b".into(), message: "no".into(), hint: None };
            stream.send_frame(&Reply::Refused(refusal)).await.unwrap();
        }
    }
    stream.deliver().await;
}

fn settings(key: PublicKey) -> Settings {
    Settings {
        key: Some(key),
        automatic: false,
        ring: Ring::All,
        every: Duration::from_secs(3600),
        within: Duration::from_secs(5),
        reach: Duration::from_secs(2),
    }
}

/// The version after this one.
fn next() -> Version {
    let this = adit_connector::version();
    Version::new(this.major, this.minor, this.patch + 1)
}

/// A program that says that it reaches the relay.
fn good(version: &Version) -> String {
    script(version, &format!("echo {}", trial_said(version)))
}

/// A program of this version, and what it does when it is tried.
fn script(version: &Version, trial: &str) -> String {
    format!(
        "#!/bin/sh\ncase $1 in\n--version) echo adit-connector {version};;\nself-test) ;;\n\
         trial) {trial};;\n*) exit 1;;\nesac\n"
    )
}

fn write(path: &Path, text: &str) {
    let path: PathBuf = path.to_owned();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

const OLD: &str = "#!/bin/sh\nexit 0\n";
