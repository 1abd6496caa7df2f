//! What a grant's section `ssh` allows, with the clients that would do more.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use crate::bench::{Bench, SOON};
use access::{Allowed, Sftp, SshTerms};

#[test]
fn sftp_that_may_only_read_reads_everything_and_changes_nothing() {
    let bench = Bench::of(SshTerms { sftp: Some(Sftp::Read), ..SshTerms::default() });
    let (there, here) = (bench.path("there"), bench.path("here"));
    let bytes: Vec<u8> =
        (0..20u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&there, &bytes).unwrap();
    let (dir, there, here) =
        (bench.dir.path().display().to_string(), there.display().to_string(), here.display());
    let read = bench.sftp(&format!("cd {dir}\nls -l\nget {there} {here}\ndf\nls -l {there}\n"));
    assert!(read.code() == Some(0) && read.text().contains("batch"), "{}", read.both());
    assert!(std::fs::read(bench.path("here")).unwrap() == bytes, "what arrived is another");
    for (line, noted) in [
        (format!("put {here} {dir}/new"), format!("open {dir}/new")),
        (format!("put {here} {there}"), format!("open {there}")),
        (format!("rm {there}"), format!("remove {there}")),
        (format!("mkdir {dir}/new"), format!("mkdir {dir}/new")),
        (format!("rename {there} {dir}/new"), "extended posix-rename@openssh.com".to_owned()),
        (format!("ln {there} {dir}/new"), "extended hardlink@openssh.com".to_owned()),
        (format!("ln -s {there} {dir}/new"), format!("symlink {there}")),
        (format!("chmod 600 {there}"), format!("setstat {there}")),
    ] {
        let refused = bench.sftp(&format!("{line}\n"));
        assert_ne!(refused.code(), Some(0), "{line}");
        assert!(refused.both().contains("ermission denied"), "{line}: {}", refused.both());
        bench.noted(&format!("ssh.sftp_refused {noted}"));
    }
    assert!(!bench.path("new").exists() && std::fs::read(&there).unwrap() == bytes);
    // One that is refused does not end what else goes on.
    let both = bench.sftp(&format!("-mkdir {dir}/new\nget {there} {here}2\n"));
    assert_eq!(both.code(), Some(0), "{}", both.both());
    for refused in
        [vec!["-O", &there, "x+web1@127.0.0.1:/tmp/x"], vec![&there, "x+web1@127.0.0.1:/tmp/x"]]
    {
        let mut scp = Command::new("scp");
        scp.args(bench.with_config(&refused.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()));
        assert_ne!(testkit::run(&mut scp, SOON).unwrap().code(), Some(0), "{refused:?}");
    }
}

#[test]
fn a_grant_may_be_for_copies_and_for_no_other_command() {
    let ssh = SshTerms { shell: false, exec: Allowed::none(), ..SshTerms::default() };
    let bench = Bench::of(SshTerms { scp: Some(true), sftp: Some(Sftp::Off), ..ssh });
    let (original, copy) = (bench.path("original"), bench.path("copy"));
    std::fs::write(&original, "content").unwrap();
    let there = format!("x+web1@127.0.0.1:{}", copy.display());
    let rsh = format!("ssh -F {}", bench.path("config").display());
    let original = original.display().to_string();
    for (tool, arguments) in [
        ("scp", bench.with_config(&["-O".into(), original.clone(), there.clone()])),
        ("rsync", vec!["-a".into(), "-e".into(), rsh, original, there]),
    ] {
        let output = testkit::run(Command::new(tool).args(arguments), SOON).unwrap();
        assert_eq!(output.code(), Some(0), "{tool}: {}", output.both());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "content");
        std::fs::remove_file(&copy).unwrap();
    }
    for command in ["id", "scp -t /tmp/x; id", "rsync --server --daemon ."] {
        let refused = bench.ssh(&[], command);
        assert!(refused.stderr.contains("(access.ssh)"), "{command}: {}", refused.both());
    }
}

#[test]
fn forwards_lead_where_the_grant_says_and_ssh_in_them_is_recorded() {
    let bench = Bench::start();
    let address = bench.sshd.address();
    drop(bench);
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let bench = Bench::of(SshTerms {
        local: Some(Allowed::from(vec![format!("*:{port}")])),
        ..SshTerms::default()
    });
    // The list names the port of a server that is gone: what is asked elsewhere is refused.
    let open = bench.sshd.address();
    let refused = bench.ssh(&["-W", &open], "");
    assert!(refused.code() != Some(0), "{}", refused.both());
    bench.noted(&format!("ssh.forward_refused {open}"));
    let agent = bench.ssh(&["-A"], "echo ${SSH_AUTH_SOCK:-none}");
    assert_eq!(agent.text(), "none\n");
    drop(bench);
    let any = SshTerms { local: Some(Allowed::All), ..SshTerms::default() };
    let bench = Bench::of(any);
    let open = bench.sshd.address();
    let through = testkit::run(bench.command(&["-W", &open], "").stdin(Stdio::null()), SOON);
    assert!(through.unwrap().text().starts_with("SSH-2.0-"));
    bench.noted(&format!("ssh.forward {open}"));
    bench.noted(&format!("ssh.forward_carries_ssh {open}"));
    let listen = bench.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:x:1"], "true");
    assert_ne!(listen.code(), Some(0), "only -L is allowed");
    bench.noted("ssh.forward_refused 127.0.0.1:0");
}

