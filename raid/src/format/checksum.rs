//! CRC-32C (Castagnoli; RFC 3720, appendix B.4), over bytes that hold the sum themselves.

/// The sum of `bytes`, with the four bytes at `at`, where the sum is kept, taken as zeros.
pub(super) fn checksum(bytes: &[u8], at: usize) -> u32 {
    let sum = crc32c::crc32c(&bytes[..at]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, &bytes[at + 4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C, and a test vector of RFC 3720 (32 bytes of zeros).
    #[test]
    fn it_is_crc_32c() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32], 8), 0x8a91_36aa);
        let mut bytes = [7u8; 64];
        let sum = checksum(&bytes, 20);
        bytes[20..24].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(checksum(&bytes, 20), sum);
    }
}
