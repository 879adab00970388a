//! Colour, where it helps and where it can be seen.

use std::io::IsTerminal;

/// What a piece of text means; the colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No paint.
    Plain,
    /// Headings and asides.
    Dim,
    /// Names that the eye looks for.
    Bold,
    /// As it should be.
    Good,
    /// Works, needs attention.
    Warn,
    /// Broken.
    Bad,
}

/// Whether to paint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// With ANSI colours.
    On,
    /// Plain text.
    Off,
}

impl Paint {
    /// Paint on a terminal, unless NO_COLOR is set (<https://no-color.org>) or the terminal is dumb.
    pub fn for_stream(stream: &impl IsTerminal) -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        if stream.is_terminal() && !refused { Paint::On } else { Paint::Off }
    }

    /// The text, painted or not.
    pub fn apply(self, style: Style, text: &str) -> String {
        let code = match (self, style) {
            (Paint::Off, _) | (_, Style::Plain) => return text.to_owned(),
            (_, Style::Dim) => "2",
            (_, Style::Bold) => "1",
            (_, Style::Good) => "32",
            (_, Style::Warn) => "33",
            (_, Style::Bad) => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
