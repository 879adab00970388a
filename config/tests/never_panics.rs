//! Whatever stands in a file, it is answered, and each answer can be shown.

use std::sync::LazyLock;

use basalt_config::{Colour, parse};
use proptest::prelude::*;
use proptest::sample::Index;

/// The examples and the broken files: much of the grammar, right and wrong.
static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let files = ["examples", "broken"].into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths =
        files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    let mut texts: Vec<String> = paths.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    texts.sort();
    texts
});

/// Pieces that mean something.
const PIECES: [&str; 24] = [
    "\n",
    "\r",
    "\t",
    "  ",
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "---\n",
    "\"",
    "'",
    "|\n",
    "missing",
    "d0",
    "\u{1f980}",
    "99999999999999999999TiB",
    "-1",
    "\0",
];

/// Parses, and shows what comes of it.
fn answer(text: &str) {
    match parse(text, "folder/file.yaml") {
        Ok(config) => {
            let _ = (config.drives_in_build_order(), config.arrays_in_build_order(), format!("{config:?}"));
        }
        Err(diagnostics) => {
            assert!(!diagnostics.list.is_empty());
            assert!(!diagnostics.render(Colour::Always).is_empty());
            let shown = diagnostics.render(Colour::Never);
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
}

/// One change to a text: a piece put in, a range taken out, or a range copied to another place.
fn change(text: &mut Vec<char>, kind: u8, at: Index, other: Index, length: usize) {
    if text.is_empty() {
        return;
    }
    let at = at.index(text.len());
    let end = (at + length).min(text.len());
    match kind {
        0 => drop(text.splice(at..at, PIECES[other.index(PIECES.len())].chars())),
        1 => drop(text.drain(at..end)),
        2 => drop(text.splice(at..end, PIECES[other.index(PIECES.len())].chars())),
        _ => {
            let copied: Vec<char> = text[at..end].to_vec();
            let to = other.index(text.len());
            text.splice(to..to, copied);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        answer(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn on_random_pieces(pieces in prop::collection::vec(any::<Index>(), 0..80)) {
        let text: String = pieces.iter().map(|index| PIECES[index.index(PIECES.len())]).collect();
        answer(&text);
    }

    #[test]
    fn on_mutated_files(
        seed in any::<Index>(),
        changes in prop::collection::vec((0u8..4, any::<Index>(), any::<Index>(), 1usize..40), 1..6),
    ) {
        let mut text: Vec<char> = SEEDS[seed.index(SEEDS.len())].chars().collect();
        for (kind, at, other, length) in changes {
            change(&mut text, kind, at, other, length);
        }
        answer(&text.into_iter().collect::<String>());
    }
}
