//! The bdev module: its start and its end, and where its parts find one another.

use std::rc::Rc;
use std::sync::{Mutex, PoisonError, RwLock};

use serde_json::{Value, json};
use spdk_rs::Errno;
use spdk_rs::io_device::{IoChannelRef, Registered};
use spdk_rs::module::{FiniDone, ModuleOps};
use spdk_rs::thread::ThreadBound;

use crate::array::Registry;
use crate::device::RaidBdev;
use crate::port::{PortDevice, Unopened, UsedPort};

spdk_rs::declare_module!(pub(crate) BASALT, "basalt", Ops);

/// Used on the app thread only.
static REGISTRY: Mutex<Option<ThreadBound<Rc<Registry>>>> = Mutex::new(None);

/// Asked for by threads that open a channel, never on the hot path.
static PORTS: RwLock<Option<Registered<PortDevice>>> = RwLock::new(None);

pub(crate) struct Ops;

impl ModuleOps for Ops {
    type Devices = (RaidBdev,);

    fn init() -> Result<(), Errno> {
        let ports = Registered::new("basalt_ports", PortDevice)?;
        *PORTS.write().unwrap_or_else(PoisonError::into_inner) = Some(ports);
        let registry = Rc::new(Registry::new(Unopened::new().open()));
        *REGISTRY.lock().unwrap_or_else(PoisonError::into_inner) = Some(ThreadBound::new(registry));
        Ok(())
    }

    fn config() -> Vec<Value> {
        let recipes = registry().map(|registry| registry.recipes()).unwrap_or_default();
        recipes
            .into_iter()
            .map(|params| json!({ "method": "bdev_basalt_create", "params": params }))
            .collect()
    }

    fn fini_start(done: FiniDone) {
        if let Some(registry) = registry() {
            registry.stop_arrays();
        }
        drop(done);
    }

    fn fini(done: FiniDone) {
        // The arrays are gone: SPDK has unregistered every bdev.
        let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(registry) = registry {
            registry.into_inner().stop();
        }
        drop(PORTS.write().unwrap_or_else(PoisonError::into_inner).take());
        drop(done);
    }
}

/// The registry; None before the module has started, after it has stopped, and off the app thread.
pub(crate) fn registry() -> Option<Rc<Registry>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get().cloned()
}

/// The current thread's port.
pub(crate) fn port() -> Result<IoChannelRef<UsedPort>, Errno> {
    PORTS.read().unwrap_or_else(PoisonError::into_inner).as_ref().ok_or(Errno::ESHUTDOWN)?.channel()
}
