//! Every phase of a connection has an end. The clock is the tests' own.

mod support;

use std::time::Duration;

use support::World;
use support::user::Client;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_cut_after_ten_seconds() {
    let (started, mut client, mut serving) = connect().await;
    serving.join_next().await.unwrap().unwrap();
    assert_eq!(started.elapsed().as_secs(), 10);
    let mut seen = Vec::new();
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"SSH-2.0-Adit\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_shakes_hands_and_asks_for_nothing_is_cut_after_ten_seconds() {
    let (started, stream, mut serving) = connect().await;
    let client = Client::over(stream).await;
    serving.join_next().await.unwrap().unwrap();
    assert!((10..13).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert!(client.goodbye().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_sign_in_is_cut_after_two_minutes() {
    let (started, stream, mut serving) = connect().await;
    let mut client = Client::over(stream).await;
    assert_eq!(client.ask("anyone").await, ["Access token:"]);
    serving.join_next().await.unwrap().unwrap();
    assert!((120..123).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

async fn connect() -> (Instant, DuplexStream, JoinSet<()>) {
    let world = World::start().await;
    let (client, relay) = duplex(64 * 1024);
    let gateway = world.gateway.clone();
    let mut serving = JoinSet::new();
    let started = Instant::now();
    serving.spawn(async move {
        let peer = ([127, 0, 0, 1], 1).into();
        gateway.serve(relay, peer, None, world.drain.clone()).await;
    });
    tokio::time::sleep(Duration::ZERO).await;
    (started, client, serving)
}
