use super::*;
use crate::proto::{Commands, command};
use crate::reply::{Replies, Told};

/// A conversation: what was kept of it, and what reached either end.
struct Talk {
    tracker: Tracker<u32>,
    commands: Commands,
    replies: Replies,
    begun: Vec<String>,
    done: Vec<(String, Option<String>)>,
    events: Vec<Event<u32>>,
}

impl Talk {
    fn new(version: u8, allowed: Option<Vec<u32>>) -> Self {
        let login = Secret::command(&[b"AUTH", b"app", b"pw"]);
        Self {
            tracker: Tracker::new(version, login, allowed),
            commands: Commands::default(),
            replies: Replies::default(),
            begun: Vec::new(),
            done: Vec::new(),
            events: Vec::new(),
        }
    }

    /// What the server is sent for this command.
    fn asks(&mut self, words: &str) -> String {
        let mut bytes = Vec::new();
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        command(&mut bytes, &args);
        let (tracker, begun, mut ask) = (&mut self.tracker, &mut self.begun, None);
        let scanned = self.commands.scan(&bytes, |command| {
            let told = |one: Begun<u32>| match one {
                Begun::Waits(text, _) => begun.push(text.text.to_string()),
                Begun::Unfollowed(text, _) => begun.push(format!("({})", text.text)),
            };
            let refused = |why: Refusal| format!("-{why:?}\r\n").into_bytes();
            tracker.client(&command, || 7, told, refused, &mut ask)
        });
        let scanned = scanned.unwrap();
        if ask.is_some() {
            return String::from("(asked)");
        }
        let sent = scanned.cuts.first().map_or(bytes.as_slice(), |(_, other)| other);
        let words = String::from_utf8_lossy(sent).into_owned();
        words
            .split("\r\n")
            .filter(|word| !word.starts_with(['*', '$']))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// What the client is told where the server says this.
    fn says(&mut self, reply: &str) -> Result<String, Fault> {
        let (tracker, done, events) = (&mut self.tracker, &mut self.done, &mut self.events);
        let (mut hidden, mut out) = (false, String::new());
        self.replies.scan(reply.as_bytes(), |told| {
            match told {
                Told::Begins(_, kind) => hidden = tracker.begins(kind),
                Told::Ends(_, seen) => {
                    let turn = tracker.server(&seen, |event| {
                        if let Event::Done(one) = &event {
                            done.push((one.text.text.to_string(), one.error.clone()));
                        }
                        events.push(event);
                    })?;
                    match turn {
                        Turn::Pass => assert!(!hidden),
                        Turn::Instead(other) => {
                            assert!(hidden);
                            out.push_str(&String::from_utf8_lossy(&other));
                        }
                    }
                }
            }
            Ok::<_, Fault>(())
        })?;
        Ok(out)
    }

    fn database(&self) -> u32 {
        self.tracker.database()
    }
}

#[test]
fn replies_belong_to_commands_in_their_order() {
    let mut talk = Talk::new(2, None);
    for words in ["SET a 1", "LPUSH a x", "GET a"] {
        talk.asks(words);
    }
    talk.says("+OK\r\n-WRONGTYPE Operation\r\n$1\r\n1\r\n").unwrap();
    let wrong = Some("WRONGTYPE".to_owned());
    let expected = [("SET a", None), ("LPUSH a", wrong), ("GET a", None)];
    assert_eq!(talk.done, expected.map(|(text, error)| (text.to_owned(), error)));
    assert!(talk.tracker.is_idle());
    assert_eq!(talk.says("+OK\r\n"), Err(Fault::Unasked));
}

#[test]
fn who_signs_in_again_is_answered_in_turn() {
    let mut talk = Talk::new(2, None);
    talk.asks("GET a");
    assert_eq!(talk.asks("AUTH token"), "(asked)");
    talk.tracker.answer(b"+OK\r\n".to_vec());
    talk.asks("GET b");
    assert_eq!(talk.says("$-1\r\n-ERR wrong number\r\n$-1\r\n").unwrap(), "+OK\r\n");
    assert_eq!(talk.done.len(), 2);
}

#[test]
fn no_token_is_so_long() {
    let mut talk = Talk::new(2, None);
    let mut bytes = Vec::new();
    command(&mut bytes, &[b"AUTH", &[b'x'; HELD + 1]]);
    for piece in [bytes.len(), HELD + 10] {
        let (tracker, mut ask) = (&mut talk.tracker, None);
        let scanned = Commands::default().scan(&bytes[..piece], |command| {
            tracker.client(&command, || 7, |_| {}, |_| Vec::new(), &mut ask)
        });
        assert_eq!(scanned, Err(Fault::Long));
    }
}

#[test]
fn what_does_not_pass_fails_where_it_stands() {
    for refused in ["SYNC", "PSYNC ? -1", "replconf ack 1", "CLIENT REPLY OFF", "client reply skip"]
    {
        let mut talk = Talk::new(2, None);
        assert_eq!(talk.asks(refused), "GET ", "{refused}");
        assert!(talk.says("-ERR wrong number\r\n").unwrap().starts_with('-'), "{refused}");
        // On record by its name, as any that fails.
        assert_eq!((talk.done.len(), talk.begun.len()), (1, 1));
        assert!(talk.done[0].1.is_some() && !talk.begun[0].contains("-1"), "{:?}", talk.done);
    }
    // Of a transaction it is none, and the server lets that fail.
    for refused in ["AUTH x", "HELLO 3", "SUBSCRIBE a", "UNSUBSCRIBE", "MONITOR"] {
        let mut talk = Talk::new(2, None);
        talk.asks("MULTI");
        assert_eq!(talk.asks(refused), "GET ", "{refused}");
        talk.asks("EXEC");
        assert_ne!(talk.asks(refused), "GET ", "{refused}");
    }
}

#[test]
fn a_reset_is_followed_by_a_login_of_ours() {
    let mut talk = Talk::new(3, None);
    assert_eq!(talk.asks("RESET"), "RESET AUTH app pw ");
    assert_eq!(talk.says("+RESET\r\n+OK\r\n").unwrap(), "");
    assert_eq!((talk.done.len(), talk.tracker.version), (1, 2));
    talk.asks("RESET");
    assert!(talk.says("+RESET\r\n-WRONGPASS\r\n").is_err());
}

#[test]
fn messages_are_no_replies() {
    let mut talk = Talk::new(2, None);
    talk.asks("SUBSCRIBE a b");
    talk.asks("PING");
    let ack = |n| format!("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:{n}\r\n");
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
    talk.says(&(ack(1) + &ack(2) + message)).unwrap();
    assert_eq!(talk.done.len(), 1);
    talk.says("*2\r\n$4\r\npong\r\n$0\r\n\r\n").unwrap();
    assert_eq!(talk.done.len(), 2);
    talk.says(message).unwrap();
    // As many acknowledgements as there were subscriptions.
    talk.asks("UNSUBSCRIBE");
    talk.asks("GET a");
    let over = |n| format!("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:{n}\r\n");
    talk.says(&(over(1) + &over(0))).unwrap();
    assert_eq!(talk.done.len(), 3);
    // A list that looks like one is a reply.
    talk.says(message).unwrap();
    assert_eq!(talk.done.len(), 4);
    assert!(talk.tracker.is_idle());
}

#[test]
fn pushes_come_between_replies() {
    let mut talk = Talk::new(2, None);
    talk.tracker.hello(3, 7);
    talk.says("%1\r\n+proto\r\n:3\r\n").unwrap();
    talk.asks("GET a");
    let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n";
    talk.says(&format!("{push}$1\r\n1\r\n{push}")).unwrap();
    assert_eq!(talk.done.len(), 2);
    talk.asks("SUBSCRIBE a");
    talk.asks("GET a");
    talk.says(">3\r\n+subscribe\r\n+a\r\n:1\r\n>3\r\n+message\r\n+a\r\n+x\r\n$1\r\n1\r\n").unwrap();
    assert_eq!(talk.done.len(), 4);
    // With version 3 a list that looks like a message is a reply.
    talk.asks("LRANGE a 0 -1");
    talk.says("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n").unwrap();
    assert!(talk.tracker.is_idle());
}

#[test]
fn what_a_monitor_sees_is_no_reply() {
    let mut talk = Talk::new(2, None);
    talk.asks("MONITOR");
    talk.says("+OK\r\n+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n").unwrap();
    talk.asks("RESET");
    talk.says("+1339518083.107412 [0 127.0.0.1:60866] \"reset\"\r\n+RESET\r\n+OK\r\n").unwrap();
    assert!(talk.tracker.is_idle());
}

#[test]
fn the_database_is_the_one_that_is_selected() {
    let mut talk = Talk::new(2, None);
    for words in ["SELECT 3", "SELECT 99", "MULTI", "SELECT 5", "EXEC"] {
        talk.asks(words);
    }
    talk.says("+OK\r\n-ERR out of range\r\n+OK\r\n+QUEUED\r\n").unwrap();
    assert_eq!(talk.database(), 3);
    talk.says("*1\r\n+OK\r\n").unwrap();
    assert_eq!(talk.database(), 5);
}

#[test]
fn who_may_open_some_databases_reaches_no_other() {
    let mut talk = Talk::new(2, Some(vec![0, 2]));
    for passes in ["SELECT 2", "GET a", "COPY a b", "FLUSHDB"] {
        assert_ne!(talk.asks(passes), "GET ", "{passes}");
    }
    for refused in [
        "SELECT 1",
        "SELECT x",
        "SELECT",
        "MOVE a 1",
        "COPY a b DB 1",
        "EVAL x 0",
        "SWAPDB 0 1",
        "FLUSHALL",
    ] {
        assert_eq!(talk.asks(refused), "GET ", "{refused}");
    }
}

#[test]
fn whoever_asks_and_does_not_read_goes_on_and_is_kept() {
    let mut talk = Talk::new(2, None);
    for _ in 0..FOLLOWED + 10 {
        talk.asks("GET a");
    }
    assert_eq!(talk.begun.iter().filter(|text| *text == "(GET a)").count(), 10);
    assert!(!talk.tracker.is_full());
    talk.asks("SELECT 1");
    for _ in 0..FOLLOWED + 10 {
        talk.says("$-1\r\n").unwrap();
    }
    talk.says("+OK\r\n").unwrap();
    assert_eq!((talk.database(), talk.tracker.is_idle()), (1, true));
}

#[test]
fn whoever_says_quit_has_left() {
    let mut talk = Talk::new(2, None);
    talk.asks("GET quit");
    assert!(!talk.tracker.has_left());
    talk.asks("quit");
    assert!(talk.tracker.has_left());
}

#[test]
fn what_has_no_reply_is_told_by_the_end_of_the_session() {
    let mut talk = Talk::new(2, None);
    talk.asks("SELECT 3");
    talk.asks("SET k v");
    talk.asks("BLPOP list 100");
    talk.says("+OK\r\n+OK\r\n").unwrap();
    let left = talk.tracker.unanswered("session.killed");
    let text = Text { text: "BLPOP list".into(), cut: 0 };
    let error = Some("session.killed".to_owned());
    assert_eq!(left, [Done { mark: 7, text, elements: None, error, database: 3 }]);
    assert!(talk.tracker.is_idle());
}

#[test]
fn what_is_refused_is_told_in_its_turn_with_the_word_of_its_refusal() {
    let mut talk = Talk::new(2, Some(vec![0]));
    talk.asks("GET k");
    assert_eq!(talk.asks("SELECT 2").trim(), "GET");
    assert_eq!(talk.asks("CLIENT REPLY OFF").trim(), "GET");
    assert_eq!(talk.begun, ["GET k", "SELECT 2", "CLIENT REPLY"]);
    talk.says("$1\r\nv\r\n-ERR wrong\r\n").unwrap();
    let done = |text: &str, error: Option<&str>| (text.to_owned(), error.map(str::to_owned));
    assert_eq!(talk.done, [done("GET k", None), done("SELECT 2", Some("Database"))]);
    // One whose turn has not come is refused all the same.
    let left = talk.tracker.unanswered("session.killed");
    assert_eq!(left[0].error.as_deref(), Some("Silence"));
    assert_eq!(talk.tracker.bytes, 0);
}
