//! What is known of commands: what they do to the conversation, and where their keys are. Pure.

use database::Text;

use crate::proto::{Command, Part};

/// What a command does to the conversation that it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// It asks, and is answered once.
    Ask,
    Auth,
    Hello,
    Reset,
    Select,
    Multi,
    Exec,
    Discard,
    Subscribe(Topic),
    Unsubscribe(Topic),
    Monitor,
    ClientName,
    Refused(Refusal),
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Channel,
    Pattern,
    Shard,
}

/// Why a command does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What follows it is no replies.
    Replication,
    /// It makes the server leave replies out.
    Silence,
    /// It can not be part of a transaction here.
    InTransaction,
    /// It leads to another database than the rule allows.
    Database,
}

/// A command's name as the server knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Name {
    pub(crate) fn of(written: &[u8]) -> Self {
        let length = written.len().min(LONGEST);
        let mut bytes = [0; LONGEST];
        bytes[..length].copy_from_slice(&written[..length]);
        bytes.make_ascii_uppercase();
        Self { bytes, length }
    }

    /// Empty where it is no text.
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// What `command` does.
pub(crate) fn does(name: &Name, command: &Command<'_>) -> Does {
    let second = || Name::of(command.arg(1).unwrap_or_default());
    match name.as_str() {
        "AUTH" => Does::Auth,
        "HELLO" => Does::Hello,
        "RESET" => Does::Reset,
        "SELECT" => Does::Select,
        // With more arguments these do nothing but fail.
        "MULTI" if command.count == 1 => Does::Multi,
        "EXEC" if command.count == 1 => Does::Exec,
        "DISCARD" if command.count == 1 => Does::Discard,
        "SUBSCRIBE" if command.count > 1 => Does::Subscribe(Topic::Channel),
        "PSUBSCRIBE" if command.count > 1 => Does::Subscribe(Topic::Pattern),
        "SSUBSCRIBE" if command.count > 1 => Does::Subscribe(Topic::Shard),
        "UNSUBSCRIBE" => Does::Unsubscribe(Topic::Channel),
        "PUNSUBSCRIBE" => Does::Unsubscribe(Topic::Pattern),
        "SUNSUBSCRIBE" => Does::Unsubscribe(Topic::Shard),
        "MONITOR" if command.count == 1 => Does::Monitor,
        "SYNC" | "PSYNC" | "REPLCONF" => Does::Refused(Refusal::Replication),
        "CLIENT" => match second().as_str() {
            "REPLY" => Does::Refused(Refusal::Silence),
            "SETNAME" => Does::ClientName,
            _ => Does::Ask,
        },
        _ => Does::Ask,
    }
}

/// Whether a command may reach into another database than the one that is selected.
pub(crate) fn roams(name: &Name, command: &Command<'_>) -> bool {
    match name.as_str() {
        "MOVE" | "SWAPDB" | "FLUSHALL" | "MIGRATE" | "EVAL" | "EVALSHA" | "FCALL" => true,
        "EVAL_RO" | "EVALSHA_RO" | "FCALL_RO" | "MONITOR" => true,
        "COPY" => command.count > 3,
        _ => false,
    }
}

impl Topic {
    /// The topic of an acknowledgement's first word, and whether it is one of a subscription.
    pub(crate) fn acknowledged(word: &[u8]) -> Option<(Self, bool)> {
        Some(match word {
            b"subscribe" => (Self::Channel, true),
            b"psubscribe" => (Self::Pattern, true),
            b"ssubscribe" => (Self::Shard, true),
            b"unsubscribe" => (Self::Channel, false),
            b"punsubscribe" => (Self::Pattern, false),
            b"sunsubscribe" => (Self::Shard, false),
            _ => return None,
        })
    }
}

