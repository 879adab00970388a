//! One value under a known key, read as the type that the key wants.
//!
//! Each reader answers the value with its place; or none, after it has said why in `findings`.

use std::time::Duration;

use crate::diagnostic::{DiagnosticKind, Findings, nearest};
use crate::units::{UnitError, parse_duration};
use crate::yaml::{Node, Value};
use crate::{Bytes, Place, RateBytesPerS, Spanned};

/// Longer texts are cut in messages.
const SHOWN_CHARS_MAX: usize = 60;

/// A value and the key under which it stands (or the key of the list that it is in).
#[derive(Clone, Copy)]
pub(super) struct Field<'n> {
    pub key: &'static str,
    /// The key with a good value.
    pub example: &'static str,
    pub node: &'n Node,
    pub key_place: &'n Place,
}

impl<'n> Field<'n> {
    /// The items of a list.
    pub(super) fn list(self, findings: &mut Findings) -> Option<Vec<Field<'n>>> {
        match &self.node.value {
            Value::List(nodes) => Some(nodes.iter().map(|node| Field { node, ..self }).collect()),
            _ => {
                self.refuse_type("a list", findings);
                None
            }
        }
    }

    /// The items of a list that must have some, each read by `read`; none if one of them is faulty.
    pub(super) fn filled_list_of<T>(
        self,
        findings: &mut Findings,
        read: impl FnMut(Field<'n>, &mut Findings) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = self.list_of(findings, read)?;
        if list.is_empty() {
            let kind = DiagnosticKind::ListEmpty { key: self.key, example: self.example };
            findings.refuse(&self.node.place, kind);
            return None;
        }
        Some(list)
    }

    /// The items of a list, each read by `read`; none if one of them is faulty.
    pub(super) fn list_of<T>(
        self,
        findings: &mut Findings,
        mut read: impl FnMut(Field<'n>, &mut Findings) -> Option<T>,
    ) -> Option<Vec<T>> {
        let read: Vec<_> = self.list(findings)?.into_iter().map(|item| read(item, findings)).collect();
        read.into_iter().collect()
    }

    /// Any text that is not empty and has no control characters.
    pub(super) fn text(self, findings: &mut Findings) -> Option<Spanned<String>> {
        let text = self.scalar("a text", findings)?;
        if text.is_empty() || text.contains(char::is_control) {
            self.refuse_type("a text without control characters", findings);
            return None;
        }
        Some(self.spanned(text.to_owned()))
    }

    /// `true` or `false`.
    pub(super) fn boolean(self, findings: &mut Findings) -> Option<Spanned<bool>> {
        self.one_of(&[("true", true), ("false", false)], findings)
    }

    /// A whole number within `min` to `max`.
    pub(super) fn number(self, min: u32, max: u32, findings: &mut Findings) -> Option<Spanned<u32>> {
        let text = self.scalar("a whole number", findings)?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.refuse_type("a whole number", findings);
            return None;
        }
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let kind = DiagnosticKind::NumberOutOfRange { key: self.key, value: shown(text), min, max };
            findings.refuse(&self.node.place, kind);
        }
        number.map(|number| self.spanned(number))
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(
        self,
        words: &[(&'static str, T)],
        findings: &mut Findings,
    ) -> Option<Spanned<T>> {
        let text = self.scalar("a word", findings)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(self.spanned(*value));
        }
        let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let near = nearest(text, allowed.iter().copied());
        let kind = DiagnosticKind::ValueUnknown { key: self.key, value: shown(text), allowed, near };
        findings.refuse(&self.node.place, kind);
        None
    }

    /// Whether exactly this word stands here.
    pub(super) fn is_word(self, word: &str) -> bool {
        matches!(&self.node.value, Value::Scalar { text, .. } if text == word)
    }

    /// A size above zero.
    pub(super) fn size(self, findings: &mut Findings) -> Option<Spanned<Bytes>> {
        let text = self.scalar("a size", findings)?;
        let size = self.unit(
            Bytes::parse(text),
            |key, text, guess| DiagnosticKind::SizeInvalid { key, text, guess },
            findings,
        )?;
        if size.get() == 0 {
            let kind = DiagnosticKind::SizeZero { key: self.key, example: self.example };
            findings.refuse(&self.node.place, kind);
            return None;
        }
        Some(size)
    }

    /// A size within `min` to `max`.
    pub(super) fn size_within(
        self,
        min: Bytes,
        max: Bytes,
        findings: &mut Findings,
    ) -> Option<Spanned<Bytes>> {
        let size = self.size(findings)?;
        if (min..=max).contains(&size.value) {
            return Some(size);
        }
        let kind = DiagnosticKind::SizeOutOfRange { key: self.key, size: size.value, min, max };
        findings.refuse(&size.place, kind);
        None
    }

    /// A power of two within `min` to `max`.
    pub(super) fn power_of_two(
        self,
        min: Bytes,
        max: Bytes,
        findings: &mut Findings,
    ) -> Option<Spanned<Bytes>> {
        let size = self.size_within(min, max, findings)?;
        if size.get().is_power_of_two() {
            return Some(size);
        }
        findings.refuse(&size.place, DiagnosticKind::SizeNotPowerOfTwo { key: self.key, size: size.value });
        None
    }

    /// Refuses a `size` read from here that is not a multiple of `unit`.
    pub(super) fn multiple_of(
        self,
        size: Spanned<Bytes>,
        unit: Bytes,
        findings: &mut Findings,
    ) -> Option<Spanned<Bytes>> {
        if size.get().is_multiple_of(unit.get()) {
            return Some(size);
        }
        let kind = DiagnosticKind::SizeNotMultiple { key: self.key, size: size.value, unit };
        findings.refuse(&size.place, kind);
        None
    }

    /// A rate; may be zero.
    pub(super) fn rate(self, findings: &mut Findings) -> Option<Spanned<RateBytesPerS>> {
        let text = self.scalar("a rate", findings)?;
        self.unit(
            RateBytesPerS::parse(text),
            |key, text, guess| DiagnosticKind::RateInvalid { key, text, guess },
            findings,
        )
    }

    /// A duration within `min` to `max`.
    pub(super) fn duration(
        self,
        min: Duration,
        max: Duration,
        findings: &mut Findings,
    ) -> Option<Spanned<Duration>> {
        let text = self.scalar("a duration", findings)?;
        // What does not fit is certainly out of range.
        let parsed = match parse_duration(text) {
            Err(UnitError::Overflow) => Ok(Duration::MAX),
            other => other,
        };
        let duration = self.unit(
            parsed,
            |key, text, guess| DiagnosticKind::DurationInvalid { key, text, guess },
            findings,
        )?;
        if (min..=max).contains(&duration.value) {
            return Some(duration);
        }
        let kind = DiagnosticKind::DurationOutOfRange { key: self.key, value: duration.value, min, max };
        findings.refuse(&duration.place, kind);
        None
    }

    /// Says that the value is not what the key wants, and what would be.
    pub(super) fn refuse_type(self, wanted: &'static str, findings: &mut Findings) {
        let example = match (&self.node.value, wanted) {
            (Value::Scalar { text, .. }, "a list") if is_simple(text) => format!("{}: [{text}]", self.key),
            (Value::List(list), _) => match list.as_slice() {
                [Node { value: Value::Scalar { text, .. }, .. }] if is_simple(text) => {
                    format!("{}: {text}", self.key)
                }
                _ => self.example.to_owned(),
            },
            _ => self.example.to_owned(),
        };
        let kind = DiagnosticKind::TypeWrong { key: self.key, wanted, found: describe(self.node), example };
        findings.refuse(&self.node.place, kind);
    }

    fn unit<T>(
        self,
        parsed: Result<T, UnitError>,
        form: impl Fn(&'static str, String, Option<String>) -> DiagnosticKind,
        findings: &mut Findings,
    ) -> Option<Spanned<T>> {
        let text = || match &self.node.value {
            Value::Scalar { text, .. } => shown(text),
            Value::List(_) | Value::Map(_) => String::new(),
        };
        let kind = match parsed {
            Ok(value) => return Some(self.spanned(value)),
            Err(UnitError::Form(guess)) => form(self.key, text(), guess),
            Err(UnitError::Overflow) => {
                let max = if text().ends_with("/s") { "8388607TiB/s" } else { "8388607TiB" };
                DiagnosticKind::SizeOverflow { key: self.key, text: text(), max }
            }
        };
        findings.refuse(&self.node.place, kind);
        None
    }

    fn scalar(self, wanted: &'static str, findings: &mut Findings) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.value.is_null() => Some(text),
            _ => {
                self.refuse_type(wanted, findings);
                None
            }
        }
    }

    fn spanned<T>(self, value: T) -> Spanned<T> {
        Spanned::new(value, &self.node.place)
    }
}

fn describe(node: &Node) -> String {
    match &node.value {
        value if value.is_null() => "nothing".into(),
        Value::Scalar { text, .. } => format!("`{}`", shown(text)),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
    }
}

/// Whether a text can be shown in an example as it is.
fn is_simple(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= SHOWN_CHARS_MAX
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown += "...";
    }
    shown
}
