//! Who uses what: members and spares used twice, arrays that are members of one another or wait for one
//! another.

use std::collections::HashMap;

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::order::{NameAt, post_order};
use crate::{Array, Config, Place, Spanned};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let used = members(config, findings);
    spares(config, &used, findings);
    let order =
        post_order(&config.arrays, |array| array.name.as_str(), |array| array.member_arrays().collect());
    for found in order.loops {
        findings.refuse(&found.closed_at, DiagnosticKind::ArrayLoop { chain: found.names });
    }
    after(config, findings);
}

/// Which array uses a drive or array as a member, and where it says so.
type Used<'a> = HashMap<&'a str, (&'a Array, &'a Place)>;

/// Each drive and each array is a member once.
fn members<'a>(config: &'a Config, findings: &mut Findings) -> Used<'a> {
    let mut used = Used::new();
    for array in &config.arrays {
        for member in array.members.iter() {
            let Some(name) = member.name() else { continue };
            let Some((by, first)) = used.get(name) else {
                used.insert(name, (array, &member.place));
                continue;
            };
            let name = name.to_owned();
            let kind = if std::ptr::eq(*by, array) {
                DiagnosticKind::MemberTwice { name }
            } else {
                DiagnosticKind::MemberOfTwoArrays { name, other: by.name.value.clone() }
            };
            findings.refuse_with(&member.place, kind, "the first use is here", first);
        }
    }
    used
}

/// A spare is no member of anything; it may be a spare of several arrays.
fn spares(config: &Config, used: &Used<'_>, findings: &mut Findings) {
    for array in &config.arrays {
        twice(&array.spares, |name| DiagnosticKind::SpareTwice { name }, findings);
        for spare in &array.spares {
            let Some((by, first)) = used.get(spare.as_str()) else { continue };
            let kind = DiagnosticKind::MemberAndSpare {
                name: spare.value.clone(),
                array: array.name.value.clone(),
                member_of: by.name.value.clone(),
            };
            findings.refuse_with(&spare.place, kind, "it is a member here", first);
        }
    }
}

/// Syncs wait for each array once, and not in a loop.
fn after(config: &Config, findings: &mut Findings) {
    for array in &config.arrays {
        twice(&array.sync.after, |name| DiagnosticKind::AfterTwice { name }, findings);
    }
    let order = post_order(
        &config.arrays,
        |array| array.name.as_str(),
        |array| array.sync.after.iter().map(NameAt::from).collect(),
    );
    for found in order.loops {
        findings.refuse(&found.closed_at, DiagnosticKind::AfterLoop { chain: found.names });
    }
}

/// Refuses the second of two equal names.
fn twice(names: &[Spanned<String>], kind: impl Fn(String) -> DiagnosticKind, findings: &mut Findings) {
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for name in names {
        if let Some(first) = seen.insert(name, &name.place) {
            findings.refuse_with(&name.place, kind(name.value.clone()), "the first one is here", first);
        }
    }
}
