//! Reads one of `exports`.

use std::net::SocketAddr;

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::names::Named;
use crate::{Export, Hosts, Spanned, address};

use super::Context;
use super::drive::nqn;
use super::field::Field;
use super::fields::{Fields, Owner};

const EXPORT: Owner = Owner {
    what: "an export",
    keys: &[
        ("nqn", "nqn: \"nqn.2026-11.io.basalt:data\""),
        ("listen", "listen: [\"tcp://127.0.0.1:4420\"]"),
        ("hosts", "hosts: any"),
        ("namespaces", "namespaces: [data]"),
    ],
};

/// One export.
pub(super) fn read(item: Field<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<Export> {
    let fields = Fields::open(item, &EXPORT, findings)?;
    let nqn = fields.required("nqn", findings).and_then(|field| nqn(field, findings));
    let listen = fields.required("listen", findings).and_then(|field| field.filled_list_of(findings, listen));
    let hosts = fields.get("hosts").and_then(|field| hosts(field, findings)).unwrap_or(Hosts::Any);
    let namespaces = fields
        .required("namespaces", findings)
        .and_then(|field| field.filled_list_of(findings, |item, findings| namespace(item, cx, findings)));
    Some(Export { place: fields.place.clone(), nqn: nqn?, listen: listen?, hosts, namespaces: namespaces? })
}

fn listen(item: Field<'_>, findings: &mut Findings) -> Option<Spanned<SocketAddr>> {
    let text = item.text(findings)?;
    let reason = match text.strip_prefix("tcp://").map(address::parse_tcp) {
        Some(Ok(address)) => return Some(text.with(address)),
        Some(Err(reason)) => reason,
        None => "it does not begin with `tcp://`",
    };
    let bare = text.rsplit_once("://").map_or(text.as_str(), |(_, bare)| bare);
    let example =
        address::repair_tcp(bare).map_or(item.example.into(), |good| format!("listen: [\"tcp://{good}\"]"));
    findings
        .refuse(&text.place, DiagnosticKind::AddressInvalid { text: text.value.clone(), reason, example });
    None
}

fn hosts(field: Field<'_>, findings: &mut Findings) -> Option<Hosts> {
    if field.is_word("any") {
        return Some(Hosts::Any);
    }
    field.filled_list_of(findings, nqn).map(Hosts::Listed)
}

fn namespace(item: Field<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<Spanned<String>> {
    let name = item.text(findings)?;
    let named = cx.names.get(&name);
    if named == Some(Named::Array) {
        return Some(name);
    }
    let is_drive = named == Some(Named::Drive);
    findings.refuse_after_search(&name.place, || DiagnosticKind::NamespaceUnknown {
        name: name.value.clone(),
        known: cx.names.exportable(&name),
        is_drive,
    });
    None
}
