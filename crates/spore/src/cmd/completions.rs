//! `spore completions`: a script for a shell, from the same definitions as the help.

use crate::args::Cli;
use crate::context::Context;
use crate::exit::Outcome;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Arguments of `spore completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

/// Print the script.
pub fn run(args: &CompletionsArgs, context: &mut Context) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "spore", &mut script);
    Ok(context.out.write_all(&script)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_shell_has_a_script() {
        let temp = tempfile::tempdir().unwrap();
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let (outcome, script) = crate::testing::run_in(temp.path(), &["completions", shell], &[]);
            assert_eq!(outcome, Ok(()));
            assert!(script.contains("power-cut"), "{shell}");
        }
    }
}