/// The command's name and its keys, and no value: `MSET a b`. Of a command that is not known, the
/// name.
pub(crate) fn text(name: &Name, command: &Command<'_>, most: usize, values: bool) -> Text {
    let mut out = Line { text: String::new(), cut: 0, most };
    if name.as_str().is_empty() {
        out.word(command.name());
    } else {
        out.word(name.as_str().as_bytes());
    }
    let second = command.arg(1).map(Name::of);
    let mut said = 1;
    let subcommand = second.as_ref().filter(|second| !second.as_str().is_empty());
    if let (true, Some(second)) = (has_subcommands(name.as_str()), subcommand) {
        out.word(second.as_str().as_bytes());
        said = 2;
    }
    let keys = keys(name.as_str(), second.as_ref().map_or("", Name::as_str));
    if values && keys != Keys::None && !has_secrets(name.as_str()) {
        command.args().skip(said).for_each(|word| out.word(word));
    } else {
        keys.each(command, |key| out.word(key));
    }
    Text { text: out.text.into(), cut: out.cut }
}

/// A line of words, as long as there is room.
struct Line {
    text: String,
    cut: u64,
    most: usize,
}

impl Line {
    fn word(&mut self, word: &[u8]) {
        let shown = shown(word);
        let gap = usize::from(!self.text.is_empty());
        if self.cut == 0 && self.text.len() + gap + shown.len() <= self.most {
            if gap > 0 {
                self.text.push(' ');
            }
            self.text.push_str(&shown);
        } else {
            self.cut += (shown.len() + gap) as u64;
        }
    }
}

/// A word as it is, or in quotes as redis-cli writes and reads it.
fn shown(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.iter().all(plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut out = String::with_capacity(word.len() + 2);
    out.push('"');
    for byte in word {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// Where a command's keys are: an argument's number counts the name as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    None,
    /// From `first` to the end but `spared` arguments, each of `step`.
    All {
        first: usize,
        spared: usize,
        step: usize,
    },
    /// From `first` to `last`.
    Some {
        first: usize,
        last: usize,
    },
    /// As many as the argument at `count` says, behind it; and one before it.
    Counted {
        count: usize,
        also: Option<usize>,
    },
    /// The first half of what is behind STREAMS.
    Streams,
    /// The first, and what is behind one of these words.
    Behind {
        words: &'static [&'static str],
    },
    /// One, or those behind KEYS.
    Migrate,
}

impl Keys {
    fn each<'a>(self, command: &Command<'a>, mut found: impl FnMut(&'a [u8])) {
        let args: Vec<&[u8]> = command.args().collect();
        let all = if command.part == Part::Whole { args.len() } else { command.count };
        match self {
            Self::None => {}
            Self::All { first, spared, step } => {
                let end = all.saturating_sub(spared).min(args.len());
                args[first.min(end)..end].iter().step_by(step).for_each(|key| found(key));
            }
            Self::Some { first, last } => {
                args.iter().take(last + 1).skip(first).for_each(|key| found(key));
            }
            Self::Counted { count, also } => {
                also.and_then(|at| args.get(at)).into_iter().for_each(|key| found(key));
                let many = args.get(count).and_then(|text| crate::proto::integer(text));
                let many = many.and_then(|many| usize::try_from(many).ok()).unwrap_or(0);
                args.iter().skip(count + 1).take(many).for_each(|key| found(key));
            }
            Self::Streams => {
                let from = args.iter().position(|word| word.eq_ignore_ascii_case(b"streams"));
                let Some(from) = from else { return };
                let half = (all.saturating_sub(from + 1)) / 2;
                args.iter().skip(from + 1).take(half).for_each(|key| found(key));
            }
            Self::Behind { words } => {
                args.get(1).into_iter().for_each(|key| found(key));
                let is_one =
                    |word: &[u8]| words.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()));
                let pairs = args.iter().zip(args.iter().skip(1)).skip(2);
                pairs.filter(|(word, _)| is_one(word)).for_each(|(_, key)| found(key));
            }
            Self::Migrate => match args.get(3) {
                Some(key) if !key.is_empty() => found(key),
                Some(_) | None => {
                    let from = args.iter().position(|word| word.eq_ignore_ascii_case(b"keys"));
                    let from = from.map_or(args.len(), |from| from + 1);
                    args.iter().skip(from).for_each(|key| found(key));
                }
            },
        }
    }
}

