//! The format can't change unnoticed.

use std::fmt::Write;

use super::*;

/// As `hexdump -C` prints it, rows of zeros left out.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (row, bytes) in bytes.chunks(16).enumerate().filter(|(_, bytes)| bytes.iter().any(|b| *b != 0)) {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        let ascii: String = bytes.iter().map(shown).collect();
        writeln!(text, "{:05x}  {}  |{ascii}|", row * 16, hex.join(" ")).unwrap();
    }
    text
}

#[test]
fn superblock() {
    insta::assert_snapshot!(dump(&encode(&example())));
}

#[test]
fn log_page() {
    insta::assert_snapshot!(dump(&example_page().encode(example().array, 3)));
}

#[test]
fn layout() {
    assert_eq!((BOOT_BYTES, COPY_OFFSETS, SUPERBLOCK_BYTES), (0x1_0000, [0x1_0000, 0x2_0000], 0x8000));
    assert_eq!((LOG_OFFSET, LOG_BYTES, DATA_OFFSET_MIN), (0x10_0000, 0x10_0000, 0x80_0000));
}
