//! What the terminal gets: answers on standard output, all else on standard error.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use crate::exit::Failure;

/// Writes a line of the answer, at once.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{text}\n").as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Output)
}

/// Writes an answer as one line of JSON.
pub(crate) fn answer_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?;
    answer(&text)
}

/// Says what went wrong, in one line.
pub(crate) fn complain(what: impl fmt::Display) {
    say(format!("error: {what}"));
}

/// Says what is no answer and no error.
pub(crate) fn note(what: impl fmt::Display) {
    say(format!("note: {what}"));
}

fn say(text: String) {
    // There is nobody left to tell that standard error is closed.
    let _ = io::stderr().lock().write_all(format!("{}\n", printable(&text)).as_bytes());
}

/// Others choose what their entries hold: shows control characters, so that none reaches the terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let unsafe_char = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(unsafe_char) {
        return text.into();
    }
    let escape = |c: char| if unsafe_char(c) { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect::<String>().into()
}

/// The terminal's width in columns, if standard output is one.
#[cfg(unix)]
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(not(unix))]
pub(crate) fn width() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_reaches_the_terminal() {
        assert_eq!(printable("häuser \"x\\y\""), "häuser \"x\\y\"");
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}"), r"a\u{1b}[2Jb\nc\u{202e}");
    }
}
