//! What is wrong with a file: kind, place, notes, and how all of it is collected.

mod codes;
mod kind;
mod remedy;
mod render;
mod suggest;

use std::fmt;
use std::sync::Arc;

pub use codes::CODES;
pub use kind::{DiagnosticKind, Known};
pub use render::Colour;
pub(crate) use suggest::nearest;

use crate::Place;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What.
    pub kind: DiagnosticKind,
    /// Where; none when the file as a whole is meant (it is missing, say).
    pub place: Option<Place>,
    /// Other places that belong to it.
    pub notes: Vec<Note>,
}

impl From<DiagnosticKind> for Diagnostic {
    /// Wrong with the file as a whole.
    fn from(kind: DiagnosticKind) -> Self {
        Self { kind, place: None, notes: Vec::new() }
    }
}

/// Another place that belongs to a diagnostic, such as the first of two uses.
#[derive(Clone, Debug)]
pub struct Note {
    /// What is there.
    pub text: &'static str,
    /// Where.
    pub place: Place,
}

/// All that was found wrong with a file: at least one thing. `Display` renders it without colours.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// The file, as the caller named it.
    pub file: Arc<str>,
    /// In the order of the file.
    pub list: Vec<Diagnostic>,
    /// How many more there were behind the first [`Diagnostics::LIST_MAX`].
    pub left_out: usize,
}

impl Diagnostics {
    /// So many are kept; more only hide what matters.
    pub const LIST_MAX: usize = 64;

    pub(crate) fn one(file: &str, diagnostic: Diagnostic) -> Self {
        Self { file: Arc::from(file), list: vec![diagnostic], left_out: 0 }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
    }
}

impl std::error::Error for Diagnostics {}

/// Collects diagnostics while a file is read and checked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Diagnostic>,
    left_out: usize,
}

impl Findings {
    /// `kind` is wrong at `place`.
    pub(crate) fn refuse(&mut self, place: &Place, kind: DiagnosticKind) {
        self.push(Diagnostic { kind, place: Some(place.clone()), notes: Vec::new() });
    }

    /// Like [`Findings::refuse`], for a kind that takes a search to make: none is made once the list is full.
    pub(crate) fn refuse_after_search(&mut self, place: &Place, kind: impl FnOnce() -> DiagnosticKind) {
        if self.list.len() < Diagnostics::LIST_MAX {
            self.refuse(place, kind());
        } else {
            self.left_out += 1;
        }
    }

    /// `kind` is wrong at `place`, and `there` is the other place that belongs to it.
    pub(crate) fn refuse_with(
        &mut self,
        place: &Place,
        kind: DiagnosticKind,
        text: &'static str,
        there: &Place,
    ) {
        let note = Note { text, place: there.clone() };
        self.push(Diagnostic { kind, place: Some(place.clone()), notes: vec![note] });
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < Diagnostics::LIST_MAX {
            self.list.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// What was found, in the order of the file; `Ok` if nothing was.
    pub(crate) fn finish(mut self, file: &str) -> Result<(), Diagnostics> {
        if self.list.is_empty() {
            return Ok(());
        }
        self.list.sort_by_key(|found| found.place.as_ref().map(|place| (place.line, place.column)));
        Err(Diagnostics { file: Arc::from(file), list: self.list, left_out: self.left_out })
    }
}
