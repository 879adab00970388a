//! Finds a built SPDK, generates the bindings from its headers and says what to link.
//!
//! The tree is `SPDK_ROOT_DIR`, else the one that `scripts/spdk --where` names.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// SPDK archives that register things by constructors, so they are linked whole. All are required.
const SPDK_ARCHIVES: &[&str] = &[
    // bdevs and what they stand on
    "spdk_bdev_malloc",
    "spdk_bdev_null",
    "spdk_bdev_nvme",
    "spdk_bdev_error",
    "spdk_bdev_delay",
    "spdk_bdev_aio",
    "spdk_bdev_uring",
    "spdk_bdev_passthru",
    "spdk_bdev_split",
    "spdk_accel",
    "spdk_accel_error",
    "spdk_sock",
    "spdk_sock_posix",
    "spdk_keyring",
    "spdk_keyring_file",
    // subsystems: despite the name they belong to lib/init, not to the event framework
    "spdk_event_bdev",
    "spdk_event_accel",
    "spdk_event_vmd",
    "spdk_event_sock",
    "spdk_event_iobuf",
    "spdk_event_keyring",
    "spdk_event_nvmf",
    // libraries
    "spdk_nvmf",
    "spdk_bdev",
    "spdk_dma",
    "spdk_nvme",
    "spdk_vmd",
    "spdk_init",
    "spdk_notify",
    "spdk_env_dpdk",
    "spdk_env_dpdk_rpc",
    "spdk_trace",
    "spdk_thread",
    "spdk_rpc",
    "spdk_jsonrpc",
    "spdk_json",
    "spdk_util",
    "spdk_log",
    "spdk_ioat",
];

/// Archives that an SPDK may have been configured without; linked whole where they are there.
const SPDK_OPTIONAL_ARCHIVES: &[&str] = &["spdk_vfio_user"];

/// SPDK's own RAID, for the feature `comparison`.
const SPDK_COMPARISON_ARCHIVES: &[&str] = &["spdk_bdev_raid"];

/// DPDK's archives, linked whole where they are there: DPDK's set of libraries changes with its version.
const DPDK_ARCHIVES: &[&str] = &[
    "rte_eal",
    "rte_kvargs",
    "rte_log",
    "rte_telemetry",
    "rte_argparse",
    "rte_mempool",
    "rte_mempool_ring",
    "rte_ring",
    "rte_bus_pci",
    "rte_pci",
    "rte_power",
    "rte_power_acpi",
    "rte_power_amd_pstate",
    "rte_power_cppc",
    "rte_power_intel_pstate",
    "rte_power_intel_uncore",
    "rte_power_kvm_vm",
    "rte_timer",
    "rte_ethdev",
    "rte_net",
    "rte_mbuf",
    "rte_meter",
];

/// Libraries of the system that the archives need.
const SYSTEM_LIBRARIES: &[&str] =
    &["json-c", "uring", "uuid", "ssl", "crypto", "aio", "numa", "dl", "rt", "m", "pthread"];

/// Structs that bindgen cannot lay out (packed ones that hold aligned ones). Nobody here reads their fields.
const OPAQUE_TYPES: &str = "spdk_nvme_.*|spdk_nvmf_fabric.*|spdk_nvmf_discovery.*|spdk_nvmf_request|\
    spdk_nvmf_registers|spdk_nvmf_[ch]2[ch]_msg|spdk_scsi_.*|spdk_nvmf_transport_opts";

fn main() {
    for file in ["build.rs", "wrapper.h", "shim.h", "shim.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=SPDK_ROOT_DIR");
    println!("cargo::rerun-if-env-changed=BASALT_CACHE");
    let root = spdk_root();
    // Both change when the tree is configured or built anew.
    println!("cargo::rerun-if-changed={}", root.join("build/include/spdk/config.h").display());
    println!("cargo::rerun-if-changed={}", root.join("build/lib/libspdk_bdev.a").display());
    println!("cargo::metadata=root={}", root.display());

    let includes = include_folders(&root);
    bindings(&includes);
    cc::Build::new().file("shim.c").includes(&includes).warnings(true).compile("basalt_spdk_shim");
    link(&root);
}

