//! Whether a connection goes on after an answer that left its request's body unread.

use tokio_rustls::client::TlsStream;

use super::*;

#[tokio::test]
async fn a_refusal_that_reads_no_body_leaves_the_connection_as_it_says() {
    let mut relay = Running::start().await;
    let mut kept = Wire::to(&relay).await;
    for _ in 0..3 {
        // The refusal is made before the body arrives, as with clients that write the two apart.
        kept.send(&ask("Content-Length: 5\r\n")).await;
        sleep(Duration::from_millis(50)).await;
        kept.send("12345").await;
        let answer = kept.answer().await;
        assert!(answer.starts_with("http/1.1 401 ") && !answer.contains("connection: close"));
    }
    for (body, why) in [
        ("Content-Length: 5\r\n", "it never comes"),
        ("Content-Length: 1000000\r\n", "it is long"),
        ("Content-Length: 5\r\nExpect: 100-continue\r\n", "nobody told the client to send it"),
    ] {
        let mut closed = Wire::to(&relay).await;
        closed.send(&ask(body)).await;
        let answer = closed.answer().await;
        assert!(answer.starts_with("http/1.1 401 "), "{why}: {answer}");
        assert!(answer.contains("connection: close"), "{why}: {answer}");
        assert!(closed.is_over().await, "{why}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn whoever_is_still_uploading_reads_why_it_is_refused() {
    let mut relay = Running::start().await;
    for head in [
        ask(&format!("Content-Length: {LARGE}\r\n")),
        // What is no request ends the connection, whatever comes after.
        ask("Bad Field: x\r\n"),
    ] {
        let mut wire = Wire::to(&relay).await;
        wire.send(&head).await;
        // Clients that write everything before they read find nothing where the connection was reset.
        wire.0.write_all(&vec![b'x'; LARGE]).await.unwrap();
        let answer = wire.answer().await;
        assert!(answer.starts_with("http/1.1 40"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(wire.is_over().await);
    }
    relay.stop().await;
}

fn ask(body: &str) -> String {
    format!("PUT /api/v1/users/alice HTTP/1.1\r\nHost: localhost\r\n{body}\r\n")
}

struct Wire(TlsStream<TcpStream>);

/// More than the sockets between two processes hold.
const LARGE: usize = 20_000_000;

impl Wire {
    async fn to(relay: &Running) -> Self {
        Self(relay.shake_hands("localhost").await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// One answer in lower case, its body left out.
    async fn answer(&mut self) -> String {
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            answer.push(char::from(timeout(SOON, self.0.read_u8()).await.unwrap().unwrap()));
        }
        let answer = answer.to_lowercase();
        let length = answer.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        timeout(SOON, self.0.read_exact(&mut body)).await.unwrap().unwrap();
        answer
    }

    /// Whether the relay says goodbye.
    async fn is_over(&mut self) -> bool {
        matches!(timeout(SOON, self.0.read(&mut [0])).await, Ok(Ok(0)))
    }
}
