//! Whether the cores are there.

use basalt_config::Config;

use super::Finding;

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let missing: Vec<String> = config
        .runtime
        .cores
        .iter()
        .filter(|core| !allowed.is_set(**core as usize))
        .map(|core| core.to_string())
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let there: Vec<String> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .map(|core| core.to_string())
        .collect();
    let reason = format!("this process may not run on core {}", missing.join(", "));
    let remedy = format!("choose of these: {}", there.join(", "));
    vec![Finding::error(&config.runtime.cores.place, reason, remedy)]
}
