//! Whether the addresses of exports can be listened on.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use basalt_config::Config;

use super::Finding;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for address in config.exports.iter().flat_map(|export| &export.listen) {
        if seen.insert(address.value)
            && let Some((reason, remedy)) = look(address.value)
        {
            found.push(Finding::error(&address.place, reason, remedy));
        }
    }
    found
}

fn look(address: SocketAddr) -> Option<(String, String)> {
    let error = TcpListener::bind(address).err()?;
    let reason = format!("can't listen on {address}: {error}");
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            format!("see who does: `ss -ltnp 'sport = :{}'`; or choose another port", address.port())
        }
        ErrorKind::AddrNotAvailable => "see the addresses of this machine: `ip addr`".to_owned(),
        ErrorKind::PermissionDenied => "ports below 1024 need root: choose another".to_owned(),
        _ => "choose another address".to_owned(),
    };
    Some((reason, remedy))
}
