//! What a client still sends when the last answer of its connection is written.
//!
//! A socket that is closed with bytes unread is reset, and a reset takes away what the client has not
//! read yet: whoever uploads would see a broken connection in place of the refusal (RFC 9112,
//! section 9.6).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// Reads bytes off and makes nothing of them, until the client leaves or sends nothing for a while;
/// it may not go on for ever.
pub(super) async fn linger(mut from: impl AsyncRead + Unpin) {
    let read_off = async {
        let (mut piece, mut left) = (vec![0; PIECE], MOST);
        while left > 0
            && let Ok(Ok(count @ 1..)) = timeout(QUIET, from.read(&mut piece)).await
        {
            left = left.saturating_sub(count);
        }
    };
    drop(timeout(LONGEST, read_off).await);
}

/// Without a byte.
const QUIET: Duration = Duration::from_secs(2);
/// For a client that sends on, and a stranger who does so slowly.
const LONGEST: Duration = Duration::from_secs(10);
/// In bytes. They are not even decrypted.
const MOST: usize = 256 << 20;
const PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_client_or_soon_after_its_last_byte() {
        for (leaves, after) in [(true, Duration::from_secs(1)), (false, QUIET)] {
            let (mut client, server) = duplex(64);
            let began = Instant::now();
            let sends = async {
                client.write_all(&[0; 1000]).await.unwrap();
                if leaves {
                    sleep(Duration::from_secs(1)).await;
                    client.shutdown().await.unwrap();
                }
            };
            tokio::join!(linger(server), sends);
            assert_eq!(began.elapsed(), after);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_on_does_not_keep_it_for_ever() {
        let (mut client, server) = duplex(64);
        let began = Instant::now();
        let trickles = async {
            while client.write_all(b"x").await.is_ok() {
                sleep(QUIET / 2).await;
            }
        };
        tokio::join!(linger(server), trickles);
        assert!(began.elapsed() <= LONGEST + QUIET, "{:?}", began.elapsed());
        // Nor by much at once: there is no end to these.
        let began = Instant::now();
        linger(tokio::io::repeat(0)).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
