//! Reads one of `arrays`.

use std::time::Duration;

use crate::diagnostic::{DiagnosticKind, Findings, nearest};
use crate::names::{MISSING, Named};
use crate::{
    Array, Bytes, Consistency, Initial, Layout, Level, MaxErrors, Member, Metadata, OnFailed, ParityLayout,
    RateBytesPerS, Spanned, StartDegraded, Sync,
};

use super::field::Field;
use super::fields::{Fields, Owner};
use super::{Context, name, own_name};

const ARRAY: Owner = Owner {
    what: "an array",
    keys: &[
        ("name", "name: data"),
        ("level", "level: raid1"),
        ("members", "members: [d0, d1]"),
        ("spares", "spares: [d2]"),
        ("chunk", "chunk: 64KiB"),
        ("layout", "layout: left-symmetric"),
        ("consistency", "consistency: auto"),
        ("region", "region: auto"),
        ("data_offset", "data_offset: auto"),
        ("initial", "initial: auto"),
        ("metadata", "metadata: drives"),
        ("start_degraded_after", "start_degraded_after: 30s"),
        ("member_timeout", "member_timeout: 10s"),
        ("on_failed", "on_failed: error"),
        ("max_errors", "max_errors: { read: 20, write: 1 }"),
        ("sync", "sync: { min_rate: 50MiB/s, max_rate: unlimited }"),
    ],
};

const MAX_ERRORS: Owner =
    Owner { what: "`max_errors`", keys: &[("read", "read: 20"), ("write", "write: 1")] };

const SYNC: Owner = Owner {
    what: "`sync`",
    keys: &[
        ("min_rate", "min_rate: 50MiB/s"),
        ("max_rate", "max_rate: unlimited"),
        ("host_p99", "host_p99: 2ms"),
        ("after", "after: [data]"),
    ],
};

const CHUNK_DEFAULT: Bytes = Bytes::kib(64);
const CHUNK_PARITY_MIN: Bytes = Bytes::kib(4);
const CHUNK_PARITY_MAX: Bytes = Bytes::mib(4);
const CHUNK_MIN: Bytes = Bytes::kib(1);
const CHUNK_MAX: Bytes = Bytes::mib(64);
const REGION_MIN: Bytes = Bytes::kib(64);
const REGION_MAX: Bytes = Bytes::gib(1024);
const DATA_OFFSET_UNIT: Bytes = Bytes::kib(4);
const MAX_ERRORS_MAX: u32 = 1_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
const MEMBER_TIMEOUT_MIN: Duration = Duration::from_millis(100);
const MEMBER_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const HOST_P99_MIN: Duration = Duration::from_micros(10);
const HOST_P99_MAX: Duration = Duration::from_secs(10);

