//! A step of the bring-up that failed, told to the operator: the place in the YAML, the reason, what to do.

use basalt_config::Colour;
use serde_json::Value;

use crate::client::ClientError;
use crate::plan::Step;

/// The whole message, ending in a line break.
pub fn explain(step: &Step, params: &Value, error: &ClientError, colour: Colour) -> String {
    let (reason, remedy) = match error {
        ClientError::Refused(refusal) if step.method.starts_with("bdev_basalt_") => split(&refusal.message),
        ClientError::Refused(refusal) => (refusal.message.clone(), remedy(step)),
        other => (other.to_string(), other.remedy()),
    };
    let remedy = remedy.unwrap_or_else(|| format!("the call was {} {params}", step.method));
    step.place.point_out(&format!("{}: {reason}", step.what), &remedy, colour)
}

/// Our own methods answer `reason; remedy`.
fn split(message: &str) -> (String, Option<String>) {
    match message.rsplit_once("; ") {
        Some((reason, remedy)) => (reason.to_owned(), Some(remedy.to_owned())),
        None => (message.to_owned(), None),
    }
}

/// What helps against SPDK's terse answers.
fn remedy(step: &Step) -> Option<String> {
    let param = |key: &str| step.params[key].as_str().unwrap_or("?").to_owned();
    let listen = |key: &str| step.params["listen_address"][key].as_str().unwrap_or("?").to_owned();
    match step.method {
        "bdev_malloc_create" => Some(
            "memory drives live in `runtime: { memory: ... }`: raise it, or make the drive smaller".into(),
        ),
        "bdev_nvme_attach_controller" => Some(match param("trtype").as_str() {
            "PCIe" => {
                let address = param("traddr");
                format!("`lspci -nnk -s {address}` shows its driver: vfio-pci or uio_pci_generic is right")
            }
            "TCP" => format!(
                "see whether a target listens there: `nc -zv {} {}`",
                param("traddr"),
                param("trsvcid")
            ),
            _ => format!("see whether the drive's process runs: it keeps a socket {}/cntrl", param("traddr")),
        }),
        "bdev_get_bdevs" => Some(format!(
            "no bdev '{}' appeared; any SPDK client lists what is there with bdev_get_bdevs",
            param("name")
        )),
        "nvmf_subsystem_add_listener" => {
            let (host, port) = (listen("traddr"), listen("trsvcid"));
            Some(format!(
                "see who has the port: `ss -ltnp 'sport = :{port}'`, and whether {host} is ours: `ip addr`"
            ))
        }
        "nvmf_create_transport" => Some("buffers may be short: raise `runtime: { memory: ... }`".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::Refusal;

    /// What the operator sees when the step of `method` is refused.
    fn seen(yaml: &str, method: &str, code: i64, message: &str) -> String {
        let config = basalt_config::parse(yaml, "test.yaml").unwrap();
        let plan = crate::plan::from_config(&config);
        let step = plan.iter().find(|step| step.method == method).unwrap();
        let refusal = Refusal { method: method.into(), code, message: message.into() };
        explain(step, &step.params, &ClientError::Refused(refusal), Colour::Never)
    }

    const MIRROR: &str = include_str!("../plan/yaml/mirror.yaml");
    const NVME: &str = include_str!("../plan/yaml/nvme.yaml");

    #[test]
    fn our_own_methods_bring_their_remedy() {
        let busy = "/srv/d0.img: process 4711 (basalt) uses it; stop that process, or choose another file";
        insta::assert_snapshot!(seen(MIRROR, "bdev_basalt_file_create", -16, busy));
    }

    #[test]
    fn spdks_answers_get_one() {
        let shown = [
            seen(MIRROR, "nvmf_subsystem_add_listener", -32602, "Invalid parameters"),
            seen(NVME, "bdev_nvme_attach_controller", -19, "No such device"),
            seen(NVME, "bdev_get_bdevs", -110, "Connection timed out"),
            seen(NVME, "bdev_malloc_create", -12, "Cannot allocate memory"),
        ];
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn without_a_remedy_the_call_is_shown() {
        let text = seen(MIRROR, "nvmf_create_subsystem", -32602, "Invalid parameters");
        assert!(text.contains("the call was nvmf_create_subsystem {"), "{text}");
    }

    #[test]
    fn no_answer_says_so() {
        let config = basalt_config::parse(MIRROR, "test.yaml").unwrap();
        let step = &crate::plan::from_config(&config)[2];
        let late = ClientError::TimedOut { method: step.method.into(), after: step.timeout };
        let text = explain(step, &json!({}), &late, Colour::Never);
        assert!(
            text.contains("array data: raid1 of d0 d1: no answer to bdev_basalt_create within 1m"),
            "{text}"
        );
    }
}
