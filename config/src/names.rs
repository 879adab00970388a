//! The names that a file gives to drives and arrays, known before anything refers to them.

use std::collections::HashMap;

use crate::Place;
use crate::diagnostic::nearest;
use crate::yaml::{Node, Value};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// The word for an empty slot.
pub(crate) const MISSING: &str = "missing";

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Drive,
    Array,
}

/// All names, also those of items with other faults, so that one fault does not make others.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: HashMap<String, (Named, Place)>,
    /// In the order of the file, drives first.
    ordered: Vec<(Named, String)>,
}

impl Names {
    /// From the sections `drives` and `arrays`. Of two equal names the first one counts.
    pub(crate) fn collect(drives: Option<&Node>, arrays: Option<&Node>) -> Self {
        let mut names = Self::default();
        for (section, named) in [(drives, Named::Drive), (arrays, Named::Array)] {
            let Some(Node { value: Value::List(items), .. }) = section else { continue };
            for (name, place) in items.iter().filter_map(name_of) {
                if !names.known.contains_key(name) {
                    names.known.insert(name.to_owned(), (named, place.clone()));
                    names.ordered.push((named, name.to_owned()));
                }
            }
        }
        names
    }

    /// What has that name.
    pub(crate) fn get(&self, name: &str) -> Option<Named> {
        self.known.get(name).map(|(named, _)| *named)
    }

    /// Where that name was given first.
    pub(crate) fn first_place(&self, name: &str) -> Option<&Place> {
        self.known.get(name).map(|(_, place)| place)
    }

    /// The name closest to an unknown one, among what is `wanted`.
    pub(crate) fn nearest(&self, name: &str, wanted: &[Named]) -> Option<String> {
        let candidates = self.ordered.iter().filter(|(named, _)| wanted.contains(named));
        nearest(name, candidates.map(|(_, name)| name.as_str()))
    }
}

fn name_of(item: &Node) -> Option<(&str, &Place)> {
    let Value::Map(entries) = &item.value else { return None };
    entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
        (Value::Scalar { text: key, .. }, Value::Scalar { text, .. }) if key == "name" => {
            Some((text.as_str(), &value.place))
        }
        _ => None,
    })
}

/// Whether a drive or array can be called so: what SPDK, a file name and a shell all take without quoting.
pub(crate) fn is_name(text: &str) -> bool {
    let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    begins_well && text.len() <= NAME_BYTES_MAX && text.chars().all(is_name_char)
}

/// The usable name closest to an unusable one.
pub(crate) fn usable_name(text: &str) -> Option<String> {
    let replaced: String = text.chars().map(|c| if is_name_char(c) { c } else { '-' }).collect();
    let trimmed = replaced.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name: String = trimmed.chars().take(NAME_BYTES_MAX).collect();
    let name = name.trim_end_matches('-');
    is_name(name).then(|| name.to_owned())
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["d0", "data", "A.b_c-9", "0", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-d", ".d", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn usable_names_are_names() {
        assert_eq!(usable_name("my data").as_deref(), Some("my-data"));
        assert_eq!(usable_name("/dev/sda").as_deref(), Some("dev-sda"));
        assert_eq!(usable_name("päx").as_deref(), Some("p-x"));
        assert_eq!(usable_name("///"), None);
        assert_eq!(usable_name(&"x".repeat(99)).map(|name| name.len()), Some(63));
    }
}
