//! What each command does and answers.

use std::time::{Duration, Instant};

use wharf_examples::decimal;
use wharf_examples::output::Output;

use crate::resp::{Request, number};
use crate::store::Store;

/// As many arguments as the usual command has, and some more.
const FEW: usize = 8;

/// The longest name of a command that is looked at.
const LONGEST_NAME: usize = 32;

/// An answer, before it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Status(&'static str),
    Error(String),
    Integer(i64),
    Bulk(&'a [u8]),
    Nothing,
    Bulks(Vec<&'a [u8]>),
}

impl Reply<'_> {
    /// Writes the answer as it goes over the wire.
    pub(crate) fn write(&self, into: &mut Output<'_>) {
        match self {
            Self::Status(text) => line(into, b'+', text.as_bytes()),
            Self::Error(text) => line(into, b'-', text.as_bytes()),
            Self::Integer(number) => {
                into.text().push(b':');
                if *number < 0 {
                    into.text().push(b'-');
                }
                decimal::push(into.text(), number.unsigned_abs());
                into.text().extend_from_slice(b"\r\n");
            }
            Self::Nothing => line(into, b'$', b"-1"),
            Self::Bulk(value) => bulk(into, value),
            Self::Bulks(values) => {
                count(into, b'*', values.len());
                values.iter().for_each(|value| bulk(into, value));
            }
        }
    }
}

fn line(into: &mut Output<'_>, kind: u8, text: &[u8]) {
    into.text().push(kind);
    into.text().extend_from_slice(text);
    into.text().extend_from_slice(b"\r\n");
}

fn count(into: &mut Output<'_>, kind: u8, count: usize) {
    into.text().push(kind);
    decimal::push(into.text(), count as u64);
    into.text().extend_from_slice(b"\r\n");
}

fn bulk(into: &mut Output<'_>, value: &[u8]) {
    count(into, b'$', value.len());
    into.data(value);
    into.text().extend_from_slice(b"\r\n");
}

const OK: Reply<'_> = Reply::Status("OK");

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
    fn reply(self, command: &[u8]) -> Reply<'static> {
        let command = String::from_utf8_lossy(command);
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

/// Whether more requests are wanted after one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    GoOn,
    Quit,
}

/// Does what is asked, and writes the answer.
pub(crate) fn execute(
    store: &mut Store,
    request: Request<'_>,
    now: Instant,
    output: &mut Output<'_>,
) -> After {
    let (mut few, many): ([&[u8]; FEW], Vec<&[u8]>);
    let arguments = if request.len() <= FEW {
        few = [&[]; FEW];
        few.iter_mut().zip(request.arguments()).for_each(|(place, argument)| *place = argument);
        &few[..request.len()]
    } else {
        many = request.arguments().collect();
        &many
    };
    let Some((first, rest)) = arguments.split_first() else { return After::GoOn };
    let mut space = [0; LONGEST_NAME];
    let command = name(first, &mut space);
    match perform(store, command, rest, now) {
        Ok(reply) => reply.write(output),
        Err(refused) => refused.reply(command).write(output),
    }
    if command == b"quit" { After::Quit } else { After::GoOn }
}

/// A command's name, fit to be compared and to be shown: no line of ours is ended by what a client sends.
fn name<'a>(argument: &[u8], space: &'a mut [u8; LONGEST_NAME]) -> &'a [u8] {
    let len = argument.len().min(LONGEST_NAME);
    for (place, byte) in space.iter_mut().zip(argument) {
        *place = if matches!(byte, b' '..=b'~') { byte.to_ascii_lowercase() } else { b'?' };
    }
    &space[..len]
}

fn perform<'a>(
    store: &'a mut Store,
    command: &[u8],
    arguments: &[&'a [u8]],
    now: Instant,
) -> Result<Reply<'a>, Refused> {
    Ok(match (command, arguments) {
        (b"ping", []) => Reply::Status("PONG"),
        (b"ping" | b"echo", [message]) => Reply::Bulk(message),
        (b"get", [key]) => store.get(key).map_or(Reply::Nothing, Reply::Bulk),
        (b"set", [key, value, options @ ..]) => set(store, key, value, options, now)?,
        (b"del", [_, ..]) => counted(arguments, |key| store.remove(key)),
        (b"exists", [_, ..]) => counted(arguments, |key| store.get(key).is_some()),
        (b"incr", [key]) => increase(store, key, 1)?,
        (b"decr", [key]) => increase(store, key, -1)?,
        (b"incrby", [key, by]) => increase(store, key, number(by).ok_or(Refused::NotANumber)?)?,
        (b"expire", [key, seconds]) => expire(store, key, seconds, now)?,
        (b"ttl", [key]) => Reply::Integer(match store.time_to_live(key, now) {
            None => -2,
            Some(None) => -1,
            // Rounded, as Redis does: a key that was given ten seconds has ten.
            Some(Some(left)) => i64::try_from((left.as_millis() + 500) / 1000).unwrap_or(i64::MAX),
        }),
        (b"dbsize", []) => Reply::Integer(i64::try_from(store.len()).unwrap_or(i64::MAX)),
        (b"select", [b"0"]) | (b"quit", []) => OK,
        (b"config", [what, _]) if what.eq_ignore_ascii_case(b"get") => config(arguments[1]),
        // redis-cli asks for the documentation of commands, and is content with none.
        (b"command", _) => Reply::Bulks(Vec::new()),
        (
            b"ping" | b"echo" | b"get" | b"set" | b"del" | b"exists" | b"incr" | b"decr"
            | b"incrby" | b"expire" | b"ttl" | b"dbsize" | b"select" | b"quit" | b"config",
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
) -> Result<Reply<'static>, Refused> {
    let expires = match options {
        [] => None,
        [unit, count] if unit.eq_ignore_ascii_case(b"ex") => Some(after(now, count, 1000)?),
        [unit, count] if unit.eq_ignore_ascii_case(b"px") => Some(after(now, count, 1)?),
        _ => return Err(Refused::Syntax),
    };
    if expires.is_some_and(|at| at <= now) {
        return Err(Refused::ExpireTime);
    }
    store.set(key, value);
    if let Some(at) = expires {
        store.expire_at(key, at);
    }
    Ok(OK)
}

fn expire(
    store: &mut Store,
    key: &[u8],
    seconds: &[u8],
    now: Instant,
) -> Result<Reply<'static>, Refused> {
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

fn increase(store: &mut Store, key: &[u8], by: i64) -> Result<Reply<'static>, Refused> {
    let value = match store.get(key) {
        Some(value) => number(value).ok_or(Refused::NotANumber)?,
        None => 0,
    };
    let value = value.checked_add(by).ok_or(Refused::Overflow)?;
    store.replace(key, value.to_string().as_bytes());
    Ok(Reply::Integer(value))
}

/// What redis-benchmark asks for before it begins: nothing is saved here.
fn config(name: &[u8]) -> Reply<'_> {
    let value: &[u8] = match name {
        b"save" => b"",
        b"appendonly" => b"no",
        _ => return Reply::Bulks(Vec::new()),
    };
    Reply::Bulks(vec![name, value])
}

fn counted(keys: &[&[u8]], mut is_counted: impl FnMut(&[u8]) -> bool) -> Reply<'static> {
    let counted = keys.iter().filter(|key| is_counted(key)).count();
    Reply::Integer(i64::try_from(counted).unwrap_or(i64::MAX))
}
