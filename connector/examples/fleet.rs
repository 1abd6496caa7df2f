//! Many connectors in one process, as a site that is much larger than a test machine would have them:
//! each with an identity, a state directory and a connection of its own. For `benches/soak/fleet.py`.
//!
//! `fleet URL COUNT FOLDER < TOKENS`: one join token a line. Says `joined`, and then in each second how
//! many are connected.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool of measurements, which ends where something is not as it should be"
)]

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;

use adit_connector::config::ProxyChoice;
use adit_connector::join::{Join, join};
use adit_connector::run::run;
use adit_connector::status::{State, Status};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let args: Vec<_> = std::env::args().collect();
    let [_, url, count, folder] = &args[..] else { panic!("fleet URL COUNT FOLDER") };
    let (count, folder): (usize, _) = (count.parse().unwrap(), PathBuf::from(folder));
    let tokens: Vec<_> = std::io::stdin().lock().lines().map(Result::unwrap).collect();
    assert!(tokens.len() >= count, "a token for each");
    let states: Vec<_> = (0..count).map(|number| folder.join(number.to_string())).collect();
    for (state, token) in states.iter().zip(&tokens) {
        let how = Join {
            url: url.clone(),
            token: token.trim().parse().unwrap(),
            state: state.clone(),
            allow: Vec::new(),
            name: None,
            proxy: ProxyChoice::None,
        };
        join(&how).await.unwrap();
    }
    println!("joined");
    let mut connectors = JoinSet::new();
    for state in states.clone() {
        connectors.spawn(async move {
            run(&state, Duration::from_secs(1), CancellationToken::new()).await.map(drop).unwrap();
        });
    }
    loop {
        sleep(Duration::from_millis(250)).await;
        let connected = |state: &PathBuf| {
            let status = Status::read(state).ok().flatten();
            status.is_some_and(|status| status.state == State::Connected)
        };
        println!("{}", states.iter().filter(|state| connected(state)).count());
    }
}
