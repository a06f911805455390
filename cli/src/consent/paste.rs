//! Lines that a person pastes, beside everything else that is waited for.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use throughline_core::{Error, Result};
use tokio::sync::mpsc;

/// An address with a code has some hundred bytes.
const MOST_BYTES: u64 = 16 << 10;

/// Lines of standard input, or none at all.
pub struct Lines(Option<mpsc::Receiver<String>>);

/// `wanted`: whoever feeds standard input means it for this. Else only what a person types counts: a script's input
/// is not ours.
pub fn lines(wanted: bool) -> Lines {
    if !wanted && !std::io::stdin().is_terminal() {
        return Lines(None);
    }
    let (sender, receiver) = mpsc::channel(1);
    // A thread that the program's end does not wait for.
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock().take(MOST_BYTES);
        loop {
            input.set_limit(MOST_BYTES);
            let mut line = String::new();
            match input.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.trim().is_empty() => {}
                Ok(_) => {
                    if sender.blocking_send(line.trim().to_owned()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    Lines(Some(receiver))
}

impl Lines {
    /// `None` at the end of the input; for ever nothing without one.
    pub async fn next(&mut self) -> Option<String> {
        match &mut self.0 {
            Some(lines) => lines.recv().await,
            None => std::future::pending().await,
        }
    }
}

/// One line of standard input.
///
/// # Errors
/// When there is none.
pub fn one_line() -> Result<String> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(MOST_BYTES);
    input.read_line(&mut line).map_err(|e| Error::io("read", "standard input", e))?;
    match line.trim() {
        "" => Err(Error::config("standard input holds no code")),
        code => Ok(code.to_owned()),
    }
}
