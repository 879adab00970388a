//! A mapping whose keys are known: what it holds, what it lacks, what does not belong there.

use std::collections::HashMap;

use crate::Place;
use crate::diagnostic::{DiagnosticKind, Findings, nearest};
use crate::yaml::{Node, Value};

use super::field::Field;

/// The keys that a mapping may have.
pub(super) struct Owner {
    /// "a drive"
    pub what: &'static str,
    /// Each key, with an example of key and value.
    pub keys: &'static [(&'static str, &'static str)],
}

/// The entries of a mapping, each key once, all of them known.
pub(super) struct Fields<'n> {
    owner: &'static Owner,
    pub place: &'n Place,
    entries: Vec<Field<'n>>,
}

impl<'n> Fields<'n> {
    /// The mapping that stands in `field`. What is wrong with its keys goes to `findings`; the good ones
    /// remain.
    pub(super) fn open(field: Field<'n>, owner: &'static Owner, findings: &mut Findings) -> Option<Self> {
        let Value::Map(map) = &field.node.value else {
            field.refuse_type("a mapping of keys", findings);
            return None;
        };
        let mut entries: Vec<Field<'n>> = Vec::new();
        let mut seen: HashMap<&str, &Place> = HashMap::new();
        for (key, node) in map {
            let Some(text) = key_text(key, findings) else { continue };
            if let Some(first) = seen.insert(text, &key.place) {
                let kind = DiagnosticKind::KeyTwice { key: text.to_owned() };
                findings.refuse_with(&key.place, kind, "the first one is here", first);
                continue;
            }
            match owner.keys.iter().find(|(known, _)| *known == text) {
                Some((key_name, example)) => {
                    entries.push(Field { key: key_name, example, node, key_place: &key.place });
                }
                None => findings.refuse_after_search(&key.place, || unknown(text, owner, map)),
            }
        }
        Some(Self { owner, place: &field.node.place, entries })
    }

    /// The value of `key`, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Field<'n>> {
        debug_assert!(self.owner.keys.iter().any(|(known, _)| *known == key), "{key} is not in the table");
        self.entries.iter().find(|field| field.key == key).copied()
    }

    /// The value of `key`, which must be there.
    pub(super) fn required(&self, key: &str, findings: &mut Findings) -> Option<Field<'n>> {
        let field = self.get(key);
        if field.is_none()
            && let Some((key, example)) = self.owner.keys.iter().find(|(known, _)| *known == key)
        {
            let kind = DiagnosticKind::KeyMissing { key, owner: self.owner.what, example };
            findings.refuse(self.place, kind);
        }
        field
    }

    /// Those of `keys` that are there, in the order of the file.
    pub(super) fn present(&self, keys: &[&str]) -> Vec<Field<'n>> {
        self.entries.iter().filter(|field| keys.contains(&field.key)).copied().collect()
    }

    /// Refuses `key` if it is there, since it means nothing to `owner`.
    pub(super) fn refuse_if_present(&self, key: &str, owner: String, findings: &mut Findings) {
        if let Some(field) = self.get(key) {
            findings.refuse(field.key_place, DiagnosticKind::KeyNotApplicable { key: field.key, owner });
        }
    }
}

fn key_text<'n>(key: &'n Node, findings: &mut Findings) -> Option<&'n str> {
    let kind = match &key.value {
        Value::Scalar { text, plain: true } if text == "<<" => DiagnosticKind::MergeKey,
        Value::Scalar { text, .. } if !text.is_empty() => return Some(text),
        Value::Scalar { .. } => DiagnosticKind::KeyNotText { found: "nothing" },
        Value::List(_) => DiagnosticKind::KeyNotText { found: "a list" },
        Value::Map(_) => DiagnosticKind::KeyNotText { found: "a mapping" },
    };
    findings.refuse(&key.place, kind);
    None
}

fn unknown(key: &str, owner: &Owner, map: &[(Node, Node)]) -> DiagnosticKind {
    let is_present = |known: &str| {
        map.iter().any(|(key, _)| matches!(&key.value, Value::Scalar { text, .. } if text == known))
    };
    let allowed: Vec<_> =
        owner.keys.iter().map(|(known, _)| *known).filter(|known| !is_present(known)).collect();
    let near = nearest(key, allowed.iter().copied());
    DiagnosticKind::KeyUnknown { key: key.to_owned(), owner: owner.what, allowed, near }
}
