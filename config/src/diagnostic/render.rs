//! Diagnostics as text, in the manner of rustc. The only module that knows how they look.

use super::{Diagnostic, DiagnosticKind, Diagnostics};
use crate::Place;

/// Whether the text is coloured, with ANSI escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// Coloured.
    Always,
}

/// So much of a line is shown; of a longer one, the part around the place.
const LINE_CHARS_MAX: usize = 100;

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[1;34m";
const GREEN: &str = "\x1b[1;32m";
const BOLD: &str = "\x1b[1m";

impl Colour {
    fn paint(self, style: &str, text: &str) -> String {
        match self {
            Self::Never => text.to_owned(),
            Self::Always => format!("{style}{text}\x1b[0m"),
        }
    }
}

impl Diagnostics {
    /// All of it, ending in a line break.
    pub fn render(&self, colour: Colour) -> String {
        let mut text = String::new();
        for diagnostic in &self.list {
            text += &diagnostic.render(&self.file, colour);
            text.push('\n');
        }
        let count = self.list.len() + self.left_out;
        let errors = if count == 1 { "error" } else { "errors" };
        if self.left_out > 0 {
            text += &format!("({} more not shown)\n", self.left_out);
        }
        text + &format!("{}: {count} {errors}; nothing was changed\n", visible(&self.file))
    }
}

impl Diagnostic {
    /// This one, as part of `file`.
    fn render(&self, file: &str, colour: Colour) -> String {
        let head = format!("error[{}]", self.kind.code());
        let mut text = format!(
            "{}: {}\n",
            colour.paint(RED, &head),
            colour.paint(BOLD, &visible(&self.kind.to_string()))
        );
        match &self.place {
            Some(place) => text += &snippet(place, RED, colour),
            None => text += &format!("  {} {}\n", colour.paint(BLUE, "-->"), visible(file)),
        }
        for note in &self.notes {
            text += &format!("  {} {}\n", colour.paint(BLUE, "note:"), note.text);
            text += &snippet(&note.place, BLUE, colour);
        }
        text + &help(&self.kind.remedy(), colour)
    }
}

impl DiagnosticKind {
    /// The kind by itself on one line: reason and remedy.
    pub fn one_line(&self) -> String {
        visible(&format!("{self}; {}", self.remedy()))
    }
}

impl Place {
    /// The line with a caret under the place, headed by `reason` and followed by `remedy`: for what goes
    /// wrong with an item of the file only when it is acted on.
    pub fn point_out(&self, reason: &str, remedy: &str, colour: Colour) -> String {
        let head = format!("{}: {}\n", colour.paint(RED, "error"), colour.paint(BOLD, &visible(reason)));
        head + &snippet(self, RED, colour) + &help(remedy, colour)
    }
}

fn help(remedy: &str, colour: Colour) -> String {
    format!("  {} {}\n", colour.paint(GREEN, "help:"), visible(remedy))
}

/// ```text
///   --> file:3:5
///    |
///  3 |     chunk: 3KiB
///    |            ^^^^
/// ```
fn snippet(place: &Place, style: &str, colour: Colour) -> String {
    let (line, before, width) = window(place);
    let number = place.line.to_string();
    let blank = " ".repeat(number.len());
    let bar = colour.paint(BLUE, "|");
    let caret = colour.paint(style, &"^".repeat(width));
    let arrow = colour.paint(BLUE, "-->");
    let place = visible(&place.to_string());
    let number = colour.paint(BLUE, &number);
    let shown = format!(" {number} {bar} {line}");
    let pointed = format!(" {blank} {bar} {}{caret}", " ".repeat(before));
    format!("  {arrow} {place}\n {blank} {bar}\n{}\n{pointed}\n", shown.trim_end())
}

/// The part of the line to show, how many characters stand before the place in it, and how many are meant.
fn window(place: &Place) -> (String, usize, usize) {
    let line: Vec<char> = visible(&place.line_text).chars().collect();
    let at = place.column - 1;
    if line.len() <= LINE_CHARS_MAX {
        return (line.into_iter().collect(), at, place.width);
    }
    let start = at.saturating_sub(LINE_CHARS_MAX / 2).min(line.len() - LINE_CHARS_MAX);
    let end = start + LINE_CHARS_MAX;
    let mut shown: String = line[start..end].iter().collect();
    let mut before = at.saturating_sub(start);
    if start > 0 {
        shown.insert_str(0, "... ");
        before += 4;
    }
    if end < line.len() {
        shown += " ...";
    }
    (shown, before, place.width.min(end.saturating_sub(at)).max(1))
}

/// Control characters would act on the terminal, and tabs would move the caret: each becomes one visible
/// character.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => '→',
            c if c.is_control() || is_direction_mark(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// Characters that reorder what is shown around them.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Source;

    #[test]
    fn the_caret_stands_under_the_place() {
        let place = Source::new("f.yaml", "a: 1\nchunk: 3KiB\n").place(2, 8, 4);
        let text = place.point_out("no", "do", Colour::Never);
        let wanted = "error: no\n  --> f.yaml:2:8\n   |\n 2 | chunk: 3KiB\n   |        ^^^^\n  help: do\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}HERE{}", "x".repeat(500), "y".repeat(500));
        let (shown, before, width) = window(&Source::new("f", &line).place(1, 501, 4));
        let pointed: String = shown.chars().skip(before).take(width).collect();
        assert_eq!(pointed, "HERE");
        assert!(shown.len() < 120);
    }

    #[test]
    fn control_characters_are_defused() {
        let place = Source::new("f\x1b", "\ta\x1b[31m").place(1, 1, 1);
        let text = place.point_out("\x1b[2J", "\u{202e}", Colour::Never);
        assert!(!text.contains(['\x1b', '\t', '\u{202e}']));
    }

    #[test]
    fn colours_only_when_asked() {
        let place = Source::new("f", "a").place(1, 1, 1);
        assert!(!place.point_out("r", "h", Colour::Never).contains('\x1b'));
        assert!(place.point_out("r", "h", Colour::Always).contains(RED));
    }
}
