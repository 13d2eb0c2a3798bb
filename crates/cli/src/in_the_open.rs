//! Secret keys where others see them: arguments are in the list of processes and in the history of a shell, variables are
//! inherited by all that is started.

use std::env;
use std::ffi::OsString;

use ebbtide_config::secret_key_in;

use crate::exit::{Code, Failure};

/// The variables that are ours.
const OURS: &str = "EBBTIDE_";

/// Why the command is not run as it was given: before anything of it is shown, even in an error. What an application is
/// told that `replicate` runs is its own.
#[must_use]
pub fn refusal() -> Option<Failure> {
    let own = env::args_os().skip(1).take_while(|arg| arg != "--");
    let why = refused(own, env::vars_os())?;
    Some(Failure::new(Code::Usage, why))
}

fn refused(
    mut args: impl Iterator<Item = OsString>,
    mut variables: impl Iterator<Item = (OsString, OsString)>,
) -> Option<String> {
    let is_secret = |text: &OsString| secret_key_in(&text.to_string_lossy()).is_some();
    let ours = |name: &OsString| name.to_string_lossy().starts_with(OURS);
    let what = match args.any(|arg| is_secret(&arg)) {
        true => "an argument".to_owned(),
        false => {
            let (name, _) = variables.find(|(name, value)| ours(name) && is_secret(value))?;
            name.to_string_lossy().into_owned()
        }
    };
    Some(format!(
        "{what} has a secret key in it, which others can see there: name the file that it is in, as in --identity FILE. \
         Whoever saw this one can read what is wrapped for it: make another with `ebbtide keygen`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_is_refused_and_not_repeated() {
        let key = format!("AGE-SECRET-KEY-1{}", "QPZRY9X8".repeat(7));
        let of = |args: &[&str], variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
            refused(args.iter().map(OsString::from), variables)
        };
        let joined = format!("--identity={key}");
        let command = format!("age -d -i {key}");
        for args in [["--identity", &key], ["--recipient", &joined], ["--key-command", &command]] {
            let why = of(&args, &[]).unwrap();
            assert!(why.starts_with("an argument") && !why.contains("QPZRY9"), "{why}");
        }
        let why = of(&[], &[("HOME", "/"), ("EBBTIDE_IDENTITY_FILE", &key)]).unwrap();
        assert!(why.starts_with("EBBTIDE_IDENTITY_FILE") && !why.contains("QPZRY9"), "{why}");
        assert_eq!(of(&["--identity", "owner.txt"], &[("SOPS_AGE_KEY", &key)]), None);
    }
}