#[test]
fn sockets_are_forwarded_both_ways_where_they_may() {
    let bench = Bench::of(SshTerms { streamlocal: true, ..SshTerms::default() });
    let (end, near) = (bench.path("end"), bench.path("near"));
    let served = UnixListener::bind(&end).unwrap();
    let _serving = std::thread::spawn(move || {
        for mut socket in served.incoming().flatten() {
            socket.write_all(b"hello\n").unwrap();
        }
    });
    for (way, action) in [("-L", "ssh.forward"), ("-R", "ssh.listen")] {
        let leads = format!("{}:{}", near.display(), end.display());
        let options = [way, leads.as_str(), "-N", "-o", "ExitOnForwardFailure=yes"];
        let _ssh = bench.spawn(&options, "");
        // Its name is there a moment before somebody listens.
        let socket = testkit::until(SOON, "the socket", || UnixStream::connect(&near).ok());
        let mut said = String::new();
        BufReader::new(socket.unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "hello\n", "{way}");
        let what = if way == "-L" { &end } else { &near };
        bench.noted(&format!("{action} {}", what.display()));
        std::fs::remove_file(&near).unwrap();
    }
}

/// `ssh -w` wants one of these, and a device at the client before it asks.
#[test]
fn a_channel_of_a_type_that_the_door_has_not_is_refused_by_name_and_on_record() {
    let bench = Bench::start();
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", OTHER_TYPES, &bench.port(), &bench.token]);
    let said = testkit::run(&mut python, SOON).unwrap().ok().unwrap();
    // "Unknown channel type" by RFC 4254, section 5.1, each time, and the connection goes on.
    assert_eq!(said, "3\n3\n3\n3\n3\nstill here\n");
    for name in ["tun@openssh.com", "auth-agent@openssh.com", "forwarded-tcpip", "x11", "a[2Jb"] {
        bench.noted(&format!("ssh.channel_refused no channels of the type {name} are opened"));
    }
}

const OTHER_TYPES: &str = r#"
import paramiko, sys
t = paramiko.Transport(("127.0.0.1", int(sys.argv[1])))
t.connect(username="x+web1", password=sys.argv[2])
here = ("127.0.0.1", 6000)
for kind in "tun@openssh.com", "auth-agent@openssh.com", "forwarded-tcpip", "x11", "a\x1b[2J\nb":
    try:
        t.open_channel(kind, here, here)
        print("opened")
    except paramiko.ChannelException as e:
        print(e.code)
s = t.open_session()
s.exec_command("echo still here")
print(s.makefile().read().decode().strip())
"#;

#[test]
fn windows_reach_the_users_display_where_they_may() {
    // The client looks at the cookie and passes on nothing; that it was asked is what counts.
    let served = TcpListener::bind("127.0.0.1:0").unwrap();
    let display = format!("127.0.0.1:{}", served.local_addr().unwrap().port() - 6000);
    let script = "echo $DISPLAY; port=$((6000 + $(echo $DISPLAY | cut -d: -f2 | cut -d. -f1))); \
                  exec 3<>/dev/tcp/127.0.0.1/$port; printf 'l\\0\\013\\0\\0\\0\\0\\0\\0\\0\\0\\0' >&3; cat <&3";
    let command = format!("bash -c \"{}\"", script.replace('$', "\\$"));
    let asks = |bench: &Bench| {
        let mut ssh = bench.command(&["-Y", "-o", "LogLevel=INFO"], &command);
        testkit::run(ssh.env("DISPLAY", &display), SOON).unwrap()
    };
    let bench = Bench::of(SshTerms { x11: true, ..SshTerms::default() });
    let shown = asks(&bench);
    assert!(shown.text().starts_with("localhost:"), "{}", shown.both());
    assert!(shown.stderr.contains("wrong authentication"), "{}", shown.both());
    bench.noted("ssh.x11");
    let bench = Bench::of(SshTerms::default());
    let refused = asks(&bench);
    assert_eq!(refused.text().trim(), "", "{}", refused.both());
    bench.noted("ssh.x11_refused");
}
