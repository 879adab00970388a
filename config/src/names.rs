//! The names that a file gives to drives and arrays, known before anything refers to them.

use std::collections::{HashMap, HashSet};

use crate::Place;
use crate::diagnostic::{Known, nearest};
use crate::yaml::{Node, Value};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// So many names are offered in the place of an unknown one.
const CHOICES_MAX: usize = 8;
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
    /// Members, spares, and what lies under a faulty drive.
    used: HashSet<String>,
    exported: HashSet<String>,
}

impl Names {
    /// From the sections of a file. Of two equal names the first one counts.
    pub(crate) fn collect(drives: Option<&Node>, arrays: Option<&Node>, exports: Option<&Node>) -> Self {
        let mut names = Self::default();
        for (section, named) in [(drives, Named::Drive), (arrays, Named::Array)] {
            for (name, place) in items(section).iter().flat_map(|item| texts(get(item, "name"))) {
                if !names.known.contains_key(name) {
                    names.known.insert(name.to_owned(), (named, place.clone()));
                    names.ordered.push((named, name.to_owned()));
                }
            }
        }
        let over = items(drives).iter().filter_map(|drive| get(get(drive, "faulty")?, "over"));
        let lists =
            items(arrays).iter().flat_map(|array| [get(array, "members"), get(array, "spares")]).flatten();
        names.used =
            over.chain(lists).flat_map(|node| texts(Some(node))).map(|(name, _)| name.to_owned()).collect();
        let exported = items(exports).iter().flat_map(|export| texts(get(export, "namespaces")));
        names.exported = exported.map(|(name, _)| name.to_owned()).collect();
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

    /// What could have been meant by the unknown `name` of a member, a spare or a drive to lie over: what is
    /// `wanted` and still free, other than `own`.
    pub(crate) fn free_beside(&self, name: &str, wanted: &[Named], own: &str) -> Known {
        let is_free = |other: &str| other != own && !self.used.contains(other);
        self.choices(name, |named, other| wanted.contains(&named) && is_free(other))
    }

    /// What could have been meant by the unknown `name` of a namespace.
    pub(crate) fn exportable(&self, name: &str) -> Known {
        let is_free = |other: &str| !self.used.contains(other) && !self.exported.contains(other);
        self.choices(name, |named, other| named == Named::Array && is_free(other))
    }

    /// What could have been meant by the unknown `name` of an array other than `own`.
    pub(crate) fn array_beside(&self, name: &str, own: &str) -> Known {
        self.choices(name, |named, other| named == Named::Array && other != own)
    }

    fn choices(&self, name: &str, would_do: impl Fn(Named, &str) -> bool) -> Known {
        let candidates = || {
            let fitting = self.ordered.iter().filter(|(named, other)| would_do(*named, other));
            fitting.map(|(_, other)| other.as_str()).filter(|other| is_name(other))
        };
        Known {
            near: nearest(name, candidates()),
            choices: candidates().take(CHOICES_MAX).map(str::to_owned).collect(),
        }
    }
}

fn items(section: Option<&Node>) -> &[Node] {
    match section {
        Some(Node { value: Value::List(items), .. }) => items,
        _ => &[],
    }
}

fn get<'n>(item: &'n Node, wanted: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &item.value else { return None };
    let is_wanted = |key: &Node| matches!(&key.value, Value::Scalar { text, .. } if text == wanted);
    entries.iter().find(|(key, _)| is_wanted(key)).map(|(_, value)| value)
}

/// The text of a scalar, or the texts in a list.
fn texts(node: Option<&Node>) -> impl Iterator<Item = (&str, &Place)> {
    let nodes = node.map_or(&[][..], |node| match &node.value {
        Value::List(nodes) => nodes.as_slice(),
        Value::Scalar { .. } | Value::Map(_) => std::slice::from_ref(node),
    });
    nodes.iter().filter_map(|node| match &node.value {
        Value::Scalar { text, .. } => Some((text.as_str(), &node.place)),
        Value::List(_) | Value::Map(_) => None,
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
