//! Reads one of `drives`.

use crate::diagnostic::{DiagnosticKind, Findings};
use crate::names::Named;
use crate::{BlockSize, Bytes, Drive, DriveKind, Nqn, NvmeTransport, PciAddress, Spanned, address};

use super::field::Field;
use super::fields::{Fields, Owner};
use super::{Context, name, own_name};

const DRIVE: Owner = Owner {
    what: "a drive",
    keys: &[
        ("name", "name: d0"),
        ("file", "file: { path: d0.img, size: 1GiB }"),
        ("memory", "memory: { size: 256MiB }"),
        ("nvme", "nvme: { pcie: \"0000:5e:00.0\", namespace: 1 }"),
        ("bdev", "bdev: Nvme0n1"),
        ("faulty", "faulty: { over: d0 }"),
        ("block_size", "block_size: 512"),
        ("assume_durable", "assume_durable: true"),
    ],
};

const KINDS: [&str; 5] = ["file", "memory", "nvme", "bdev", "faulty"];

const FILE: Owner = Owner { what: "`file`", keys: &[("path", "path: d0.img"), ("size", "size: 1GiB")] };

const MEMORY: Owner = Owner { what: "`memory`", keys: &[("size", "size: 256MiB")] };

const FAULTY: Owner =
    Owner { what: "`faulty`", keys: &[("over", "over: d0"), ("volatile_cache", "volatile_cache: true")] };

const NVME: Owner = Owner {
    what: "`nvme`",
    keys: &[
        ("pcie", "pcie: \"0000:5e:00.0\""),
        ("tcp", "tcp: \"192.0.2.7:4420\""),
        ("vfio_user", "vfio_user: /run/drives/d0"),
        ("nqn", "nqn: \"nqn.2014-08.org.example:d0\""),
        ("namespace", "namespace: 1"),
    ],
};

const TRANSPORTS: [&str; 3] = ["pcie", "tcp", "vfio_user"];

/// The highest namespace id that names one namespace (NVM Express Base Specification 2.0, section 3.2.1).
const NAMESPACE_MAX: u32 = 0xffff_fffe;

