//! Plans of whole configurations, as snapshots: what an operator would type, line by line.

use basalt_config::Config;

use super::teardown::{Live, order};
use super::{Made, Step, from_config, options};

fn config(text: &str) -> Config {
    basalt_config::parse(text, "test.yaml").unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn plan(text: &str) -> Vec<Step> {
    from_config(&config(text))
}

/// Place, purpose, call, and what is filled in later.
fn shown(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps {
        out.push_str(&format!("# {}: {}\n{} {}\n", step.place, step.what, step.method, step.params));
        for fill in &step.fills {
            out.push_str(&format!("  {} = {:?} of {}\n", fill.pointer, fill.fact, fill.array));
        }
    }
    out
}

fn made(steps: &[Step]) -> Vec<Made> {
    steps.iter().filter_map(|step| step.makes.clone()).collect()
}

fn names(order: &[Made]) -> Vec<String> {
    order.iter().map(Made::to_string).collect()
}

const MIRROR: &str = include_str!("yaml/mirror.yaml");
const NESTED: &str = include_str!("yaml/nested.yaml");

#[test]
fn mirror_of_files() {
    insta::assert_snapshot!(shown(&plan(MIRROR)));
}

#[test]
fn every_kind_of_drive() {
    insta::assert_snapshot!(shown(&plan(include_str!("yaml/nvme.yaml"))));
}

#[test]
fn nested_arrays_come_after_their_members() {
    insta::assert_snapshot!(shown(&plan(NESTED)));
}

#[test]
fn exports_share_one_discovery_address() {
    insta::assert_snapshot!(shown(&plan(include_str!("yaml/two_exports.yaml"))));
}

#[test]
fn the_example_of_the_state_folder() {
    let steps = plan(basalt_config::DEFAULT_YAML);
    insta::assert_snapshot!(steps.iter().map(|step| step.what.clone()).collect::<Vec<_>>().join("\n"));
}

#[test]
fn nothing_configured_is_nothing_to_do() {
    assert!(plan("runtime: { cores: [0] }\n").is_empty());
}

#[test]
fn startup_options() {
    insta::assert_json_snapshot!(options::startup_json(&config(include_str!("yaml/nvme.yaml"))));
}

#[test]
fn faulty_drives_come_after_what_they_lie_over() {
    let steps = plan(include_str!("yaml/faulty.yaml"));
    insta::assert_snapshot!(shown(&steps));
    assert_eq!(
        names(&order(&made(&steps), &Live::default())),
        ["array data", "drive f0", "drive d0", "drive f2", "drive f1", "drive n0"]
    );
}

#[test]
fn stopping_mirrors_the_start() {
    let order = order(&made(&plan(NESTED)), &Live::default());
    insta::assert_snapshot!(names(&order).join("\n"));
}

#[test]
fn what_was_added_since_goes_first_and_what_was_removed_is_left_out() {
    let live = Live {
        exports: Some(vec!["nqn.2026-11.io.basalt:data".into(), "nqn.2026-11.io.basalt:late".into()]),
        arrays: Some(vec!["late1".into(), "late2".into()]),
    };
    let order = order(&made(&plan(MIRROR)), &live);
    assert_eq!(
        names(&order),
        [
            "export nqn.2026-11.io.basalt:late",
            "discovery on 127.0.0.1 port 4420",
            "export nqn.2026-11.io.basalt:data",
            "array late2",
            "array late1",
            "drive d1",
            "drive d0",
        ]
    );
}

#[test]
fn a_start_that_failed_takes_back_what_it_did() {
    let steps = plan(MIRROR);
    let order = order(&made(&steps[..2]), &Live { exports: Some(Vec::new()), arrays: Some(Vec::new()) });
    assert_eq!(names(&order), ["drive d1", "drive d0"]);
}
