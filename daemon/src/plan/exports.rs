//! Steps that show arrays to hosts: one transport, one discovery service, one subsystem for each export.
//!
//! A subsystem gets its namespaces before it listens, so that no host sees it empty. A namespace whose array
//! does not run yet is put off, and a subsystem that has none yet does not listen.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use basalt_config::{Config, Export, Hosts, Place, Spanned};
use serde_json::{Value, json};

use super::{Fact, Fill, Made, Needs, QUICK, Step};
use crate::identity;
use crate::memory::pools::Pools;

/// The well-known name of the discovery service (NVM Express Base Specification 2.0, section 4.7).
pub const DISCOVERY_NQN: &str = "nqn.2014-08.org.nvmexpress.discovery";

/// Controller ids that a subsystem hands out: all that the specification allows, pinned so that a later SPDK
/// with other defaults changes nothing for hosts.
const CONTROLLER_IDS: (u32, u32) = (1, 0xFFEF);

/// Room for namespaces that are added while it runs.
const NAMESPACES_MIN: usize = 32;

pub(super) fn steps(config: &Config) -> Vec<Step> {
    let Some(first) = config.exports.first() else { return Vec::new() };
    let mut steps = vec![transport(config, &first.place)];
    let mut discoverable = BTreeSet::new();
    for export in &config.exports {
        steps.push(subsystem(export));
        if let Hosts::Listed(hosts) = &export.hosts {
            steps.extend(hosts.iter().map(|host| allow(export, host.as_str(), &host.place)));
        }
        steps.extend(export.namespaces.iter().zip(1..).map(|(array, nsid)| namespace(export, array, nsid)));
        for address in &export.listen {
            steps.push(listen(export, address));
            if discoverable.insert(address.value) {
                steps.push(discovery(address));
            }
        }
    }
    steps
}

fn step(what: String, method: &'static str, params: Value, place: &Place) -> Step {
    Step {
        what,
        method,
        params,
        fills: Vec::new(),
        learns: None,
        timeout: QUICK,
        place: place.clone(),
        makes: None,
        needs: Needs::Nothing,
        may_fail: false,
    }
}

fn transport(config: &Config, place: &Place) -> Step {
    let pools = Pools::for_config(config);
    let params = json!({
        "trtype": "TCP",
        "max_io_qpairs_per_ctrlr": pools.io_queues_per_host,
        "num_shared_buffers": pools.large_buffers,
        "buf_cache_size": pools.buffers_per_thread,
    });
    step("NVMe/TCP".to_owned(), "nvmf_create_transport", params, place)
}

fn subsystem(export: &Export) -> Step {
    let nqn = export.nqn.as_str();
    let params = json!({
        "nqn": nqn,
        "serial_number": identity::serial(nqn),
        "model_number": identity::MODEL,
        "min_cntlid": CONTROLLER_IDS.0,
        "max_cntlid": CONTROLLER_IDS.1,
        "max_namespaces": export.namespaces.len().max(NAMESPACES_MIN),
        "allow_any_host": export.hosts == Hosts::Any,
    });
    let makes = Some(Made::Export { nqn: nqn.to_owned() });
    Step { makes, ..step(format!("export {nqn}"), "nvmf_create_subsystem", params, &export.nqn.place) }
}

fn allow(export: &Export, host: &str, place: &Place) -> Step {
    let params = json!({ "nqn": export.nqn.as_str(), "host": host });
    step(
        format!("export {}: host {host} may connect", export.nqn.as_str()),
        "nvmf_subsystem_add_host",
        params,
        place,
    )
}

fn namespace(export: &Export, array: &Spanned<String>, nsid: u32) -> Step {
    let nqn = export.nqn.as_str();
    let params = json!({ "nqn": nqn, "namespace": { "bdev_name": array.value, "nsid": nsid } });
    let fill = |pointer, fact| Fill { pointer, array: array.value.clone(), fact };
    Step {
        needs: Needs::All(vec![array.value.clone()]),
        fills: vec![fill("/namespace/uuid", Fact::Uuid), fill("/namespace/nguid", Fact::Nguid)],
        ..step(
            format!("export {nqn}: namespace {nsid} is array {}", array.value),
            "nvmf_subsystem_add_ns",
            params,
            &array.place,
        )
    }
}

fn listen(export: &Export, address: &Spanned<SocketAddr>) -> Step {
    let nqn = export.nqn.as_str();
    let params = json!({ "nqn": nqn, "listen_address": listen_address(address) });
    let what = format!("export {nqn}: listen on tcp://{}", address.value);
    let shown: Vec<String> = export.namespaces.iter().map(|array| array.value.clone()).collect();
    let needs = if shown.is_empty() { Needs::Nothing } else { Needs::Any(shown) };
    Step { needs, ..step(what, "nvmf_subsystem_add_listener", params, &address.place) }
}

/// The target has a discovery service of its own; it answers only where it is told to listen.
fn discovery(address: &Spanned<SocketAddr>) -> Step {
    let params = json!({ "nqn": DISCOVERY_NQN, "listen_address": listen_address(address) });
    let what = format!("discovery on tcp://{}", address.value);
    let makes = Some(Made::Discovery { listen_address: listen_address(address) });
    Step { makes, ..step(what, "nvmf_subsystem_add_listener", params, &address.place) }
}

fn listen_address(address: &SocketAddr) -> Value {
    json!({
        "trtype": "TCP",
        "adrfam": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "traddr": address.ip().to_string(),
        "trsvcid": address.port().to_string(),
    })
}
