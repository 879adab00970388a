//! The command line, as clap sees it. Doc comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::values::{Wait, duration_ms, rate, size_bytes, wait};

/// A RAID for NVMe drives in userspace: describe the system in one YAML file, run it, steer it while it runs.
#[derive(Debug, Parser)]
#[command(name = "basalt", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done; 1 refused or failed; 2 wrong usage; \
    3 `status` and `array show`: an array is degraded, failed or stopped.")]
pub struct Cli {
    /// Socket of the daemon to talk to.
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    #[arg(env = "BASALT_SOCKET", hide_env_values = true)]
    pub socket: PathBuf,
    /// Print JSON instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// Where a daemon listens when nothing else is said.
pub const DEFAULT_SOCKET: &str = "/var/tmp/basalt.sock";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground until Ctrl-C or SIGTERM.
    Run(RunArgs),
    /// Check a YAML file, and what can be checked around it, without starting anything.
    Check {
        /// The YAML file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Show arrays, members and exports, and what to do when something is wrong.
    Status {
        /// Show this array only.
        array: Option<String>,
        /// Keep showing it, until Ctrl-C.
        #[arg(short, long, conflicts_with = "json")]
        watch: bool,
    },
    /// Create, delete, show, start, stop and set up arrays.
    #[command(subcommand)]
    Array(ArrayCommand),
    /// Add, fail, remove and replace members of an array.
    #[command(subcommand)]
    Member(MemberCommand),
    /// Steer resync, rebuild, check and repair.
    #[command(subcommand)]
    Sync(SyncCommand),
    /// Show what happened to the arrays.
    Events {
        /// Of this array only.
        array: Option<String>,
        /// Only those after event number N: the last one that you have seen.
        #[arg(long, value_name = "N", default_value_t = 0)]
        since: u64,
        /// Wait for more, until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
    },
    /// Decode the metadata of a drive or an image file. Reads only; needs no daemon.
    Examine {
        /// A file or a block device.
        path: PathBuf,
    },
    /// Print the completions of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The YAML file. Without it: a ready-made raid10 of four file drives in a state folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log to stderr: error, warn, info, debug, trace, or per module (`warn,basalt=debug`).
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum ArrayCommand {
    /// Make an array of drives that the daemon has open, and start it.
    Create(Box<CreateArgs>),
    /// Take an array apart for good: its drives forget that they were members.
    Delete { array: String },
    /// Show one array in full.
    Show { array: String },
    /// Start an array that is stopped, or that waits for members.
    Start {
        array: String,
        /// Start it at once, without the members that are missing.
        #[arg(long)]
        degraded: bool,
        /// Start it although another host has it, once that host has been silent for 15 s.
        #[arg(long)]
        force: bool,
    },
    /// Stop an array: its bdev goes, its drives are closed, and what is on them stays.
    Stop { array: String },
    /// After a split brain: say which side is kept.
    Resolve {
        array: String,
        /// A drive of the side that is right; nothing of the other side is merged into it.
        #[arg(long, value_name = "DRIVE")]
        keep: String,
    },
    /// Change what can be changed while the array runs.
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    pub array: String,
    /// concat, raid0, raid1, raid10, raid5 or raid6.
    #[arg(long)]
    pub level: String,
    /// Drives in slot order; `missing` leaves a slot open.
    #[arg(long, value_delimiter = ',', required = true, value_name = "DRIVE,DRIVE...")]
    pub members: Vec<String>,
    /// Drives that step in for a failed member.
    #[arg(long, value_delimiter = ',', value_name = "DRIVE,...")]
    pub spares: Vec<String>,
    /// Chunk size (64KiB).
    #[arg(long, value_parser = size_bytes, value_name = "SIZE")]
    pub chunk: Option<u64>,
    /// raid10: near=2; raid5 and raid6: left-symmetric and its like.
    #[arg(long)]
    pub layout: Option<String>,
    /// auto, log, bitmap or none.
    #[arg(long)]
    pub consistency: Option<String>,
    /// Region size of the dirty marks.
    #[arg(long, value_parser = size_bytes, value_name = "SIZE")]
    pub region: Option<u64>,
    /// drives, or none for an array that is never assembled again.
    #[arg(long)]
    pub metadata: Option<String>,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Drives that can't flush and need not.
    #[arg(long, value_delimiter = ',', value_name = "DRIVE,...")]
    pub assume_durable: Vec<String>,
    /// How long a later start waits for missing members before it goes on without them; or never.
    #[arg(long, value_parser = wait, value_name = "TIME", default_value = "30s")]
    pub start_degraded_after: Wait,
    /// What to do with drives that have something on them.
    #[arg(long, value_name = "HOW", default_value = "refuse")]
    pub existing: Existing,
    /// The same as --existing overwrite: what is on the drives is lost.
    #[arg(long, conflicts_with = "existing")]
    pub overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Existing {
    /// Refuse them.
    Refuse,
    /// Start the array that is on them; make one only if they are all blank.
    Assemble,
    /// Make the array all the same.
    Overwrite,
}

impl Existing {
    pub fn as_str(self) -> &'static str {
        match self {
            Existing::Refuse => "refuse",
            Existing::Assemble => "assemble",
            Existing::Overwrite => "overwrite",
        }
    }
}

#[derive(Debug, Args)]
pub struct SetArgs {
    pub array: String,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Rate that sync keeps even under load (50MiB/s).
    #[arg(long, value_parser = rate, value_name = "RATE")]
    pub min_rate: Option<u64>,
    /// Rate that sync never exceeds (500MiB/s, or unlimited).
    #[arg(long, value_parser = rate, value_name = "RATE")]
    pub max_rate: Option<u64>,
}

#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// A member that does not answer for so long is failed (10s).
    #[arg(long, value_parser = duration_ms, value_name = "TIME")]
    pub member_timeout: Option<u64>,
    /// What host I/O does when too many members are lost.
    #[arg(long)]
    pub on_failed: Option<OnFailed>,
    /// Read errors that a member may have before it is failed.
    #[arg(long, value_name = "N")]
    pub max_read_errors: Option<u32>,
    /// Write errors that a member may have before it is failed.
    #[arg(long, value_name = "N")]
    pub max_write_errors: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OnFailed {
    /// It fails.
    Error,
    /// It waits for the drives to come back.
    Wait,
}

impl OnFailed {
    pub fn as_str(self) -> &'static str {
        match self {
            OnFailed::Error => "error",
            OnFailed::Wait => "wait",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Put a drive into an open slot, or make it a spare.
    Add {
        array: String,
        drive: String,
        /// Take the drive although it carries data or metadata of another array.
        #[arg(long)]
        overwrite: bool,
    },
    /// Declare a member faulty: nothing is read from it or written to it any more.
    Fail { array: String, drive: String },
    /// Take a member out of the array and close its drive.
    Remove {
        array: String,
        drive: String,
        /// Erase the array's metadata on the drive, too.
        #[arg(long)]
        wipe: bool,
    },
    /// Put another drive in the place of a member, without losing redundancy meanwhile.
    Replace {
        array: String,
        drive: String,
        /// The new drive; without it a spare is taken.
        #[arg(long = "with", value_name = "DRIVE")]
        with: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// Start a check, a repair or a resync.
    Start {
        array: String,
        #[arg(long, default_value = "check")]
        action: SyncAction,
    },
    /// Pause what runs. It does not move until it is resumed.
    Pause { array: String },
    /// Go on.
    Resume { array: String },
    /// Give up a check or a repair.
    Cancel { array: String },
    /// Wait until nothing is left to do.
    Wait { array: String },
    /// Last result of each action, with the ranges that differed and the bad blocks.
    Results { array: String },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SyncAction {
    /// Compare and count.
    Check,
    /// Compare and correct.
    Repair,
    /// Copy anew.
    Resync,
}

impl SyncAction {
    pub fn as_str(self) -> &'static str {
        match self {
            SyncAction::Check => "check",
            SyncAction::Repair => "repair",
            SyncAction::Resync => "resync",
        }
    }
}
