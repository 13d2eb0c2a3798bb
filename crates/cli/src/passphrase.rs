//! A passphrase, asked for on the terminal without showing it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// How long one may be, in bytes.
const PASSPHRASE_BYTES_MAX: usize = 1024;

/// Asks for it.
///
/// # Errors
/// With why nobody could be asked.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<String>, String> {
    read(prompt).map_err(|error| format!("ask for the passphrase: {error}"))
}

fn read(prompt: &str) -> io::Result<Zeroizing<String>> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let hidden = Hidden::begin(terminal.try_clone()?)?;
    terminal.write_all(prompt.as_bytes())?;
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX + 1));
    // A terminal gives no more than a line at once.
    BufReader::with_capacity(PASSPHRASE_BYTES_MAX, &terminal).read_until(b'\n', &mut line)?;
    drop(hidden);
    terminal.write_all(b"\n")?;
    let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden {
    terminal: File,
    before: Termios,
}

impl Hidden {
    fn begin(terminal: File) -> io::Result<Hidden> {
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &hidden)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody to tell if the terminal is gone.
        tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before).ok();
    }
}
