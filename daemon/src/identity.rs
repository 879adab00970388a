//! Identities that stay the same over restarts, so that hosts recognise what they knew.
//!
//! | what | made from |
//! |---|---|
//! | UUID of an array | version 5 (RFC 9562, section 5.5) of the array's name in [`NAMESPACE`] |
//! | UUID and NGUID of a namespace | the array's UUID; the NGUID is its 16 bytes |
//! | serial number of a subsystem | `BSLT` and the first 64 bits of the version 5 UUID of its NQN |
//!
//! The superblock's UUID will take the place of the first row; the others follow from it.

use uuid::Uuid;

/// The namespace of our name-based UUIDs: a random UUID, fixed for ever.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6b1f_4c0d_93a7_4e52_a1c8_0f7d_25e9_b364);

/// The model number of every subsystem.
pub const MODEL: &str = "Basalt";

/// UUID of the array called `name`.
pub fn array_uuid(name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// NGUID of a namespace as SPDK wants it: 32 hex digits.
pub fn nguid(array: Uuid) -> String {
    array.simple().to_string().to_uppercase()
}

/// Serial number of a subsystem: 20 characters, all that NVMe has room for.
pub fn serial(nqn: &str) -> String {
    let (high, _) = Uuid::new_v5(&NAMESPACE, nqn.as_bytes()).as_u64_pair();
    format!("BSLT{high:016X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts keep these in their configurations: they must never change.
    #[test]
    fn identities_are_pinned() {
        insta::assert_snapshot!(format!(
            "{}\n{}\n{}",
            array_uuid("data"),
            nguid(array_uuid("data")),
            serial("nqn.2026-11.io.basalt:data")
        ));
    }

    #[test]
    fn another_name_is_another_identity() {
        assert_ne!(array_uuid("data"), array_uuid("Data"));
        assert_ne!(serial("nqn.2026-11.io.basalt:a"), serial("nqn.2026-11.io.basalt:b"));
        assert_eq!(serial("nqn.2026-11.io.basalt:a").len(), 20);
    }
}
