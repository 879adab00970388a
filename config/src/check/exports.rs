//! Names, addresses, hosts and namespaces that are given twice, and arrays that must not be exported.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::{Config, Hosts, Spanned};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    twice(config.exports.iter().map(|export| &export.nqn), |nqn| DiagnosticKind::NqnTwice { nqn }, findings);
    for export in &config.exports {
        twice(
            &export.listen,
            |address| DiagnosticKind::ListenTwice { address: format!("tcp://{address}") },
            findings,
        );
        if let Hosts::Listed(hosts) = &export.hosts {
            twice(hosts, |nqn| DiagnosticKind::HostTwice { nqn }, findings);
        }
    }
    let namespaces = || config.exports.iter().flat_map(|export| &export.namespaces);
    twice(namespaces(), |name| DiagnosticKind::NamespaceTwice { name }, findings);
    for (array, member) in
        config.arrays.iter().flat_map(|array| array.member_arrays().map(move |m| (array, m)))
    {
        for namespace in namespaces().filter(|namespace| namespace.value == member.name) {
            let name = namespace.value.clone();
            let kind = DiagnosticKind::NamespaceIsMember { name, member_of: array.name.value.clone() };
            findings.refuse_with(&namespace.place, kind, "it is a member here", member.place);
        }
    }
}

/// Refuses the second of two equal values.
fn twice<'a, T: Eq + Hash + Display + 'a>(
    values: impl IntoIterator<Item = &'a Spanned<T>>,
    kind: impl Fn(String) -> DiagnosticKind,
    findings: &mut Findings,
) {
    let mut seen: HashMap<&T, &Spanned<T>> = HashMap::new();
    for value in values {
        if let Some(first) = seen.insert(&value.value, value) {
            findings.refuse_with(
                &value.place,
                kind(value.to_string()),
                "the first one is here",
                &first.place,
            );
        }
    }
}
