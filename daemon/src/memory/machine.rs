//! What the machine has: `/proc/meminfo`, as numbers.

use anyhow::{Context, Result};

/// Memory of the machine that matters to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Ordinary memory that could be taken without swapping.
    pub available_bytes: u64,
    /// Huge pages that exist (of the default size).
    pub huge_pages_total: u64,
    /// Huge pages that nobody uses or has reserved.
    pub huge_pages_free: u64,
    /// Size of one.
    pub huge_page_bytes: u64,
}

impl Machine {
    /// Asks this machine.
    pub fn read() -> Result<Machine> {
        let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        Machine::parse(&text).context("/proc/meminfo lacks MemAvailable")
    }

    /// Reads the text of `/proc/meminfo`. A kernel without huge pages has none of their lines.
    pub fn parse(text: &str) -> Option<Machine> {
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let free = number("HugePages_Free").unwrap_or(0);
        Some(Machine {
            available_bytes: number("MemAvailable")? * 1024,
            huge_pages_total: number("HugePages_Total").unwrap_or(0),
            huge_pages_free: free.saturating_sub(number("HugePages_Rsvd").unwrap_or(0)),
            huge_page_bytes: number("Hugepagesize").unwrap_or(2048) * 1024,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_matters() {
        let text = "MemTotal:       24684104 kB\nMemAvailable:   1024 kB\nHugePages_Total:    1024\n\
                    HugePages_Free:      600\nHugePages_Rsvd:      100\nHugePages_Surp:        0\n\
                    Hugepagesize:       2048 kB\n";
        let wanted = Machine {
            available_bytes: 1 << 20,
            huge_pages_total: 1024,
            huge_pages_free: 500,
            huge_page_bytes: 2 << 20,
        };
        assert_eq!(Machine::parse(text), Some(wanted));
    }

    #[test]
    fn a_kernel_without_huge_pages() {
        let machine = Machine::parse("MemAvailable: 8 kB\n").unwrap();
        assert_eq!((machine.huge_pages_total, machine.huge_pages_free), (0, 0));
        assert_eq!(Machine::parse("MemTotal: 8 kB\n"), None);
    }

    #[test]
    fn this_machine_can_be_asked() {
        assert!(Machine::read().unwrap().available_bytes > 0);
    }
}
