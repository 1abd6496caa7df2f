//! What the audit log is told of commands and of files, with the clients that move them.

use std::fs;
use std::process::Command;

use access::{Sftp, SshTerms};
use serde_json::Value;
use testkit::eventually;

use crate::bench::{Bench, SOON};

#[test]
fn the_end_of_a_command_is_told_with_how_it_ended_and_what_it_carried() {
    let bench = Bench::start();
    let mut ssh = bench.command(&[], "cat; exit 7");
    let output = testkit::run_with_input(&mut ssh, b"hello", SOON).unwrap();
    assert_eq!(output.code(), Some(7), "{}", output.both());
    drop(bench.ssh(&[], "kill -9 $$"));
    let ended = seen(&bench, "ssh.exec_ended", 2);
    let began = seen(&bench, "ssh.exec", 2);
    assert_eq!((&ended[0]["detail"], &ended[0]["outcome"]), (&"cat; exit 7".into(), &"7".into()));
    assert_eq!((&ended[0]["up"], &ended[0]["down"]), (&5.into(), &5.into()));
    assert!(ended[0]["millis"].as_u64().unwrap() < 30_000);
    assert_eq!(ended[1]["outcome"], "signal KILL");
    for (began, ended) in began.iter().zip(&ended) {
        let program = |row: &Value| (row["session"].clone(), row["channel"].clone());
        assert_eq!(program(began), program(ended));
        assert!(began["channel"].is_u64());
    }
}

#[test]
fn a_command_that_is_cut_has_an_end_too() {
    let bench = Bench::start();
    let ssh = bench.spawn(&[], "echo begun; sleep 300");
    seen(&bench, "ssh.exec", 1);
    drop(ssh);
    let ended = seen(&bench, "ssh.exec_ended", 1);
    assert!(ended[0].get("outcome").is_none(), "{}", ended[0]);
}

#[test]
fn each_file_that_sftp_moves_is_told_with_its_hash_and_each_change_with_its_result() {
    let bench = Bench::of(SshTerms { file_hashes: true, ..SshTerms::default() });
    let (here, there) = (bench.path("here"), bench.path("there"));
    let bytes: Vec<u8> = (0..3_000_001u32).map(|n| (n % 251) as u8).collect();
    fs::write(&here, &bytes).unwrap();
    fs::write(bench.path("empty"), "").unwrap();
    let dir = bench.dir.path().display();
    let moved = bench.sftp(&format!(
        "put {dir}/here {dir}/there\nget {dir}/there {dir}/back\nget {dir}/empty {dir}/nothing\n\
         rename {dir}/there {dir}/moved\n-rm {dir}/there\nrm {dir}/moved\nmkdir {dir}/folder\n\
         chmod 700 {dir}/folder\nln -s {dir}/here {dir}/link\nrmdir {dir}/folder\n\
         -get {dir}/absent {dir}/back\n"
    ));
    assert_eq!(moved.code(), Some(0), "{}", moved.both());
    assert!(fs::read(bench.path("back")).unwrap() == bytes);
    let sum = testkit::run(Command::new("sha256sum").arg(&here), SOON).unwrap().ok().unwrap();
    let sum = sum.split(' ').next().unwrap();
    let files = seen(&bench, "ssh.sftp_file", 3);
    let (put, get, empty) = (&files[0], &files[1], &files[2]);
    let path = there.display().to_string();
    for (file, mode, read, written) in [(put, "write", 0, 3_000_001), (get, "read", 3_000_001, 0)] {
        assert_eq!((&file["path"], &file["mode"]), (&path.as_str().into(), &mode.into()));
        assert_eq!((&file["read"], &file["written"]), (&read.into(), &written.into()));
        assert_eq!((&file["sha256"], &file["whole"]), (&sum.into(), &true.into()), "{file}");
    }
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!((&empty["sha256"], &empty["result"]), (&nothing.into(), &"ok".into()), "{empty}");
    let changes = seen(&bench, "ssh.sftp_change", 7);
    let told: Vec<_> = changes.iter().map(|row| row["detail"].as_str().unwrap()).collect();
    let expected = [
        format!("rename {dir}/there {dir}/moved"),
        format!("remove {dir}/moved"),
        format!("mkdir {dir}/folder"),
        format!("setstat {dir}/folder mode 700"),
        format!("symlink {dir}/here {dir}/link"),
        format!("rmdir {dir}/folder"),
    ];
    let lacking: Vec<_> = expected.iter().filter(|it| !told.contains(&it.as_str())).collect();
    assert!(lacking.is_empty(), "{lacking:?} in {told:#?}");
    let lost = seen(&bench, "ssh.sftp_lost", 0);
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn without_a_wish_for_hashes_and_where_only_reading_is_allowed_files_are_told_all_the_same() {
    let bench = Bench::of(SshTerms { sftp: Some(Sftp::Read), ..SshTerms::default() });
    fs::write(bench.path("there"), "content").unwrap();
    let dir = bench.dir.path().display();
    let read = bench.sftp(&format!("-rm {dir}/there\nget {dir}/there {dir}/here\n"));
    assert_eq!(read.code(), Some(0), "{}", read.both());
    let file = &seen(&bench, "ssh.sftp_file", 1)[0];
    assert_eq!((&file["read"], file.get("sha256")), (&7.into(), None), "{file}");
    assert!(seen(&bench, "ssh.sftp_change", 0).is_empty(), "what is refused changes nothing");
}

#[test]
fn thousands_of_small_files_take_few_rows_and_none_is_left_out() {
    let bench = Bench::start();
    let tree = bench.path("tree");
    fs::create_dir(&tree).unwrap();
    (0..2000).for_each(|n| fs::write(tree.join(format!("{n}")), "12345").unwrap());
    let dir = bench.dir.path().display();
    let put = bench.sftp(&format!("put -r {dir}/tree {dir}/copy\n"));
    assert_eq!(put.code(), Some(0), "{}", put.both());
    seen(&bench, "ssh.sftp_ended", 1);
    let one_by_one = seen(&bench, "ssh.sftp_file", 0);
    let more = seen(&bench, "ssh.sftp_more", 1);
    let sum = |field: &str| more.iter().map(|row| row[field].as_u64().unwrap()).sum::<u64>();
    let files = one_by_one.len() as u64;
    assert!(files <= 220 && more.len() < 5, "{files} and {}", more.len());
    assert_eq!((sum("files") + files, sum("written")), (2000, 5 * (2000 - files)));
}

/// The actions of this name, once there are so many.
fn seen(bench: &Bench, what: &str, least: usize) -> Vec<Value> {
    let found = || {
        let all = bench.world.world.audit.all();
        let rows = all.iter().map(|event| serde_json::to_value(event).unwrap());
        rows.filter(|row| row["what"] == what).collect::<Vec<_>>()
    };
    eventually(SOON, what, || found().len() >= least).unwrap();
    found()
}
