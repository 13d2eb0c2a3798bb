//! A program that opens what was wrapped.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use ebbtide_seal::{Unwrap, UnwrapError};
use zeroize::Zeroizing;

/// How much such a program may answer, in bytes; a secret key with what belongs to it has 250.
const ANSWER_BYTES_MAX: usize = 1 << 16;

/// A shell command that gets a wrapped key on its standard input and gives the plain text on its standard output, such as
/// `age -d -i yubikey.txt`. It is run once for each key; what it says of itself goes to the terminal.
#[derive(Debug, Clone)]
pub struct KeyCommand(String);

impl KeyCommand {
    /// The command, which the shell takes apart.
    #[must_use]
    pub fn new(command: String) -> KeyCommand {
        KeyCommand(command)
    }
}

impl Unwrap for KeyCommand {
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let failed = |why: String| UnwrapError::Identity(format!("the key command {why}"));
        let cannot = |error: std::io::Error| failed(format!("cannot be run: {error}"));
        let mut child = Command::new("/bin/sh")
            .args(["-c", &self.0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let mut answer = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX + 1));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let read = thread::scope(|scope| {
            // A program need not read all of it before it answers, or any.
            scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(wrapped)));
            let limit = ANSWER_BYTES_MAX as u64 + 1;
            stdout.map_or(Ok(0), |stdout| stdout.take(limit).read_to_end(&mut answer))
        });
        let status = child.wait().map_err(cannot)?;
        read.map_err(|error| failed(format!("gave no answer: {error}")))?;
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(failed(format!("answered more than {ANSWER_BYTES_MAX} bytes")));
        }
        if !status.success() {
            return Err(failed(format!("failed ({status})")));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrap(command: &str, wrapped: &[u8]) -> Result<Vec<u8>, String> {
        let answer = KeyCommand::new(command.to_owned()).unwrap(wrapped);
        answer.map(|answer| answer.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_answers_or_fails_and_need_not_read() {
        assert_eq!(unwrap("tr a-z A-Z", b"wrapped").as_deref(), Ok(&b"WRAPPED"[..]));
        assert_eq!(unwrap("printf key", &vec![0; 1 << 20]).as_deref(), Ok(&b"key"[..]));
        assert!(unwrap("exit 3", b"").unwrap_err().contains("exit status: 3"));
        assert!(unwrap("cat /dev/zero", b"").unwrap_err().contains("more than 65536 bytes"));
        assert!(unwrap("no-such-program-of-ours 2>&-", b"").unwrap_err().contains("127"));
    }
}