/// One drive.
pub(super) fn read(item: Field<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<Drive> {
    let fields = Fields::open(item, &DRIVE, findings)?;
    let name = name(&fields, cx, findings);
    let assume_durable = fields.get("assume_durable").and_then(|field| field.boolean(findings));
    let kind = kind(&fields, cx, findings);
    Some(Drive {
        place: fields.place.clone(),
        name: name?,
        kind: kind?,
        assume_durable: assume_durable.unwrap_or(Spanned::new(false, fields.place)),
    })
}

fn kind(fields: &Fields<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<DriveKind> {
    let kind = match fields.present(&KINDS).as_slice() {
        [] => {
            findings.refuse(fields.place, DiagnosticKind::DriveKindMissing);
            return None;
        }
        [kind] => *kind,
        [first, second, ..] => {
            let kind = DiagnosticKind::DriveKindSeveral { first: first.key, second: second.key };
            findings.refuse_with(second.key_place, kind, "the first one is here", first.key_place);
            return None;
        }
    };
    if !matches!(kind.key, "file" | "memory") {
        let owner = format!("a drive that is `{}`: its block size is given", kind.key);
        fields.refuse_if_present("block_size", owner, findings);
    }
    match kind.key {
        "file" => file(kind, fields, cx, findings),
        "memory" => memory(kind, fields, findings),
        "nvme" => nvme(kind, cx, findings),
        "bdev" => kind.text(findings).map(DriveKind::Bdev),
        _ => faulty(kind, fields, cx, findings),
    }
}

fn file(
    kind: Field<'_>,
    fields: &Fields<'_>,
    cx: &Context<'_>,
    findings: &mut Findings,
) -> Option<DriveKind> {
    let block_size = block_size(fields, findings);
    let inner = Fields::open(kind, &FILE, findings)?;
    let path = inner.required("path", findings).and_then(|field| field.text(findings));
    let size = size(&inner, *block_size, findings);
    let path = path.map(|path| path.with(cx.folder.join(&path.value)));
    Some(DriveKind::File { path: path?, size: size?, block_size })
}

fn memory(kind: Field<'_>, fields: &Fields<'_>, findings: &mut Findings) -> Option<DriveKind> {
    let block_size = block_size(fields, findings);
    let inner = Fields::open(kind, &MEMORY, findings)?;
    Some(DriveKind::Memory { size: size(&inner, *block_size, findings)?, block_size })
}

fn block_size(fields: &Fields<'_>, findings: &mut Findings) -> Spanned<BlockSize> {
    let sizes = [("512", BlockSize::B512), ("4096", BlockSize::B4096)];
    let read = fields.get("block_size").and_then(|field| field.one_of(&sizes, findings));
    read.unwrap_or(Spanned::new(BlockSize::B512, fields.place))
}

fn size(inner: &Fields<'_>, block_size: BlockSize, findings: &mut Findings) -> Option<Spanned<Bytes>> {
    let field = inner.required("size", findings)?;
    let size = field.size(findings)?;
    field.multiple_of(size, block_size.bytes(), findings)
}

fn faulty(
    kind: Field<'_>,
    fields: &Fields<'_>,
    cx: &Context<'_>,
    findings: &mut Findings,
) -> Option<DriveKind> {
    let inner = Fields::open(kind, &FAULTY, findings)?;
    let volatile_cache = inner.get("volatile_cache").and_then(|field| field.boolean(findings));
    let volatile_cache = volatile_cache.unwrap_or(Spanned::new(false, inner.place));
    let over = inner.required("over", findings)?.text(findings)?;
    if cx.names.get(&over) != Some(Named::Drive) {
        findings.refuse_after_search(&over.place, || DiagnosticKind::OverUnknown {
            name: over.value.clone(),
            known: cx.names.free_beside(&over, &[Named::Drive], own_name(fields)),
        });
        return None;
    }
    Some(DriveKind::Faulty { over, volatile_cache })
}

fn nvme(kind: Field<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<DriveKind> {
    let inner = Fields::open(kind, &NVME, findings)?;
    let namespace = match inner.get("namespace") {
        Some(field) => field.number(1, NAMESPACE_MAX, findings),
        None => Some(Spanned::new(1, inner.place)),
    };
    let transport = match inner.present(&TRANSPORTS).as_slice() {
        [] => {
            findings.refuse(inner.place, DiagnosticKind::TransportMissing);
            None
        }
        [one] => transport(*one, &inner, cx, findings),
        [first, second, ..] => {
            let kind = DiagnosticKind::TransportSeveral { first: first.key, second: second.key };
            findings.refuse_with(second.key_place, kind, "the first one is here", first.key_place);
            None
        }
    };
    Some(DriveKind::Nvme { transport: transport?, namespace: namespace? })
}

fn transport(
    field: Field<'_>,
    inner: &Fields<'_>,
    cx: &Context<'_>,
    findings: &mut Findings,
) -> Option<Spanned<NvmeTransport>> {
    if field.key == "tcp" {
        return tcp(field, inner, findings);
    }
    inner.refuse_if_present("nqn", format!("a controller reached by `{}`", field.key), findings);
    let text = field.text(findings)?;
    if field.key == "vfio_user" {
        return Some(text.with(NvmeTransport::VfioUser(cx.folder.join(&text.value))));
    }
    let address = PciAddress::parse(&text);
    if address.is_none() {
        findings.refuse(&text.place, DiagnosticKind::PciAddressInvalid { text: text.value.clone() });
    }
    address.map(|address| text.with(NvmeTransport::Pcie(address)))
}

fn tcp(field: Field<'_>, inner: &Fields<'_>, findings: &mut Findings) -> Option<Spanned<NvmeTransport>> {
    let nqn = inner.required("nqn", findings).and_then(|field| nqn(field, findings));
    let text = field.text(findings)?;
    match address::parse_tcp(&text) {
        Ok(address) => Some(text.with(NvmeTransport::Tcp { address, nqn: nqn?.value })),
        Err(reason) => {
            let example =
                address::repair_tcp(&text).map_or(field.example.into(), |good| format!("tcp: \"{good}\""));
            let kind = DiagnosticKind::AddressInvalid { text: text.value.clone(), reason, example };
            findings.refuse(&text.place, kind);
            None
        }
    }
}

/// An NVMe qualified name.
pub(super) fn nqn(field: Field<'_>, findings: &mut Findings) -> Option<Spanned<Nqn>> {
    let text = field.text(findings)?;
    match Nqn::parse(&text) {
        Ok(nqn) => Some(text.with(nqn)),
        Err(reason) => {
            findings.refuse(&text.place, DiagnosticKind::NqnInvalid { text: text.value.clone(), reason });
            None
        }
    }
}
