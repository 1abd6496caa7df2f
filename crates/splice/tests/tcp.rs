//! What real sockets see of a join.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

use std::io::ErrorKind;
use std::time::Duration;

use splice::{Counters, Finish, Joined, Stream, Tcp, join};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn many_bytes_arrive_as_they_were_sent() {
    let (mut client, mut near, mut far, mut target) = pair_of_pairs().await;
    let sent: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    let counters = Counters::default();
    let carry = join(&mut near, &mut far, &counters);
    let write = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"got it");
    };
    let read = async {
        let mut got = Vec::new();
        target.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
        target.write_all(b"got it").await.unwrap();
        target.shutdown().await.unwrap();
    };
    let all = async { tokio::join!(carry, write, read) };
    let (finish, (), ()) = timeout(LIMIT, all).await.unwrap();
    assert!(matches!(finish, Finish::Closed(Joined::First)), "{finish:?}");
    assert_eq!((counters.up(), counters.down()), (8_000_000, 6));
}

#[tokio::test]
async fn an_aborted_stream_is_reset_and_not_ended_in_order() {
    let (mut client, mut near, far, _target) = pair_of_pairs().await;
    near.abort(8);
    drop((near, far));
    let read = timeout(LIMIT, client.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_target_that_resets_is_named_as_the_side_that_broke() {
    let (mut client, mut near, mut far, target) = pair_of_pairs().await;
    let counters = Counters::default();
    let carry = join(&mut near, &mut far, &counters);
    let breaking = async {
        client.write_all(b"hello").await.unwrap();
        // Closing with unread bytes makes the kernel answer with a reset.
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(target);
    };
    let both = async { tokio::join!(carry, breaking) };
    let (finish, ()) = timeout(LIMIT, both).await.unwrap();
    assert!(matches!(finish, Finish::Broken(Joined::Second, _)), "{finish:?}");
}

#[tokio::test]
async fn what_a_target_said_before_it_reset_arrives_while_something_is_sent_to_it() {
    let (mut client, mut near, mut far, mut target) = pair_of_pairs().await;
    let counters = Counters::default();
    let carry = async {
        let finish = join(&mut near, &mut far, &counters).await;
        drop(near);
        finish
    };
    // More than the sockets hold, so that the one to the target is being written to when it breaks.
    let upload = async {
        client.write_all(&[1; 8 << 20]).await.unwrap_err();
        let mut answer = Vec::new();
        // The end of it is a reset too, as its own bytes went unread.
        drop(client.read_to_end(&mut answer).await);
        answer
    };
    let refuse = async {
        target.read_exact(&mut [0; 1000]).await.unwrap();
        target.write_all(&[2; 10_000]).await.unwrap();
        // Closing with unread bytes makes the kernel answer with a reset.
        drop(target);
    };
    let all = async { tokio::join!(carry, upload, refuse) };
    let (finish, answer, ()) = timeout(LIMIT, all).await.unwrap();
    assert!(matches!(finish, Finish::Broken(Joined::Second, _)), "{finish:?}");
    assert_eq!(counters.down(), 10_000, "bytes taken from the target and handed on");
    assert!(answer.len() <= 10_000 && answer.iter().all(|byte| *byte == 2));
}

const LIMIT: Duration = Duration::from_secs(20);

async fn pair_of_pairs() -> (TcpStream, Tcp, Tcp, TcpStream) {
    let (client, near) = pair().await;
    let (far, target) = pair().await;
    (client, Tcp::new(near).unwrap(), Tcp::new(far).unwrap(), target)
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}
