//! What each command does and answers.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::resp::{Request, number};
use crate::store::Store;

/// An answer, before it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(&'static str),
    Error(String),
    Integer(i64),
    Bulk(Bytes),
    Nothing,
    Bulks(Vec<Bytes>),
}

impl Reply {
    /// Appends the answer as it goes over the wire.
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Status(text) => line(into, '+', text),
            Self::Error(text) => line(into, '-', text),
            Self::Integer(number) => line(into, ':', &number.to_string()),
            Self::Nothing => line(into, '$', "-1"),
            Self::Bulk(value) => bulk(into, value),
            Self::Bulks(values) => {
                line(into, '*', &values.len().to_string());
                values.iter().for_each(|value| bulk(into, value));
            }
        }
    }
}

fn line(into: &mut Vec<u8>, kind: char, text: &str) {
    into.push(kind as u8);
    into.extend_from_slice(text.as_bytes());
    into.extend_from_slice(b"\r\n");
}

fn bulk(into: &mut Vec<u8>, value: &[u8]) {
    line(into, '$', &value.len().to_string());
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

const OK: Reply = Reply::Status("OK");

/// Why a command was not done; the wording is Redis's.
#[derive(Debug, Clone, Copy)]
enum Refused {
    Arguments,
    Syntax,
    NotANumber,
    Overflow,
    ExpireTime,
    Unknown,
}

impl Refused {
    fn reply(self, command: &str) -> Reply {
        Reply::Error(match self {
            Self::Arguments => {
                format!("ERR wrong number of arguments for '{command}' command")
            }
            Self::Syntax => "ERR syntax error".into(),
            Self::NotANumber => "ERR value is not an integer or out of range".into(),
            Self::Overflow => "ERR increment or decrement would overflow".into(),
            Self::ExpireTime => format!("ERR invalid expire time in '{command}' command"),
            Self::Unknown => format!("ERR unknown command '{command}'"),
        })
    }
}

/// Does what is asked.
pub(crate) fn execute(store: &mut Store, request: Request<'_>, now: Instant) -> Reply {
    store.expire(now);
    let mut arguments = request.arguments();
    let command = arguments.next().map(name).unwrap_or_default();
    let rest: Vec<&[u8]> = arguments.collect();
    perform(store, &command, &rest, now).unwrap_or_else(|refused| refused.reply(&command))
}

/// A command's name, fit to be compared and to be shown: no line of ours is ended by what a client sends.
fn name(argument: &[u8]) -> String {
    let shown = argument.iter().take(32).map(|byte| match byte {
        b' '..=b'~' => char::from(byte.to_ascii_lowercase()),
        _ => '?',
    });
    shown.collect()
}

fn perform(
    store: &mut Store,
    command: &str,
    arguments: &[&[u8]],
    now: Instant,
) -> Result<Reply, Refused> {
    Ok(match (command, arguments) {
        ("ping", []) => Reply::Status("PONG"),
        ("ping" | "echo", [message]) => Reply::Bulk(Bytes::copy_from_slice(message)),
        ("get", [key]) => store.get(key).cloned().map_or(Reply::Nothing, Reply::Bulk),
        ("set", [key, value, options @ ..]) => set(store, key, value, options, now)?,
        ("del", [_, ..]) => count(arguments, |key| store.remove(key)),
        ("exists", [_, ..]) => count(arguments, |key| store.get(key).is_some()),
        ("incr", [key]) => increase(store, key, 1)?,
        ("decr", [key]) => increase(store, key, -1)?,
        ("incrby", [key, by]) => increase(store, key, number(by).ok_or(Refused::NotANumber)?)?,
        ("expire", [key, seconds]) => expire(store, key, seconds, now)?,
        ("ttl", [key]) => Reply::Integer(match store.time_to_live(key, now) {
            None => -2,
            Some(None) => -1,
            // Rounded, as Redis does: a key that was given ten seconds has ten.
            Some(Some(left)) => i64::try_from((left.as_millis() + 500) / 1000).unwrap_or(i64::MAX),
        }),
        ("dbsize", []) => Reply::Integer(i64::try_from(store.len()).unwrap_or(i64::MAX)),
        ("select", [b"0"]) | ("quit", []) => OK,
        ("config", [what, _]) if what.eq_ignore_ascii_case(b"get") => config(arguments[1]),
        // redis-cli asks for the documentation of commands, and is content with none.
        ("command", _) => Reply::Bulks(Vec::new()),
        (
            "ping" | "echo" | "get" | "set" | "del" | "exists" | "incr" | "decr" | "incrby"
            | "expire" | "ttl" | "dbsize" | "select" | "quit" | "config",
            _,
        ) => return Err(Refused::Arguments),
        _ => return Err(Refused::Unknown),
    })
}

fn set(
    store: &mut Store,
    key: &[u8],
    value: &[u8],
    options: &[&[u8]],
    now: Instant,
) -> Result<Reply, Refused> {
    let expires = match options {
        [] => None,
        [unit, count] if unit.eq_ignore_ascii_case(b"ex") => Some(after(now, count, 1000)?),
        [unit, count] if unit.eq_ignore_ascii_case(b"px") => Some(after(now, count, 1)?),
        _ => return Err(Refused::Syntax),
    };
    if expires.is_some_and(|at| at <= now) {
        return Err(Refused::ExpireTime);
    }
    store.set(key, Bytes::copy_from_slice(value));
    if let Some(at) = expires {
        store.expire_at(key, at);
    }
    Ok(OK)
}

fn expire(store: &mut Store, key: &[u8], seconds: &[u8], now: Instant) -> Result<Reply, Refused> {
    let at = after(now, seconds, 1000)?;
    let was_there = if at <= now { store.remove(key) } else { store.expire_at(key, at) };
    Ok(Reply::Integer(i64::from(was_there)))
}

/// The moment that is `count` times so many milliseconds from now; the past is now.
fn after(now: Instant, count: &[u8], milliseconds: u64) -> Result<Instant, Refused> {
    let count = number(count).ok_or(Refused::NotANumber)?;
    let count = u64::try_from(count.max(0)).map_err(|_| Refused::ExpireTime)?;
    let delay = count.checked_mul(milliseconds).map(Duration::from_millis);
    delay.and_then(|delay| now.checked_add(delay)).ok_or(Refused::ExpireTime)
}

fn increase(store: &mut Store, key: &[u8], by: i64) -> Result<Reply, Refused> {
    let value = match store.get(key) {
        Some(value) => number(value).ok_or(Refused::NotANumber)?,
        None => 0,
    };
    let value = value.checked_add(by).ok_or(Refused::Overflow)?;
    store.replace(key, value.to_string().into());
    Ok(Reply::Integer(value))
}

/// What redis-benchmark asks for before it begins: nothing is saved here.
fn config(name: &[u8]) -> Reply {
    let value = match name {
        b"save" => "",
        b"appendonly" => "no",
        _ => return Reply::Bulks(Vec::new()),
    };
    Reply::Bulks(vec![Bytes::copy_from_slice(name), Bytes::from_static(value.as_bytes())])
}

fn count(keys: &[&[u8]], mut is_counted: impl FnMut(&[u8]) -> bool) -> Reply {
    let counted = keys.iter().filter(|key| is_counted(key)).count();
    Reply::Integer(i64::try_from(counted).unwrap_or(i64::MAX))
}
