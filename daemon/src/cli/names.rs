//! Names that an operator types, and the names that SPDK gave: drive `d2` of the YAML may be bdev `d2n1`.

use anyhow::{Result, bail};

/// The bdev that is meant by `drive`: the one of that very name, or the only namespace of the controller of
/// that name.
pub fn resolve<'a>(drive: &str, known: impl Iterator<Item = &'a str> + Clone) -> Result<String> {
    if known.clone().any(|name| name == drive) {
        return Ok(drive.to_owned());
    }
    let mut namespaces: Vec<&str> = known.clone().filter(|name| is_namespace_of(name, drive)).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    match namespaces[..] {
        [only] => Ok(only.to_owned()),
        [] => bail!("there is no '{drive}' here; there is: {}", list(known)),
        _ => bail!("'{drive}' has several namespaces; say which: {}", namespaces.join(", ")),
    }
}

/// `d2n1` is a namespace of `d2`.
fn is_namespace_of(bdev: &str, controller: &str) -> bool {
    let number = bdev.strip_prefix(controller).and_then(|rest| rest.strip_prefix('n'));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn list<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = known.collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(drive: &str, known: &[&str]) -> Result<String> {
        resolve(drive, known.iter().copied())
    }

    #[test]
    fn the_very_name_wins() {
        assert_eq!(resolved("d2", &["d2", "d2n1"]).unwrap(), "d2");
    }

    #[test]
    fn a_controller_stands_for_its_only_namespace() {
        assert_eq!(resolved("d2", &["d1n1", "d2n7", "d2nx", "d22n1"]).unwrap(), "d2n7");
    }

    #[test]
    fn what_is_not_clear_is_asked_back() {
        let several = resolved("d2", &["d2n1", "d2n2"]).unwrap_err().to_string();
        assert_eq!(several, "'d2' has several namespaces; say which: d2n1, d2n2");
        let none = resolved("d9", &["d0", "d1"]).unwrap_err().to_string();
        assert_eq!(none, "there is no 'd9' here; there is: d0, d1");
    }
}
