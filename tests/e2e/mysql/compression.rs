//! `--compress`, which each side of the door agrees on by itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::Result;
use testkit::{resident, run};

use super::{SOON, Stage};

#[test]
fn what_is_compressed_is_short_on_the_way_and_whole_at_both_ends() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let (port, passed) = counting(stage.port())?;
    let mut sizes = Vec::new();
    for compress in [true, false] {
        let before = passed.load(Relaxed);
        let mut client = stage.mariadb(&token, &["--max-allowed-packet=128M"]);
        client.arg(format!("--port={port}"));
        client.args(compress.then_some("--compress"));
        // A statement and a row that are long, a result of many rows, and several results.
        let file = stage.deployment.dir().join("long.sql");
        let long = "w".repeat(3_000_000);
        let large = format!("select length('{long}');\nselect repeat('z', 20000000);\n");
        let many = "select repeat('r', 200) from seq_1_to_20000;\n";
        fs::write(&file, large + many + "delimiter //\nselect 1; select 2//\n")?;
        client.args(["-e", &format!("source {}", file.display())]);
        let said = run(&mut client, SOON)?.ok()?;
        let rows: Vec<&str> = said.trim().lines().collect();
        assert_eq!((rows.len(), rows[0], rows[1].len()), (20_004, "3000000", 20_000_000));
        assert_eq!(rows[2..20_002].iter().map(|row| row.len()).sum::<usize>(), 4_000_000);
        assert_eq!(rows[20_002..], ["1", "2"]);
        sizes.push(passed.load(Relaxed) - before);
    }
    assert!(sizes[0] * 20 < sizes[1], "{sizes:?}");
    // The server's side too.
    let mut status = stage.mariadb(&token, &["--compress", "-e", "show status like 'Compression'"]);
    assert_eq!(run(&mut status, SOON)?.ok()?.trim(), "Compression\tON");
    let status = stage.sql(&token, "show status like 'Compression'")?;
    assert_eq!(status.ok()?.trim(), "Compression\tOFF");
    Ok(())
}

#[test]
fn a_file_goes_in_compressed_and_in_little_memory() -> Result<()> {
    let stage = Stage::start()?;
    let token = stage.token("alice")?;
    let file = stage.deployment.dir().join("rows.csv");
    let rows: String = (1000..300_000).map(|id| format!("{id},{:>38},{id}\n", "c")).collect();
    fs::write(&file, rows)?;
    let load = format!(
        "load data local infile '{}' into table orders fields terminated by ','; \
         select count(*) from orders",
        file.display()
    );
    let before = resident(stage.deployment.relay_id())?;
    let more = ["--local-infile=1", "--compress", "-e", &load];
    let loaded = run(&mut stage.mariadb(&token, &more), SOON)?.ok()?;
    assert_eq!(loaded.trim(), "299100");
    let grown = resident(stage.deployment.relay_id())?.saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    Ok(())
}

/// A port that leads to another one, and how many bytes have passed.
fn counting(to: u16) -> Result<(u16, Arc<AtomicU64>)> {
    let (listener, passed) = (TcpListener::bind("127.0.0.1:0")?, Arc::<AtomicU64>::default());
    let (port, counted) = (listener.local_addr()?.port(), passed.clone());
    // Ends with the test's process.
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { return };
            let (Ok(back), Ok(forth)) = (far.try_clone(), near.try_clone()) else { return };
            for (from, to) in [(near, far), (back, forth)] {
                let counted = counted.clone();
                thread::spawn(move || pass(from, to, &counted));
            }
        }
    });
    Ok((port, passed))
}

fn pass(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut piece = [0; 32 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        counted.fetch_add(count as u64, Relaxed);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(std::net::Shutdown::Write));
}
