//! Nodes to model. Each item is read by itself; an item with a fault that leaves it without meaning is left
//! out of the model, and one with a faulty optional key gets the default, so that a fault is reported once.

mod array;
mod drive;
mod export;
mod field;
mod fields;
mod runtime;

use std::path::Path;

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::names::{MISSING, Names, is_name, usable_name};
use crate::yaml::{Node, Value};
use crate::{Bytes, Config, Drive, DriveKind, Spanned};

use field::Field;
use fields::{Fields, Owner};

const CONFIG: Owner = Owner {
    what: "a configuration",
    keys: &[
        ("runtime", "runtime: { cores: [0] }"),
        ("drives", "drives: [{ name: d0, file: { path: d0.img, size: 1GiB } }]"),
        ("arrays", "arrays: [{ name: data, level: raid1, members: [d0, d1] }]"),
        (
            "exports",
            concat!(
                "exports: [{ nqn: \"nqn.2026-11.io.basalt:data\", ",
                "listen: [\"tcp://127.0.0.1:4420\"], namespaces: [data] }]"
            ),
        ),
    ],
};

/// What every reader may ask for.
struct Context<'a> {
    /// Where relative paths start.
    folder: &'a Path,
    names: &'a Names,
}

/// Reads the root of the file at `path`.
pub(crate) fn config(root: &Node, path: &Path, findings: &mut Findings) -> Config {
    let whole = Field { key: "configuration", example: CONFIG.keys[1].1, node: root, key_place: &root.place };
    let fields = Fields::open(whole, &CONFIG, findings);
    let section = |key| fields.as_ref().and_then(|fields| fields.get(key));
    let node = |key| section(key).map(|field| field.node);
    let names = Names::collect(node("drives"), node("arrays"), node("exports"));
    let cx = Context { folder: path.parent().unwrap_or(Path::new("")), names: &names };

    let drives = items(section("drives"), findings, |item, findings| drive::read(item, &cx, findings));
    let arrays = items(section("arrays"), findings, |item, findings| array::read(item, &cx, findings));
    let exports = items(section("exports"), findings, |item, findings| export::read(item, &cx, findings));
    let runtime = runtime::read(section("runtime"), &root.place, memory_of(&drives), &cx, findings);
    Config { file: path.to_path_buf(), runtime, drives, arrays, exports }
}

fn items<T>(
    section: Option<Field<'_>>,
    findings: &mut Findings,
    mut read: impl FnMut(Field<'_>, &mut Findings) -> Option<T>,
) -> Vec<T> {
    let items = section.and_then(|section| section.list(findings)).unwrap_or_default();
    items.into_iter().filter_map(|item| read(item, findings)).collect()
}

/// The sizes of all memory drives.
fn memory_of(drives: &[Drive]) -> Bytes {
    let size_of = |drive: &Drive| match &drive.kind {
        DriveKind::Memory { size, .. } => size.get(),
        _ => 0,
    };
    Bytes(drives.iter().map(size_of).fold(0, u64::saturating_add))
}

/// What the item calls itself, good or not.
fn own_name<'n>(fields: &Fields<'n>) -> &'n str {
    match fields.get("name").map(|field| &field.node.value) {
        Some(Value::Scalar { text, .. }) => text,
        _ => "",
    }
}

/// The name of a drive or array, checked by itself and against all others.
fn name(fields: &Fields<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<Spanned<String>> {
    let name = fields.required("name", findings)?.text(findings)?;
    let first = cx.names.first_place(&name).filter(|first| **first != name.place);
    if name.value == MISSING {
        findings.refuse(&name.place, DiagnosticKind::NameReserved);
    } else if !is_name(&name) {
        let kind = DiagnosticKind::NameInvalid { name: name.value.clone(), usable: usable_name(&name) };
        findings.refuse(&name.place, kind);
    } else if let Some(first) = first {
        let kind = DiagnosticKind::NameTwice { name: name.value.clone() };
        findings.refuse_with(&name.place, kind, "the first one is here", first);
    } else {
        return Some(name);
    }
    None
}