/// The built SPDK tree, or the end of the build with what to do about it.
fn spdk_root() -> PathBuf {
    let root = match env::var_os("SPDK_ROOT_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => ask_script(),
    };
    if !root.join("include/spdk/bdev_module.h").is_file() {
        fail(&format!("{} holds no SPDK source tree: point SPDK_ROOT_DIR at a built SPDK", root.display()));
    }
    if !root.join("build/lib/libspdk_bdev.a").is_file() {
        fail(&format!("SPDK in {} is not built: run ./configure and make there", root.display()));
    }
    root
}

fn ask_script() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/spdk");
    println!("cargo::rerun-if-changed={}", script.display());
    match Command::new(&script).arg("--where").output() {
        Ok(found) if found.status.success() => {
            PathBuf::from(String::from_utf8_lossy(&found.stdout).trim_end().to_owned())
        }
        Ok(missing) => fail(&format!(
            "no built SPDK was found. Run scripts/spdk, or set SPDK_ROOT_DIR to a built SPDK tree.\n{}",
            String::from_utf8_lossy(&missing.stderr).trim_end()
        )),
        Err(error) => fail(&format!("cannot run {}: {error}. Set SPDK_ROOT_DIR instead.", script.display())),
    }
}

/// SPDK's own headers, and the tree itself for `isa-l/include/...`.
fn include_folders(root: &Path) -> Vec<PathBuf> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // build/include has the generated config.h; spdk_internal is in include only.
    vec![manifest, root.join("build/include"), root.join("include"), root.to_owned()]
}

fn bindings(includes: &[PathBuf]) {
    let generated = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(includes.iter().map(|dir| format!("-I{}", dir.display())))
        .allowlist_item("(spdk|SPDK)_.*")
        .allowlist_item("basalt_.*")
        .allowlist_function("xor_gen|pq_gen|xor_check|pq_check|ec_.*|gf_.*")
        .opaque_type(OPAQUE_TYPES)
        // Bit-field unions inside packed structs: E0588. Written by hand in lib.rs, asserted by size.
        .blocklist_type("spdk_bdev_nvme_cdw1[23]")
        .prepend_enum_name(false)
        .derive_default(false)
        .derive_debug(false)
        .generate_comments(false)
        .generate_cstr(true)
        .generate()
        .unwrap_or_else(|error| fail(&format!("SPDK's headers cannot be bound: {error}")));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    generated.write_to_file(out.join("bindings.rs")).unwrap_or_else(|error| fail(&error.to_string()));
}

/// `-bundle`: a static library made from another crate of ours must not swallow SPDK, since the application
/// that links it brings its own.
fn link(root: &Path) {
    let spdk = root.join("build/lib");
    let dpdk = root.join("dpdk/build/lib");
    for folder in [
        spdk.clone(),
        dpdk.clone(),
        root.join("isa-l/.libs"),
        root.join("isa-l-crypto/.libs"),
        root.join("build/libvfio-user/usr/local/lib"),
    ] {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
    for archive in SPDK_ARCHIVES {
        if !has_archive(&spdk, archive) {
            fail(&format!(
                "SPDK in {} was built without {archive}; see scripts/spdk for its options",
                root.display()
            ));
        }
        link_whole(archive);
    }
    SPDK_OPTIONAL_ARCHIVES.iter().filter(|archive| has_archive(&spdk, archive)).for_each(|a| link_whole(a));
    if env::var_os("CARGO_FEATURE_COMPARISON").is_some() {
        SPDK_COMPARISON_ARCHIVES.iter().for_each(|a| link_whole(a));
    }
    DPDK_ARCHIVES.iter().filter(|archive| has_archive(&dpdk, archive)).for_each(|a| link_whole(a));

    println!("cargo::rustc-link-lib=static:-bundle=isal");
    println!("cargo::rustc-link-lib=static:-bundle=isal_crypto");
    if has_archive(&root.join("build/libvfio-user/usr/local/lib"), "vfio-user") {
        println!("cargo::rustc-link-lib=static:-bundle=vfio-user");
    }
    for library in SYSTEM_LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
}

fn has_archive(folder: &Path, name: &str) -> bool {
    folder.join(format!("lib{name}.a")).is_file()
}

fn link_whole(archive: &str) {
    println!("cargo::rustc-link-lib=static:+whole-archive,-bundle={archive}");
}

/// Ends the build with one readable message instead of a panic's backtrace.
fn fail(message: &str) -> ! {
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    exit(1)
}
