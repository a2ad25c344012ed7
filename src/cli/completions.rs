//! `tidewater completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use crate::exit::ExitCode;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tidewater completions bash > /etc/bash_completion.d/tidewater
  tidewater completions zsh > \"${fpath[1]}/_tidewater\"";

/// For which shell.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// Prints the shell's completion script.
pub(super) fn run(arguments: CompletionsArguments) -> ExitCode {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "tidewater", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
    ExitCode::Success
}