/// One array.
pub(super) fn read(item: Field<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<Array> {
    let fields = Fields::open(item, &ARRAY, findings)?;
    let here = fields.place;
    let own = own_name(&fields);
    let name = name(&fields, cx, findings);
    let level = fields
        .required("level", findings)
        .and_then(|field| field.one_of(&Level::ALL.map(|l| (l.name(), l)), findings));
    let members = fields.required("members", findings).and_then(|field| members(field, own, cx, findings));
    let spares = fields.get("spares").and_then(|field| field.list_of(findings, |item, f| spare(item, cx, f)));
    let spares = spares.unwrap_or_default();
    let behaviour = Behaviour::read(&fields, findings);
    let sync = sync(&fields, cx, findings);
    let level = level?;
    let shape = Shape::read(&fields, *level, behaviour.metadata.value, findings);
    if let Some(field) = fields.get("spares").filter(|_| !level.is_redundant() && !spares.is_empty()) {
        findings.refuse(field.key_place, DiagnosticKind::SparesUseless { level: *level });
    }
    Some(Array {
        place: here.clone(),
        name: name?,
        level,
        members: members?,
        spares,
        chunk: shape.chunk,
        layout: shape.layout,
        consistency: shape.consistency,
        region: shape.region,
        data_offset: shape.data_offset,
        initial: behaviour.initial,
        metadata: behaviour.metadata,
        start_degraded: behaviour.start_degraded,
        member_timeout: behaviour.member_timeout,
        on_failed: behaviour.on_failed,
        max_errors: behaviour.max_errors,
        sync,
    })
}

fn members(
    field: Field<'_>,
    own: &str,
    cx: &Context<'_>,
    findings: &mut Findings,
) -> Option<Spanned<Vec<Spanned<Member>>>> {
    let members = field.filled_list_of(findings, |item, findings| member(item, own, cx, findings))?;
    if members.len() > Array::MEMBERS_MAX {
        let kind = DiagnosticKind::MembersTooMany { max: Array::MEMBERS_MAX, found: members.len() };
        findings.refuse(&field.node.place, kind);
        return None;
    }
    Some(Spanned::new(members, &field.node.place))
}

fn member(item: Field<'_>, own: &str, cx: &Context<'_>, findings: &mut Findings) -> Option<Spanned<Member>> {
    let name = item.text(findings)?;
    let member = match cx.names.get(&name) {
        _ if name.value == MISSING => Member::Missing,
        Some(Named::Drive) => Member::Drive(name.value.clone()),
        Some(Named::Array) => Member::Array(name.value.clone()),
        None => {
            findings.refuse_after_search(&name.place, || DiagnosticKind::MemberUnknown {
                name: name.value.clone(),
                known: cx.names.free_beside(&name, &[Named::Drive, Named::Array], own),
            });
            return None;
        }
    };
    Some(name.with(member))
}

fn spare(item: Field<'_>, cx: &Context<'_>, findings: &mut Findings) -> Option<Spanned<String>> {
    let name = item.text(findings)?;
    let named = cx.names.get(&name);
    if named == Some(Named::Drive) {
        return Some(name);
    }
    let is_array = named == Some(Named::Array);
    findings.refuse_after_search(&name.place, || DiagnosticKind::SpareUnknown {
        name: name.value.clone(),
        known: cx.names.free_beside(&name, &[Named::Drive], ""),
        is_array,
    });
    None
}

/// What depends on the level.
struct Shape {
    chunk: Option<Spanned<Bytes>>,
    layout: Spanned<Layout>,
    consistency: Spanned<Consistency>,
    region: Option<Spanned<Bytes>>,
    data_offset: Option<Spanned<Bytes>>,
}

impl Shape {
    fn read(fields: &Fields<'_>, level: Level, metadata: Metadata, findings: &mut Findings) -> Self {
        let chunk = chunk(fields, level, findings);
        if !level.is_redundant() {
            fields.refuse_if_present("region", format!("{level}, which has nothing to sync"), findings);
        }
        let sized = |key| fields.get(key).filter(|field| !field.is_word("auto"));
        Self {
            chunk,
            layout: layout(fields, level, findings),
            consistency: consistency(fields, level, metadata, findings),
            region: sized("region").and_then(|field| field.power_of_two(REGION_MIN, REGION_MAX, findings)),
            data_offset: sized("data_offset").and_then(|field| {
                let size = field.size(findings)?;
                field.multiple_of(size, DATA_OFFSET_UNIT, findings)
            }),
        }
    }
}

fn chunk(fields: &Fields<'_>, level: Level, findings: &mut Findings) -> Option<Spanned<Bytes>> {
    if !level.is_striped() {
        fields.refuse_if_present("chunk", format!("{level}, which has no stripes"), findings);
        return None;
    }
    let (min, max) =
        if level.has_parity() { (CHUNK_PARITY_MIN, CHUNK_PARITY_MAX) } else { (CHUNK_MIN, CHUNK_MAX) };
    let written = fields.get("chunk").and_then(|field| field.power_of_two(min, max, findings));
    Some(written.unwrap_or(Spanned::new(CHUNK_DEFAULT, fields.place)))
}

fn layout(fields: &Fields<'_>, level: Level, findings: &mut Findings) -> Spanned<Layout> {
    let default = match level {
        Level::Concat | Level::Raid0 | Level::Raid1 => {
            fields.refuse_if_present("layout", format!("{level}, which has only one"), findings);
            return Spanned::new(Layout::Plain, fields.place);
        }
        Level::Raid10 => Layout::Near(2),
        Level::Raid5 | Level::Raid6 => Layout::Parity(ParityLayout::LeftSymmetric),
    };
    let written = fields.get("layout").and_then(|field| written_layout(field, level, findings));
    written.unwrap_or(Spanned::new(default, fields.place))
}

fn written_layout(field: Field<'_>, level: Level, findings: &mut Findings) -> Option<Spanned<Layout>> {
    let text = field.text(findings)?;
    let known = ParityLayout::of(level);
    let layout = match text.strip_prefix("near=") {
        Some(copies) if level == Level::Raid10 => {
            copies.parse().ok().filter(|copies| *copies >= 2).map(Layout::Near)
        }
        _ => known.iter().find(|layout| layout.name() == text.value).map(|layout| Layout::Parity(*layout)),
    };
    if layout.is_none() {
        let allowed: Vec<_> = known.iter().map(|layout| layout.name()).collect();
        let near = nearest(&text, allowed.iter().copied());
        findings.refuse(
            &text.place,
            DiagnosticKind::LayoutInvalid { text: text.value.clone(), level, allowed, near },
        );
    }
    layout.map(|layout| text.with(layout))
}

fn consistency(
    fields: &Fields<'_>,
    level: Level,
    metadata: Metadata,
    findings: &mut Findings,
) -> Spanned<Consistency> {
    let default = match (metadata, level) {
        (Metadata::None, _) | (_, Level::Concat | Level::Raid0) => Consistency::None,
        (Metadata::Drives, Level::Raid1 | Level::Raid10) => Consistency::Bitmap,
        (Metadata::Drives, Level::Raid5 | Level::Raid6) => Consistency::Log,
    };
    let words = [
        ("auto", default),
        ("log", Consistency::Log),
        ("bitmap", Consistency::Bitmap),
        ("none", Consistency::None),
    ];
    let written = fields.get("consistency").and_then(|field| field.one_of(&words, findings));
    let consistency = written.unwrap_or(Spanned::new(default, fields.place));
    let allowed = match level {
        Level::Concat | Level::Raid0 => vec!["auto", "none"],
        Level::Raid1 | Level::Raid10 => vec!["auto", "bitmap", "none"],
        Level::Raid5 | Level::Raid6 => vec!["auto", "log", "bitmap", "none"],
    };
    if !allowed.contains(&consistency.name()) {
        let kind = DiagnosticKind::ConsistencyRefused { consistency: consistency.value, level, allowed };
        findings.refuse(&consistency.place, kind);
    } else if metadata == Metadata::None && consistency.value != Consistency::None {
        let kind = DiagnosticKind::ConsistencyHomeless { consistency: consistency.value };
        findings.refuse(&consistency.place, kind);
    }
    consistency
}

/// What does not depend on the level.
struct Behaviour {
    initial: Spanned<Initial>,
    metadata: Spanned<Metadata>,
    start_degraded: Spanned<StartDegraded>,
    member_timeout: Spanned<Duration>,
    on_failed: Spanned<OnFailed>,
    max_errors: MaxErrors,
}

impl Behaviour {
    fn read(fields: &Fields<'_>, findings: &mut Findings) -> Self {
        const INITIAL: [(&str, Initial); 4] = [
            ("auto", Initial::Auto),
            ("lazy", Initial::Lazy),
            ("zero", Initial::Zero),
            ("assume_clean", Initial::AssumeClean),
        ];
        const METADATA: [(&str, Metadata); 2] = [("drives", Metadata::Drives), ("none", Metadata::None)];
        const ON_FAILED: [(&str, OnFailed); 2] = [("error", OnFailed::Error), ("wait", OnFailed::Wait)];
        let here = fields.place;
        let initial = fields.get("initial").and_then(|field| field.one_of(&INITIAL, findings));
        let metadata = fields.get("metadata").and_then(|field| field.one_of(&METADATA, findings));
        let on_failed = fields.get("on_failed").and_then(|field| field.one_of(&ON_FAILED, findings));
        let timeout = fields
            .get("member_timeout")
            .and_then(|field| field.duration(MEMBER_TIMEOUT_MIN, MEMBER_TIMEOUT_MAX, findings));
        Self {
            initial: initial.unwrap_or(Spanned::new(Initial::Auto, here)),
            metadata: metadata.unwrap_or(Spanned::new(Metadata::Drives, here)),
            start_degraded: start_degraded(fields, findings),
            member_timeout: timeout.unwrap_or(Spanned::new(Duration::from_secs(10), here)),
            on_failed: on_failed.unwrap_or(Spanned::new(OnFailed::Error, here)),
            max_errors: max_errors(fields, findings),
        }
    }
}

fn start_degraded(fields: &Fields<'_>, findings: &mut Findings) -> Spanned<StartDegraded> {
    let written = fields.get("start_degraded_after").and_then(|field| {
        if field.is_word("never") {
            return Some(Spanned::new(StartDegraded::Never, &field.node.place));
        }
        let after = field.duration(Duration::ZERO, DAY, findings)?;
        Some(after.with(StartDegraded::After(after.value)))
    });
    written.unwrap_or(Spanned::new(StartDegraded::After(Duration::from_secs(30)), fields.place))
}

fn max_errors(fields: &Fields<'_>, findings: &mut Findings) -> MaxErrors {
    let section = fields.get("max_errors");
    let inner = section.and_then(|section| Fields::open(section, &MAX_ERRORS, findings));
    let mut count = |key, default| {
        let field = inner.as_ref().and_then(|inner| inner.get(key));
        let written = field.and_then(|field| field.number(1, MAX_ERRORS_MAX, findings));
        written.unwrap_or(Spanned::new(default, fields.place))
    };
    MaxErrors { read: count("read", 20), write: count("write", 1) }
}

fn sync(fields: &Fields<'_>, cx: &Context<'_>, findings: &mut Findings) -> Sync {
    let section = fields.get("sync");
    let inner = section.and_then(|section| Fields::open(section, &SYNC, findings));
    let get = |key| inner.as_ref().and_then(|inner| inner.get(key));
    let min_rate = get("min_rate").and_then(|field| field.rate(findings));
    let max_rate =
        get("max_rate").filter(|field| !field.is_word("unlimited")).and_then(|field| field.rate(findings));
    let host_p99 = get("host_p99").and_then(|field| field.duration(HOST_P99_MIN, HOST_P99_MAX, findings));
    let after = get("after").and_then(|field| {
        field.list_of(findings, |item, findings| after(item, own_name(fields), cx, findings))
    });
    let min_is_written = min_rate.is_some();
    let mut min_rate = min_rate.unwrap_or(Spanned::new(RateBytesPerS(50 << 20), fields.place));
    match &max_rate {
        Some(max) if max.get() == 0 => findings.refuse(&max.place, DiagnosticKind::RateZero),
        Some(max) if max.value < min_rate.value && min_is_written => {
            let kind = DiagnosticKind::RatesCrossed { min: min_rate.value, max: max.value };
            findings.refuse_with(&min_rate.place, kind, "the highest rate is given here", &max.place);
        }
        // A default gives way to what was written.
        Some(max) => min_rate.value = min_rate.value.min(max.value),
        None => {}
    }
    Sync {
        min_rate,
        max_rate,
        host_p99: host_p99.unwrap_or(Spanned::new(Duration::from_millis(2), fields.place)),
        after: after.unwrap_or_default(),
    }
}

fn after(item: Field<'_>, own: &str, cx: &Context<'_>, findings: &mut Findings) -> Option<Spanned<String>> {
    let name = item.text(findings)?;
    if cx.names.get(&name) == Some(Named::Array) {
        return Some(name);
    }
    findings.refuse_after_search(&name.place, || DiagnosticKind::AfterUnknown {
        name: name.value.clone(),
        known: cx.names.array_beside(&name, own),
    });
    None
}
