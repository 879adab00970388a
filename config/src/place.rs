//! Where something stands in the file: what every message points at.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A place in a configuration file, with the text of its line. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file, as the caller named it.
    pub file: Arc<str>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// How many characters of the line are meant; at least 1.
    pub width: usize,
    /// The whole line, without its line break.
    pub line_text: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and the place in the file that it came from. A default has the place of the item that it belongs
/// to.
///
/// Two of them are equal when their values are, wherever they stand.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

impl<T> Spanned<T> {
    /// `value`, written at `place`.
    pub fn new(value: T, place: &Place) -> Self {
        Self { value, place: place.clone() }
    }

    /// The same place with another value.
    pub(crate) fn with<U>(&self, value: U) -> Spanned<U> {
        Spanned { value, place: self.place.clone() }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

/// The text of one file, split into lines that places share.
pub(crate) struct Source {
    file: Arc<str>,
    /// Each with its length in characters, without blanks at its end.
    lines: Vec<(Arc<str>, usize)>,
}

impl Source {
    /// Splits at the line breaks of YAML 1.2: LF, CR LF and CR.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let unix = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = unix.strip_suffix('\n').unwrap_or(&unix);
        let lines = text.split('\n').map(|line| (Arc::from(line), line.trim_end().chars().count())).collect();
        Self { file: Arc::from(file), lines }
    }

    /// The place of `width` characters at `line` and `column` (both from 1). What lies behind the end of the
    /// file is moved to its last line; a width that leaves the line is cut there.
    pub(crate) fn place(&self, line: usize, column: usize, width: usize) -> Place {
        let last = self.lines.len();
        let (line, column) = if line > last { (last, usize::MAX) } else { (line.max(1), column.max(1)) };
        let (line_text, length) = self.lines[line - 1].clone();
        let column = column.min(length + 1);
        let width = width.min((length + 1).saturating_sub(column)).max(1);
        Place { file: self.file.clone(), line, column, width, line_text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_break_counts() {
        let source = Source::new("f", "one\r\ntwo\rthree\nfour\n");
        assert_eq!(&*source.place(3, 1, 5).line_text, "three");
        assert_eq!(&*source.place(4, 1, 1).line_text, "four");
    }

    #[test]
    fn behind_the_end_is_the_end() {
        let source = Source::new("f", "ab\ncd\n");
        let place = source.place(9, 1, 4);
        assert_eq!((place.line, place.column, place.width), (2, 3, 1));
    }

    #[test]
    fn an_empty_file_has_a_first_line() {
        let place = Source::new("f", "").place(1, 1, 1);
        assert_eq!(place.to_string(), "f:1:1");
        assert_eq!(&*place.line_text, "");
    }
}
