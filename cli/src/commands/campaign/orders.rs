//! What the person at the terminal wants.

use std::{
    io::{self, BufRead, IsTerminal, Read},
    thread,
};

use tokio::sync::mpsc;

use crate::output;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Resign,
    Who,
    Quit,
}

/// Reads standard input on a thread that nothing waits for: nothing else could give up a read of it.
pub(crate) fn read() -> mpsc::Receiver<Order> {
    let (orders, received) = mpsc::channel(1);
    if let Err(error) = thread::Builder::new().name("orders".into()).spawn(move || relay(&orders)) {
        output::complain(format!("could not read standard input: {error}"));
    }
    received
}

fn relay(orders: &mpsc::Sender<Order>) {
    let mut input = io::stdin().lock();
    let terminal = io::stdin().is_terminal();
    let mut line = Vec::new();
    loop {
        if terminal {
            await_turn();
        }
        line.clear();
        match input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Err(error) => return output::complain(format!("could not read standard input: {error}")),
            Ok(_) => {}
        }
        match parse(&String::from_utf8_lossy(&line)) {
            Ok(None) => {}
            Ok(Some(order)) => {
                if orders.blocking_send(order).is_err() {
                    return;
                }
            }
            Err(why) => output::complain(why),
        }
    }
}

fn parse(line: &str) -> Result<Option<Order>, String> {
    match line.trim() {
        "" => Ok(None),
        "resign" => Ok(Some(Order::Resign)),
        "who" => Ok(Some(Order::Who)),
        "quit" => Ok(Some(Order::Quit)),
        other => Err(format!("could not understand {other:?}: the commands are resign, who and quit")),
    }
}

/// Waits until there is a line for this process. The terminal stops (SIGTTIN) whoever reads it from the background: that
/// would cost a leader its session.
#[cfg(unix)]
fn await_turn() {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        process::getpgrp,
        termios::tcgetpgrp,
    };

    let stdin = io::stdin();
    loop {
        let _ = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None);
        // Without a foreground to be in, reading says what is wrong.
        if tcgetpgrp(&stdin).is_ok_and(|foreground| foreground != getpgrp()) {
            thread::sleep(std::time::Duration::from_millis(200));
        } else {
            return;
        }
    }
}

#[cfg(not(unix))]
fn await_turn() {}

const LONGEST_LINE: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_words() {
        for (line, order) in [("resign\n", Order::Resign), (" who \r\n", Order::Who), ("quit", Order::Quit)] {
            assert_eq!(parse(line), Ok(Some(order)));
        }
        assert_eq!(parse(" \n"), Ok(None));
    }

    #[test]
    fn an_unknown_order_is_named_with_those_there_are() {
        let why = parse("stop now\n").unwrap_err();
        for word in ["\"stop now\"", "resign", "who", "quit"] {
            assert!(why.contains(word), "{why}");
        }
    }
}
