//! The command line: from arguments to calls, from answers to text or JSON, from errors to exit codes.

mod args;
mod array;
mod events;
mod member;
mod names;
mod output;
mod sync;
#[cfg(test)]
mod tests;
mod values;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser};

use crate::client::Client;
use crate::{check, examine, run, status};
use args::{ArrayCommand, Cli, Command};
pub use output::Output;

/// How a command ended; see `basalt --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: refused or failed.
    Failed,
    /// 3: an array is not as it should be.
    Attention,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Attention => 3,
        }
    }
}

/// Runs the command line of this process. Wrong usage ends it with 2 (clap does that).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let exit = dispatch(&cli, &output).unwrap_or_else(|error| {
        output.error(&error);
        Exit::Failed
    });
    ExitCode::from(exit.code())
}

fn dispatch(cli: &Cli, output: &Output) -> Result<Exit> {
    let connect = || Client::connect(&cli.socket);
    match &cli.command {
        Command::Run(args) => run::run(args.config.as_deref(), &args.log),
        Command::Check { config } => check::command(config, output),
        Command::Status { array, watch: true } => status::watch(&cli.socket, array.as_deref()),
        Command::Status { array, watch: false } => status::once(&mut connect()?, array.as_deref(), output),
        Command::Array(ArrayCommand::Show { array }) => status::show(&mut connect()?, array, output),
        Command::Array(command) => array::run(&mut connect()?, command, output),
        Command::Member(command) => member::run(&mut connect()?, command, output),
        Command::Sync(command) => sync::run(&mut connect()?, command, output),
        Command::Events { array, since, follow } => {
            events::run(&mut connect()?, array.as_deref(), *since, *follow, output)
        }
        Command::Examine { path } => examine::command(path, output),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "basalt", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}
