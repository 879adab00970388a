//! `broken/`: for each thing that can be wrong, a file, the whole text that the operator sees, and the file
//! after the remedy in that text was applied.
//!
//! - `CODE.yaml` and `CODE-DETAIL.yaml` have one fault, of the kind with that code; `many-*.yaml` have
//!   several.
//! - `NAME.txt` is the text. After a wanted change: `BLESS=1 cargo test -p basalt-config --test broken`, then
//!   review.
//! - `NAME.fixed.yaml` is the file after the remedy.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use basalt_config::{CODES, Diagnostics, load};

/// The cases, by the name of the file.
fn names() -> Vec<String> {
    let files =
        fs::read_dir("broken").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> =
        files.filter_map(|file| Some(file.strip_suffix(".fixed.yaml")?.to_owned())).collect();
    assert!(names.len() >= CODES.len(), "broken/ was not found, or is not whole");
    names.into_iter().collect()
}

/// The path to load: what is wrong with a few files cannot be written into them.
fn path_of(name: &str) -> PathBuf {
    match name {
        "file_is_directory" => "broken".into(),
        "file_unreadable" => "broken/file_empty.yaml/a-file-is-no-folder.yaml".into(),
        "file_too_large" => "/dev/zero".into(),
        name => format!("broken/{name}.yaml").into(),
    }
}

fn diagnostics_of(name: &str) -> Diagnostics {
    match load(path_of(name)) {
        Ok(_) => panic!("broken/{name}.yaml should be refused, and is not"),
        Err(diagnostics) => diagnostics,
    }
}

fn has_many(name: &str) -> bool {
    name.starts_with("many-")
}

#[test]
fn the_messages_are_as_reviewed() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for name in names() {
        let text = diagnostics_of(&name).to_string();
        let snapshot = format!("broken/{name}.txt");
        if bless {
            fs::write(&snapshot, &text).unwrap();
        }
        let reviewed = fs::read_to_string(&snapshot).unwrap_or_default();
        if reviewed != text {
            wrong.push(format!("{snapshot} says\n{reviewed}\nbut the message is\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_has_a_file_with_that_fault_alone() {
    let names = names();
    for code in CODES {
        assert!(names.iter().any(|name| name == code), "no broken/{code}.yaml shows the kind {code}");
    }
    for name in names.iter().filter(|name| !has_many(name)) {
        let found: Vec<_> =
            diagnostics_of(name).list.iter().map(|diagnostic| diagnostic.kind.code()).collect();
        let code = name.split('-').next().unwrap();
        assert_eq!(found, [code], "broken/{name}.yaml");
    }
}

#[test]
fn many_faults_are_told_at_once() {
    let diagnostics = diagnostics_of("many-at_once");
    assert!(diagnostics.list.len() >= 12, "{diagnostics}");
    let lines: Vec<_> = diagnostics.list.iter().map(|found| found.place.as_ref().unwrap().line).collect();
    assert!(lines.is_sorted());
}

#[test]
fn every_message_has_place_line_and_remedy() {
    for name in names() {
        for found in diagnostics_of(&name).list {
            assert!(!found.kind.remedy().is_empty(), "{name}");
            let Some(place) = found.place else {
                assert!(name.starts_with("file_"), "{name} has no place");
                continue;
            };
            let text = fs::read(path_of(&name)).unwrap();
            let text = String::from_utf8_lossy(&text);
            assert_eq!(text.lines().nth(place.line - 1), Some(&*place.line_text), "{name}");
            let end = place.column - 1 + place.width;
            assert!(end <= place.line_text.chars().count() + 1, "{name}: the caret leaves the line");
        }
    }
}

#[test]
fn what_is_fixed_parses() {
    for name in names() {
        let fixed = format!("broken/{name}.fixed.yaml");
        if let Err(diagnostics) = load(&fixed) {
            panic!("{fixed} should parse:\n{diagnostics}");
        }
        assert_ne!(fs::read(path_of_text(&name)).ok(), fs::read(&fixed).ok(), "{fixed} is the broken file");
    }
}

/// The text to type that a remedy begins with is what was typed.
#[test]
fn what_is_fixed_follows_the_remedy() {
    let mut followed = 0;
    for name in names().iter().filter(|name| !has_many(name)) {
        let fixed = fs::read_to_string(format!("broken/{name}.fixed.yaml")).unwrap();
        let remedy = diagnostics_of(name).list[0].kind.remedy();
        let choices =
            ["write `", "add `", "did you mean `"].iter().find_map(|start| remedy.strip_prefix(start));
        let Some(rest) = choices else { continue };
        let (first, alternatives) = rest.split_once('`').unwrap();
        let mut texts = vec![first];
        texts.extend(alternatives.strip_prefix(" or `").and_then(|other| other.split('`').next()));
        assert!(
            texts.iter().any(|text| fixed.contains(text)),
            "{name}: `{remedy}` was not followed in\n{fixed}"
        );
        followed += 1;
    }
    assert!(followed > 40, "only {followed} remedies say what to type");
}

/// The broken file itself, if there is one that can be read.
fn path_of_text(name: &str) -> PathBuf {
    format!("broken/{name}.yaml").into()
}