/// Commands whose values may be passwords, whatever is kept of others'.
fn has_secrets(name: &str) -> bool {
    matches!(name, "ACL" | "AUTH" | "CONFIG" | "HELLO" | "MIGRATE")
}

/// Commands whose next word says what they do.
fn has_subcommands(name: &str) -> bool {
    matches!(
        name,
        "ACL"
            | "CLIENT"
            | "CLUSTER"
            | "COMMAND"
            | "CONFIG"
            | "DEBUG"
            | "FUNCTION"
            | "LATENCY"
            | "MEMORY"
            | "MODULE"
            | "OBJECT"
            | "PUBSUB"
            | "SCRIPT"
            | "SENTINEL"
            | "SLOWLOG"
            | "XGROUP"
            | "XINFO"
    )
}

/// As Redis 7.0 tells in `COMMAND`, with the hash commands of later ones, and what is as good as a
/// key: channels, names of settings, the number of a database.
fn keys(name: &str, second: &str) -> Keys {
    let one = Keys::Some { first: 1, last: 1 };
    let all = Keys::All { first: 1, spared: 0, step: 1 };
    match name {
        "APPEND"
        | "BITCOUNT"
        | "BITFIELD"
        | "BITFIELD_RO"
        | "BITPOS"
        | "DECR"
        | "DECRBY"
        | "DUMP"
        | "EXPIRE"
        | "EXPIREAT"
        | "EXPIRETIME"
        | "GEOADD"
        | "GEODIST"
        | "GEOHASH"
        | "GEOPOS"
        | "GEORADIUSBYMEMBER_RO"
        | "GEORADIUS_RO"
        | "GEOSEARCH"
        | "GET"
        | "GETBIT"
        | "GETDEL"
        | "GETEX"
        | "GETRANGE"
        | "GETSET"
        | "HDEL"
        | "HEXISTS"
        | "HGET"
        | "HGETALL"
        | "HINCRBY"
        | "HINCRBYFLOAT"
        | "HKEYS"
        | "HLEN"
        | "HMGET"
        | "HMSET"
        | "HRANDFIELD"
        | "HSCAN"
        | "HSET"
        | "HSETNX"
        | "HSTRLEN"
        | "HVALS"
        | "INCR"
        | "INCRBY"
        | "INCRBYFLOAT"
        | "LINDEX"
        | "LINSERT"
        | "LLEN"
        | "LPOP"
        | "LPOS"
        | "LPUSH"
        | "LPUSHX"
        | "LRANGE"
        | "LREM"
        | "LSET"
        | "LTRIM"
        | "MOVE"
        | "PERSIST"
        | "PEXPIRE"
        | "PEXPIREAT"
        | "PEXPIRETIME"
        | "PFADD"
        | "PSETEX"
        | "PTTL"
        | "RESTORE"
        | "RESTORE-ASKING"
        | "RPOP"
        | "RPUSH"
        | "RPUSHX"
        | "SADD"
        | "SCARD"
        | "SET"
        | "SETBIT"
        | "SETEX"
        | "SETNX"
        | "SETRANGE"
        | "SISMEMBER"
        | "SMEMBERS"
        | "SMISMEMBER"
        | "SPOP"
        | "SPUBLISH"
        | "SRANDMEMBER"
        | "SREM"
        | "SSCAN"
        | "STRLEN"
        | "SUBSTR"
        | "TTL"
        | "TYPE"
        | "XACK"
        | "XADD"
        | "XAUTOCLAIM"
        | "XCLAIM"
        | "XDEL"
        | "XLEN"
        | "XPENDING"
        | "XRANGE"
        | "XREVRANGE"
        | "XSETID"
        | "XTRIM"
        | "ZADD"
        | "ZCARD"
        | "ZCOUNT"
        | "ZINCRBY"
        | "ZLEXCOUNT"
        | "ZMSCORE"
        | "ZPOPMAX"
        | "ZPOPMIN"
        | "ZRANDMEMBER"
        | "ZRANGE"
        | "ZRANGEBYLEX"
        | "ZRANGEBYSCORE"
        | "ZRANK"
        | "ZREM"
        | "ZREMRANGEBYLEX"
        | "ZREMRANGEBYRANK"
        | "ZREMRANGEBYSCORE"
        | "ZREVRANGE"
        | "ZREVRANGEBYLEX"
        | "ZREVRANGEBYSCORE"
        | "ZREVRANK"
        | "ZSCAN"
        | "ZSCORE" => one,
        "HEXPIRE" | "HPEXPIRE" | "HEXPIREAT" | "HPEXPIREAT" | "HEXPIRETIME" | "HPEXPIRETIME"
        | "HTTL" | "HPTTL" | "HPERSIST" | "HGETDEL" | "HGETEX" | "HSETEX" => one,
        "PUBLISH" | "SELECT" => one,
        "DEL" | "EXISTS" | "MGET" | "PFCOUNT" | "PFMERGE" | "SDIFF" | "SDIFFSTORE" | "SINTER"
        | "SINTERSTORE" | "SSUBSCRIBE" | "SUNION" | "SUNIONSTORE" | "SUNSUBSCRIBE" | "TOUCH"
        | "UNLINK" | "WATCH" => all,
        "SUBSCRIBE" | "PSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE" => all,
        "MSET" | "MSETNX" => Keys::All { first: 1, spared: 0, step: 2 },
        "BLPOP" | "BRPOP" | "BZPOPMAX" | "BZPOPMIN" => Keys::All { first: 1, spared: 1, step: 1 },
        "BLMOVE" | "BRPOPLPUSH" | "COPY" | "GEOSEARCHSTORE" | "LCS" | "LMOVE" | "RENAME"
        | "RENAMENX" | "RPOPLPUSH" | "SMOVE" | "ZRANGESTORE" => Keys::Some { first: 1, last: 2 },
        "BITOP" => Keys::All { first: 2, spared: 0, step: 1 },
        "PFDEBUG" | "XGROUP" => Keys::Some { first: 2, last: 2 },
        "MEMORY" if second == "USAGE" => Keys::Some { first: 2, last: 2 },
        "OBJECT" | "XINFO" if second != "HELP" => Keys::Some { first: 2, last: 2 },
        "CONFIG" if second == "GET" => Keys::All { first: 2, spared: 0, step: 1 },
        "CONFIG" if second == "SET" => Keys::All { first: 2, spared: 0, step: 2 },
        "ACL" if matches!(second, "SETUSER" | "DELUSER" | "GETUSER") => {
            Keys::Some { first: 2, last: 2 }
        }
        "LMPOP" | "SINTERCARD" | "ZDIFF" | "ZINTER" | "ZINTERCARD" | "ZMPOP" | "ZUNION" => {
            Keys::Counted { count: 1, also: None }
        }
        "BLMPOP" | "BZMPOP" | "EVAL" | "EVALSHA" | "EVALSHA_RO" | "EVAL_RO" | "FCALL"
        | "FCALL_RO" => Keys::Counted { count: 2, also: None },
        "ZDIFFSTORE" | "ZINTERSTORE" | "ZUNIONSTORE" => Keys::Counted { count: 2, also: Some(1) },
        "XREAD" | "XREADGROUP" => Keys::Streams,
        "SORT" | "SORT_RO" => Keys::Behind { words: &["store"] },
        "GEORADIUS" | "GEORADIUSBYMEMBER" => Keys::Behind { words: &["store", "storedist"] },
        "MIGRATE" => Keys::Migrate,
        _ => Keys::None,
    }
}

/// No command's name is longer.
const LONGEST: usize = 64;

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
