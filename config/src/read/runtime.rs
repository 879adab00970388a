//! Reads `runtime`.

use std::path::PathBuf;

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::{Bytes, HugePages, Idle, Place, Runtime, Spanned};

use super::Context;
use super::field::Field;
use super::fields::{Fields, Owner};

const RUNTIME: Owner = Owner {
    what: "`runtime`",
    keys: &[
        ("cores", "cores: [0]"),
        ("memory", "memory: 512MiB"),
        ("hugepages", "hugepages: auto"),
        ("idle", "idle: adaptive"),
        ("rpc_socket", "rpc_socket: /var/tmp/basalt.sock"),
    ],
};

/// The section, or its defaults with the place of the file's start.
pub(super) fn read(
    section: Option<Field<'_>>,
    start: &Place,
    memory_drives: Bytes,
    cx: &Context<'_>,
    findings: &mut Findings,
) -> Runtime {
    let fields = section.and_then(|section| Fields::open(section, &RUNTIME, findings));
    let place = section.map_or(start, |section| section.key_place);
    let get = |key| fields.as_ref().and_then(|fields| fields.get(key));
    let cores = get("cores").and_then(|field| cores(field, findings)).unwrap_or(Spanned::new(vec![0], place));
    let memory_default = Runtime::memory_default(cores.len(), memory_drives);
    Runtime {
        memory: get("memory")
            .and_then(|field| memory(field, findings))
            .unwrap_or(Spanned::new(memory_default, place)),
        hugepages: get("hugepages")
            .and_then(|field| {
                let words =
                    [("auto", HugePages::Auto), ("required", HugePages::Required), ("off", HugePages::Off)];
                field.one_of(&words, findings)
            })
            .unwrap_or(Spanned::new(HugePages::Auto, place)),
        idle: get("idle")
            .and_then(|field| field.one_of(&[("adaptive", Idle::Adaptive), ("poll", Idle::Poll)], findings))
            .unwrap_or(Spanned::new(Idle::Adaptive, place)),
        rpc_socket: get("rpc_socket")
            .and_then(|field| rpc_socket(field, cx, findings))
            .unwrap_or(Spanned::new(PathBuf::from(Runtime::RPC_SOCKET_DEFAULT), place)),
        place: place.clone(),
        cores,
    }
}

fn cores(field: Field<'_>, findings: &mut Findings) -> Option<Spanned<Vec<u32>>> {
    let cores =
        field.filled_list_of(findings, |item, findings| item.number(0, Runtime::CORE_MAX, findings))?;
    for (index, core) in cores.iter().enumerate() {
        if let Some(first) = cores[..index].iter().find(|first| *first == core) {
            let kind = DiagnosticKind::CoreTwice { core: core.value };
            findings.refuse_with(&core.place, kind, "the first one is here", &first.place);
        }
    }
    Some(Spanned::new(cores.into_iter().map(|core| core.value).collect(), &field.node.place))
}

fn memory(field: Field<'_>, findings: &mut Findings) -> Option<Spanned<Bytes>> {
    let memory = field.size_within(Runtime::MEMORY_MIN, Runtime::MEMORY_MAX, findings)?;
    field.multiple_of(memory, Bytes::mib(1), findings)
}

fn rpc_socket(field: Field<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<Spanned<PathBuf>> {
    let path = field.text(findings)?;
    let path = path.with(cx.folder.join(&path.value));
    let (bytes, max) = (path.as_os_str().len(), Runtime::SOCKET_PATH_BYTES_MAX);
    if bytes > max {
        findings.refuse(&path.place, DiagnosticKind::SocketPathTooLong { bytes, max });
        return None;
    }
    Some(path)
}
