//! What the command line accepts, and the one way in which it is told.

use clap::{CommandFactory, Parser};

use super::args::{ArrayCommand, Cli, Command, Existing, MemberCommand, SyncAction, SyncCommand};

fn parsed(line: &str) -> Cli {
    Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(line: &str) -> String {
    let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_design_is_there() {
    for line in [
        "basalt run -c basalt.yaml",
        "basalt run",
        "basalt run --log debug",
        "basalt check -c basalt.yaml",
        "basalt status",
        "basalt status data --watch",
        "basalt status --json",
        "basalt array create data --level raid1 --members d0,d1",
        "basalt array create data --level raid1 --members d0,d1 --existing assemble",
        "basalt array create data --level raid1 --members d0,d1 --overwrite --start-degraded-after never",
        "basalt array delete data",
        "basalt array show data --json",
        "basalt array start data --degraded --force",
        "basalt array stop data",
        "basalt array resolve data --keep d0",
        "basalt array set data --member-timeout 5s --min-rate 50MiB/s",
        "basalt member add data d4 --overwrite",
        "basalt member fail data d1",
        "basalt member remove data d1 --wipe",
        "basalt member replace data d1 --with d4",
        "basalt sync start data --action repair",
        "basalt sync pause data",
        "basalt sync resume data",
        "basalt sync cancel data",
        "basalt sync wait data",
        "basalt sync results data",
        "basalt events --since 7 --follow",
        "basalt events data",
        "basalt examine d0.img",
        "basalt completions bash",
        "basalt --socket other.sock status",
        "basalt status --socket other.sock",
    ] {
        parsed(line);
    }
}

#[test]
fn create_takes_all_that_the_yaml_can_say() {
    let cli = parsed(
        "basalt array create data --level raid10 --members d0,missing,d2 --spares d3 --chunk 128KiB \
         --layout near=2 --consistency bitmap --region 4MiB --metadata none --member-timeout 2s \
         --on-failed wait --max-read-errors 5 --max-write-errors 2 --assume-durable d0,d2",
    );
    let Command::Array(ArrayCommand::Create(args)) = cli.command else { panic!("not create") };
    assert_eq!(args.members, ["d0", "missing", "d2"]);
    assert_eq!((args.chunk, args.region), (Some(128 << 10), Some(4 << 20)));
    assert_eq!(args.policy.member_timeout, Some(2000));
    assert_eq!(args.policy.on_failed.map(|on| on.as_str()), Some("wait"));
    assert_eq!(args.assume_durable, ["d0", "d2"]);
    assert_eq!((args.existing, args.start_degraded_after.ms()), (Existing::Refuse, Some(30_000)));
}

#[test]
fn defaults() {
    let cli = parsed("basalt sync start data");
    assert!(matches!(cli.command, Command::Sync(SyncCommand::Start { action: SyncAction::Check, .. })));
    let cli = parsed("basalt member replace data d1");
    assert!(matches!(cli.command, Command::Member(MemberCommand::Replace { with: None, .. })));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    assert!(refused("basalt frobnicate").contains("unrecognized subcommand"));
    assert!(refused("basalt").contains("Usage: basalt"));
    assert!(refused("basalt array create data --level raid1").contains("--members"));
    assert!(refused("basalt array create data --level raid1 --members a,b --chunk 64k").contains("64KiB"));
    assert!(refused("basalt array resolve data").contains("--keep"));
    assert!(refused("basalt member fail data").contains("<DRIVE>"));
    assert!(refused("basalt sync start data --action scrub").contains("check, repair, resync"));
    assert!(refused("basalt status --watch --json").contains("cannot be used with"));
}

#[test]
fn completions_name_the_commands() {
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "basalt", &mut script);
    let script = String::from_utf8(script).unwrap();
    for command in ["status", "member", "replace", "examine"] {
        assert!(script.contains(command), "{command} is missing");
    }
}

#[test]
fn help_is_readable() {
    insta::assert_snapshot!(Cli::command().term_width(100).render_long_help().to_string());
}
