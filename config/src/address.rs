//! Addresses: of a PCI function, and of a TCP port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The address of a PCI function, `domain:bus:device.function`, as `lspci -D` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PciAddress {
    /// PCI domain (segment).
    pub domain: u16,
    /// Bus.
    pub bus: u8,
    /// Device on the bus, 0 to 31.
    pub device: u8,
    /// Function of the device, 0 to 7.
    pub function: u8,
}

impl PciAddress {
    /// Reads `0000:5e:00.0`: hexadecimal, each part with its full number of digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (domain, rest) = text.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let address = Self {
            domain: hex(domain, 4)?,
            bus: u8::try_from(hex(bus, 2)?).ok()?,
            device: u8::try_from(hex(device, 2)?).ok()?,
            function: u8::try_from(hex(function, 1)?).ok()?,
        };
        (address.device < 32 && address.function < 8).then_some(address)
    }
}

fn hex(text: &str, digits: usize) -> Option<u16> {
    let well_formed = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    if well_formed { u16::from_str_radix(text, 16).ok() } else { None }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// Reads `192.0.2.7:4420` or `[2001:db8::7]:4420`; otherwise says what is wrong with it.
///
/// Host names are refused: SPDK looks up none (it calls `getaddrinfo` with `AI_NUMERICHOST`).
pub(crate) fn parse_tcp(text: &str) -> Result<SocketAddr, &'static str> {
    let Some((host, port)) = text.rsplit_once(':') else { return Err("it has no port") };
    if !host.starts_with('[') && host.contains(':') {
        return Err("an IPv6 address goes in brackets");
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its port is not a number");
    }
    if !matches!(port.parse::<u32>(), Ok(1..=65_535)) {
        return Err("its port is not within 1 to 65535");
    }
    text.parse().map_err(|_| "its host is not an IP address (names are not looked up)")
}

/// The address that `text` most probably was to be: with a port, with brackets, with a number for
/// `localhost`.
pub(crate) fn repair_tcp(text: &str) -> Option<SocketAddr> {
    /// The port that IANA registered for NVMe over Fabrics.
    const PORT: u16 = 4420;
    let ip = |host: &str| match host.trim_start_matches('[').trim_end_matches(']') {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.parse().ok(),
    };
    let with_port = text.rsplit_once(':').and_then(|(host, port)| {
        // In `::1` the last group is no port; in `::1:4420` it is.
        let port = port.parse().ok().filter(|port| *port >= 1000 || !host.contains(':'))?;
        Some(SocketAddr::new(ip(host)?, if port == 0 { PORT } else { port }))
    });
    let without_port = || Some(SocketAddr::new(ip(text)?, PORT));
    let with_bad_port = || Some(SocketAddr::new(ip(text.rsplit_once(':')?.0)?, PORT));
    with_port.or_else(without_port).or_else(with_bad_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_round_trip() {
        assert_eq!(PciAddress::parse("0000:5E:00.0").unwrap().to_string(), "0000:5e:00.0");
        assert_eq!(PciAddress::parse("ffff:ff:1f.7").unwrap().to_string(), "ffff:ff:1f.7");
    }

    #[test]
    fn other_pci_forms_are_refused() {
        for text in
            ["5e:00.0", "0000:5e:00", "0000:5e:20.0", "0000:5e:00.8", "0000:5é:00.0", "", "+000:5e:00.0"]
        {
            assert_eq!(PciAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn tcp_addresses() {
        assert_eq!(parse_tcp("192.0.2.7:4420"), Ok("192.0.2.7:4420".parse().unwrap()));
        assert_eq!(parse_tcp("[::1]:4420"), Ok("[::1]:4420".parse().unwrap()));
    }

    #[test]
    fn bad_tcp_addresses_say_why() {
        let why = |text| parse_tcp(text).unwrap_err();
        assert!(why("192.0.2.7").contains("no port"));
        assert!(why("::1:4420").contains("brackets"));
        assert!(why("192.0.2.7:nvme").contains("not a number"));
        assert!(why("192.0.2.7:0").contains("1 to 65535"));
        assert!(why("192.0.2.7:65536").contains("1 to 65535"));
        assert!(why("192.0.2.7:99999999999").contains("1 to 65535"));
        assert!(why("storage.example:4420").contains("names are not looked up"));
    }

    #[test]
    fn near_misses_are_repaired() {
        let repaired = |text| repair_tcp(text).map(|address| address.to_string());
        assert_eq!(repaired("127.0.0.1").as_deref(), Some("127.0.0.1:4420"));
        assert_eq!(repaired("localhost:4421").as_deref(), Some("127.0.0.1:4421"));
        assert_eq!(repaired("::1").as_deref(), Some("[::1]:4420"));
        assert_eq!(repaired("::1:4420").as_deref(), Some("[::1]:4420"));
        assert_eq!(repaired("10.0.0.1:0").as_deref(), Some("10.0.0.1:4420"));
        assert_eq!(repaired("[::1]").as_deref(), Some("[::1]:4420"));
        assert_eq!(repaired("10.0.0.1:99999").as_deref(), Some("10.0.0.1:4420"));
        assert_eq!(repaired("storage.example:4420"), None);
    }
}
