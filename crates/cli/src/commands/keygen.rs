//! `ebbtide keygen`.

use std::io::{self, IsTerminal as _, Write as _};

use ebbtide_keys::NewIdentity;
use zeroize::Zeroizing;

use crate::args::Keygen;
use crate::exit::{Code, Failure, Outcome};
use crate::new_file::NewFile;
use crate::{logging, output};

/// Draws an identity.
///
/// # Errors
/// When its file is there already, or cannot be written.
pub(crate) fn run(args: Keygen) -> Result<Outcome, Failure> {
    let identity = NewIdentity::generate().map_err(|error| Failure::new(Code::Failed, error))?;
    let now = ebbtide_sidecar::clock::now();
    let text = Zeroizing::new(format!("# created: {now}\n{}", identity.text()));
    match &args.output {
        None => {
            // Whoever only wants the file sees the recipient nevertheless.
            if !io::stdout().is_terminal() {
                logging::note(format_args!("public key: {}", identity.recipient()));
            }
            output::lines(&text);
        }
        Some(path) => {
            // A new file is its owner's alone.
            let file = NewFile::create(path, false)?;
            let written = file.file().write_all(text.as_bytes());
            written.map_err(|error| {
                Failure::new(Code::Failed, format!("write {}: {error}", path.display()))
            })?;
            file.publish()?;
            output::line(format_args!("public key: {}", identity.recipient()));
        }
    }
    Ok(Outcome::Done)
}
