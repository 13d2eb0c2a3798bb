//! The arguments of `ebbtide completions`.

use clap::Args as Arguments;
use clap_complete::Shell;

/// `ebbtide completions`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide completions bash >~/.local/share/bash-completion/completions/ebbtide
  ebbtide completions zsh >~/.zfunc/_ebbtide               with ~/.zfunc in fpath
  ebbtide completions fish >~/.config/fish/completions/ebbtide.fish
  ebbtide completions powershell >>$PROFILE
  ebbtide completions elvish >>~/.config/elvish/rc.elv

The Debian package has them in place for bash, zsh and fish.")]
pub struct Completions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}
