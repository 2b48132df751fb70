//! Instructions that say what an image is, and change no file.

use super::{Request, Wrong, arg, flags};
use crate::ast::{Arg, CommandLine, Healthcheck, Pairs, Probe, Word};
use crate::duration;
use crate::error::Problem;
use crate::lex::Arguments;

/// Shortest time that a health check may be about, ns.
const MIN_INTERVAL_NS: i64 = 1_000_000;

pub(super) fn args(request: &Request) -> Result<Vec<Arg>, Wrong> {
    let words = at_least_one(request)?;
    words.iter().map(|word| arg(word, &request.written().comments)).collect()
}

pub(super) fn pairs(request: &Request) -> Result<Pairs, Wrong> {
    flags::none(request)?;
    let Arguments::Pairs(pairs) = &request.lexed.arguments else {
        return Err(Problem::AtLeastOneArgument(request.name()).into());
    };
    match pairs.pairs.iter().find(|pair| pair.key.is_empty()) {
        Some(pair) => Err(Problem::BlankName(request.name()).of(pair.span)),
        None => Ok(pairs.clone()),
    }
}

/// Ports are sorted: so is the history of images that BuildKit makes.
pub(super) fn ports(request: &Request) -> Result<Vec<Word>, Wrong> {
    let mut words = at_least_one(request)?;
    flags::none(request)?;
    words.sort_by(|left, right| left.text.cmp(&right.text));
    Ok(words)
}

pub(super) fn volumes(request: &Request) -> Result<Vec<Word>, Wrong> {
    let mut words = at_least_one(request)?;
    flags::none(request)?;
    for word in &mut words {
        word.text = word.text.trim().to_owned();
        if word.text.is_empty() {
            return Err(Problem::EmptyVolume.of(word.span));
        }
    }
    Ok(words)
}

fn at_least_one(request: &Request) -> Result<Vec<Word>, Wrong> {
    let words = request.words();
    if words.is_empty() {
        return Err(Problem::AtLeastOneArgument(request.name()).into());
    }
    Ok(words)
}

pub(super) fn shell(request: &Request) -> Result<Vec<String>, Wrong> {
    match request.command_line()? {
        CommandLine::Exec(words) if !words.is_empty() => Ok(words),
        CommandLine::Shell(line) if !line.is_empty() => {
            Err(Problem::NotJson(request.name()).into())
        }
        _ => Err(Problem::AtLeastOneArgument(request.name()).into()),
    }
}

/// The text of a trigger: the instruction as written, spaces at its end and all, and its heredocs.
/// It is part of what an image is, so BuildKit's and ours must be the same to the byte.
pub(super) fn onbuild(request: &Request) -> Result<String, Wrong> {
    let Arguments::Trigger { name, .. } = &request.lexed.arguments else {
        return Err(Problem::AtLeastOneArgument(request.name()).into());
    };
    flags::none(request)?;
    check_trigger(&name.text).map_err(|problem| problem.of(name.span))?;
    let mut text = without_name(&request.written().text).to_owned();
    text.push_str(&request.lexed.trailing);
    for heredoc in &request.lexed.heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
    Ok(text)
}

/// The instruction without `ONBUILD`.
fn without_name(text: &str) -> &str {
    text.get("ONBUILD".len()..).unwrap_or_default().trim_start()
}

/// Whether a trigger may be this instruction.
pub(super) fn check_trigger(name: &str) -> Result<(), Problem> {
    match name.to_uppercase().as_str() {
        "ONBUILD" => Err(Problem::OnbuildChain),
        name @ ("FROM" | "MAINTAINER") => Err(Problem::OnbuildTrigger(name.to_owned())),
        _ => Ok(()),
    }
}

pub(super) fn healthcheck(request: &Request) -> Result<Healthcheck, Wrong> {
    let Arguments::Healthcheck { kind, command } = &request.lexed.arguments else {
        return Err(Problem::AtLeastOneArgument(request.name()).into());
    };
    let name = kind.text.to_uppercase();
    if name == "NONE" {
        return match command {
            None => Ok(Healthcheck::None),
            Some(_) => Err(Problem::HealthcheckNone.into()),
        };
    }
    let flags = flags::check(
        request,
        &[
            flags::value("interval"),
            flags::value("timeout"),
            flags::value("start-period"),
            flags::value("start-interval"),
            flags::value("retries"),
        ],
    )?;
    if name != "CMD" {
        return Err(Problem::HealthcheckType(name).of(kind.span));
    }
    let command = match command {
        None => return Err(Problem::HealthcheckCommand.into()),
        Some(CommandLine::Exec(words)) if words.is_empty() => {
            return Err(Problem::HealthcheckCommand.into());
        }
        Some(command) => command.clone(),
    };
    Ok(Healthcheck::Cmd(Box::new(Probe {
        command,
        interval_ns: interval(&flags, "interval")?,
        timeout_ns: interval(&flags, "timeout")?,
        start_period_ns: interval(&flags, "start-period")?,
        start_interval_ns: interval(&flags, "start-interval")?,
        retries: retries(&flags)?,
    })))
}

fn interval(flags: &flags::Flags<'_>, name: &'static str) -> Result<i64, Wrong> {
    let Some(word) = flags.word(name) else { return Ok(0) };
    let ns =
        duration::parse_ns(&word.text).map_err(|error| Problem::Duration(error).of(word.span))?;
    if ns != 0 && ns < MIN_INTERVAL_NS {
        return Err(Problem::ShortInterval(name).of(word.span));
    }
    Ok(ns)
}

fn retries(flags: &flags::Flags<'_>) -> Result<u32, Wrong> {
    let Some(word) = flags.word("retries") else { return Ok(0) };
    let wrong = |reason| Problem::Retries { value: word.text.clone(), reason }.of(word.span);
    let digits = word.text.strip_prefix(['+', '-']).unwrap_or(&word.text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("invalid syntax"));
    }
    let number: i32 = word.text.parse().map_err(|_| wrong("value out of range"))?;
    u32::try_from(number).map_err(|_| Problem::NegativeRetries(i64::from(number)).of(word.span))
}
