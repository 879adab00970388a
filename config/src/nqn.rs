//! NVMe qualified names: the names of subsystems and of hosts.
//!
//! Form and limits: NVM Express Base Specification 2.0, section 4.7, as SPDK's target enforces them.

use std::fmt;

/// Longest NQN, in bytes.
const NQN_BYTES_MAX: usize = 223;
/// Longest label of the reverse domain, in bytes (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;
const UUID_PREFIX: &str = "nqn.2014-08.org.nvmexpress:uuid:";
const DISCOVERY: &str = "nqn.2014-08.org.nvmexpress.discovery";

/// An NVMe qualified name of good form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nqn(String);

/// Why a text is not an NQN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NqnError {
    /// Longer than 223 bytes.
    #[error("it is longer than {NQN_BYTES_MAX} bytes")]
    TooLong,
    /// Does not begin with `nqn.`.
    #[error("it does not begin with `nqn.`")]
    Prefix,
    /// The date is not `yyyy-mm`.
    #[error("its date is not of the form `yyyy-mm`")]
    Date,
    /// No colon, or nothing behind it.
    #[error("it has no name behind a `:`")]
    Name,
    /// The reverse domain is not one.
    #[error("its domain is not made of labels of letters, digits and `-`, each beginning with a letter")]
    Domain,
    /// The UUID form without a UUID.
    #[error("what follows `uuid:` is not a UUID")]
    Uuid,
    /// A character that could not be shown, or a blank.
    #[error("it contains a blank or a control character")]
    Blank,
    /// The well-known name of the discovery service.
    #[error("it is the name of the discovery service")]
    Discovery,
}

impl Nqn {
    /// Checks the form of `text`.
    pub fn parse(text: &str) -> Result<Self, NqnError> {
        if text.len() > NQN_BYTES_MAX {
            return Err(NqnError::TooLong);
        }
        if text == DISCOVERY {
            return Err(NqnError::Discovery);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(NqnError::Blank);
        }
        match text.strip_prefix(UUID_PREFIX) {
            Some(uuid) => check_uuid(uuid)?,
            None => check_dated(text)?,
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `nqn.yyyy-mm.reverse.domain:name`
fn check_dated(text: &str) -> Result<(), NqnError> {
    let rest = text.strip_prefix("nqn.").ok_or(NqnError::Prefix)?;
    let (date, rest) = rest.split_once('.').ok_or(NqnError::Date)?;
    if !is_date(date) {
        return Err(NqnError::Date);
    }
    let (domain, name) = rest.split_once(':').ok_or(NqnError::Name)?;
    if name.is_empty() {
        return Err(NqnError::Name);
    }
    if domain.split('.').all(is_label) { Ok(()) } else { Err(NqnError::Domain) }
}

fn is_date(date: &str) -> bool {
    let Some((year, month)) = date.split_once('-') else { return false };
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month)
}

fn is_label(label: &str) -> bool {
    let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let begins_well = label.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    plain && begins_well && !label.ends_with('-') && label.len() <= LABEL_BYTES_MAX
}

fn check_uuid(text: &str) -> Result<(), NqnError> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    let hex = groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex && lengths.eq([8, 4, 4, 4, 12]) { Ok(()) } else { Err(NqnError::Uuid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names() {
        for text in [
            "nqn.2026-11.io.basalt:data",
            "nqn.2014-08.org.example:d3",
            "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555",
            "nqn.1994-11.com.samsung:nvme:PM9A1:M.2:S123",
        ] {
            assert_eq!(Nqn::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn bad_names_say_why() {
        let long = format!("nqn.2026-11.io.basalt:{}", "x".repeat(202));
        for (text, error) in [
            (long.as_str(), NqnError::TooLong),
            ("iqn.2026-11.io.basalt:data", NqnError::Prefix),
            ("nqn.2026-13.io.basalt:data", NqnError::Date),
            ("nqn.26-11.io.basalt:data", NqnError::Date),
            ("nqn.2026-11.io.basalt", NqnError::Name),
            ("nqn.2026-11.io.basalt:", NqnError::Name),
            ("nqn.2026-11.io..basalt:data", NqnError::Domain),
            ("nqn.2026-11.io.9basalt:data", NqnError::Domain),
            ("nqn.2026-11.io.basalt-:data", NqnError::Domain),
            ("nqn.2014-08.org.nvmexpress:uuid:1234", NqnError::Uuid),
            ("nqn.2026-11.io.basalt:da ta", NqnError::Blank),
            ("nqn.2014-08.org.nvmexpress.discovery", NqnError::Discovery),
        ] {
            assert_eq!(Nqn::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_longest_name_is_223_bytes() {
        let prefix = "nqn.2026-11.io.basalt:";
        let longest = format!("{prefix}{}", "x".repeat(NQN_BYTES_MAX - prefix.len()));
        assert!(Nqn::parse(&longest).is_ok());
    }
}
