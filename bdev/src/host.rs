//! This host, as members of arrays know it.

use std::sync::OnceLock;

use raid::format::Uuid16;
use uuid::Uuid;

/// Who runs arrays here: `/etc/machine-id` where there is one (machine-id(5)), hashed so that it is not given
/// away on drives that may be sold; else random, new at every start.
pub(crate) fn id() -> Uuid16 {
    static ID: OnceLock<Uuid16> = OnceLock::new();
    *ID.get_or_init(|| {
        let machine = std::fs::read_to_string("/etc/machine-id").ok();
        let machine = machine.as_deref().map(str::trim).filter(|id| !id.is_empty());
        let uuid = machine.map_or_else(Uuid::new_v4, |id| Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()));
        Uuid16(uuid.into_bytes())
    })
}

/// 64 random bits.
pub(crate) fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().0.rotate_left(17) ^ Uuid::new_v4().as_u64_pair().1
}
