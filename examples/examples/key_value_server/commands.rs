//! The commands.

use std::time::Duration;

use asyncio::Bytes;

use crate::resp::Reply;
use crate::store::{Store, TimeToLive};

/// The maximum time to live: a hundred years, in seconds.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

/// An error in a well-formed request.
type Refused = String;

/// Executes a request. `None` for an empty one.
pub fn execute(store: &Store, words: &[Bytes]) -> Option<Reply> {
    let (name, arguments) = words.split_first()?;
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let reply = run(store, &name, arguments);
    Some(reply.unwrap_or_else(|refused| Reply::Error(format!("ERR {refused}"))))
}

fn run(store: &Store, name: &str, arguments: &[Bytes]) -> Result<Reply, Refused> {
    let reply = match (name, arguments) {
        ("PING", []) => Reply::Status("PONG"),
        ("PING" | "ECHO", [word]) => Reply::Bulk(Some(word.clone())),
        ("SET", [key, value, options @ ..]) => return set(store, key, value, options),
        ("GET", [key]) => Reply::Bulk(store.get(key)),
        ("DEL", [_, ..]) => count(arguments, |key| store.remove(key)),
        ("EXISTS", [_, ..]) => count(arguments, |key| store.contains(key)),
        ("INCR", [key]) => return increase(store, key, 1),
        ("DECR", [key]) => return increase(store, key, -1),
        ("INCRBY", [key, amount]) => return increase(store, key, integer(amount)?),
        ("EXPIRE", [key, seconds]) => Reply::Integer(expire(store, key, integer(seconds)?)?.into()),
        ("PERSIST", [key]) => {
            let had_a_limit = matches!(store.time_to_live(key), TimeToLive::For(_));
            Reply::Integer((had_a_limit && store.expire(key, None)).into())
        }
        ("TTL", [key]) => Reply::Integer(time_to_live(store, key, 1000)),
        ("PTTL", [key]) => Reply::Integer(time_to_live(store, key, 1)),
        ("KEYS", [pattern]) => Reply::Array(store.keys(pattern)),
        ("DBSIZE", []) => Reply::Integer(store.len() as i64),
        ("FLUSHALL", []) => {
            store.clear();
            Reply::OK
        }
        // redis-cli sends this when it starts.
        ("COMMAND", _) => Reply::Array(Vec::new()),
        ("QUIT", _) => Reply::OK,
        _ if is_known(name) => {
            return Err(format!("wrong number of arguments for '{}' command", name.to_lowercase()));
        }
        _ => return Err(format!("unknown command '{name}'")),
    };
    Ok(reply)
}

fn is_known(name: &str) -> bool {
    let names = "PING ECHO SET GET DEL EXISTS INCR DECR INCRBY EXPIRE PERSIST TTL PTTL KEYS \
                 DBSIZE FLUSHALL";
    names.split(' ').any(|known| known == name)
}

/// `SET key value [EX seconds | PX milliseconds] [NX | XX]`.
fn set(store: &Store, key: &Bytes, value: &Bytes, options: &[Bytes]) -> Result<Reply, Refused> {
    let (mut ttl, mut only_if) = (None, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.to_ascii_uppercase().as_slice() {
            b"EX" => ttl = Some(Duration::from_secs(positive(options.next())?)),
            b"PX" => ttl = Some(Duration::from_millis(positive(options.next())?)),
            b"NX" if only_if.is_none() => only_if = Some(false),
            b"XX" if only_if.is_none() => only_if = Some(true),
            _ => return Err("syntax error".to_owned()),
        }
    }
    if only_if.is_some_and(|there| there != store.contains(key)) {
        return Ok(Reply::Bulk(None));
    }
    store.set(key.clone(), value.clone(), ttl);
    Ok(Reply::OK)
}

/// Returns whether the key existed. A time in the past removes the key.
fn expire(store: &Store, key: &Bytes, seconds: i64) -> Result<bool, Refused> {
    match u64::try_from(seconds) {
        Err(_) | Ok(0) => Ok(store.remove(key)),
        Ok(seconds) if seconds > LONGEST => {
            Err("invalid expire time in 'expire' command".to_owned())
        }
        Ok(seconds) => Ok(store.expire(key, Some(Duration::from_secs(seconds)))),
    }
}

fn increase(store: &Store, key: &Bytes, amount: i64) -> Result<Reply, Refused> {
    let value = store.get(key).map_or(Ok(0), |value| integer(&value))?;
    let value = value.checked_add(amount).ok_or("increment or decrement would overflow")?;
    store.replace(key.clone(), value.to_string().into());
    Ok(Reply::Integer(value))
}

fn count(keys: &[Bytes], mut is_one: impl FnMut(&[u8]) -> bool) -> Reply {
    Reply::Integer(keys.iter().filter(|key| is_one(key)).count() as i64)
}

/// The time to live in the given unit (in milliseconds), rounded up; -1 without expiry, -2 if there
/// is no such key.
fn time_to_live(store: &Store, key: &[u8], unit: u128) -> i64 {
    match store.time_to_live(key) {
        TimeToLive::NoSuchKey => -2,
        TimeToLive::Forever => -1,
        TimeToLive::For(rest) => rest.as_millis().div_ceil(unit) as i64,
    }
}

fn positive(word: Option<&Bytes>) -> Result<u64, Refused> {
    let number = integer(word.ok_or("syntax error")?)?;
    let number = u64::try_from(number).ok().filter(|number| (1..=LONGEST).contains(number));
    number.ok_or_else(|| "invalid expire time in 'set' command".to_owned())
}

fn integer(word: &[u8]) -> Result<i64, Refused> {
    let number = std::str::from_utf8(word).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| "value is not an integer or out of range".to_owned())
}
