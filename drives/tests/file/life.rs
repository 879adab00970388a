//! Drives come and go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use spdk_rs::bdev::{BdevEvent, Channel};
use spdk_rs::dma::DmaBuf;

use crate::in_lab;

const MIB: u64 = 1 << 20;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn many_times_the_same_file() {
    in_lab("life::many_times_the_same_file", |lab| {
        lab.create("d0", MIB);
        let mut files = None;
        for round in 0..50u8 {
            let channel = lab.open("d0");
            let mut buffer = DmaBuf::new(4096, 4096).unwrap();
            buffer.as_mut_slice().fill(round);
            let writing = lab.on(0, || channel.write(u64::from(round) * 8, buffer));
            lab.block_on(0, writing).0.unwrap();
            lab.close(channel);
            assert_eq!(lab.call("bdev_basalt_file_delete", json!({ "name": "d0" })), Ok(json!(true)));
            let now = open_files();
            assert_eq!(*files.get_or_insert(now), now, "files stay open");
            lab.create("d0", MIB);
        }
        let data = std::fs::read(lab.file("d0")).unwrap();
        assert!((0..50usize).all(|round| data[round * 4096] == round as u8));
    });
}

/// Reads for as long as it has a channel.
struct Reader {
    channel: RefCell<Option<Channel>>,
    reads: Cell<u64>,
}

impl Reader {
    fn go_on(self: &Rc<Self>, buffer: DmaBuf) {
        let (this, channel) = (Rc::clone(self), self.channel.borrow());
        let Some(channel) = &*channel else { return };
        channel.read_with(self.reads.get() % 200, buffer, move |result, buffer| {
            result.unwrap();
            this.reads.set(this.reads.get() + 1);
            this.go_on(buffer);
        });
    }
}

#[test]
fn deleted_under_load() {
    in_lab("life::deleted_under_load", |lab| {
        lab.create("d0", MIB);
        let reader = Rc::new(Reader { channel: RefCell::new(None), reads: Cell::new(0) });
        let removed = Rc::new(Cell::new(false));
        let told = Rc::clone(&removed);
        let channel = lab.open_with("d0", move |event| told.set(event == BdevEvent::Removed));
        *reader.channel.borrow_mut() = Some(channel);
        lab.on(0, || (0..32).for_each(|_| reader.go_on(DmaBuf::new(4096, 4096).unwrap())));
        lab.until("some reads", |_| reader.reads.get() > 1000);

        let deleting = lab.begin_call("bdev_basalt_file_delete", json!({ "name": "d0" }));
        lab.until("the host is told", |_| removed.get());
        let before = reader.reads.get();
        lab.until("reads go on until the host lets go", |_| reader.reads.get() > before + 100);
        assert!(!deleting.is_finished());
        let busy = json!({ "name": "d1", "path": lab.file("d0") });
        let (_, message) = lab.call("bdev_basalt_file_create", busy).unwrap_err();
        assert!(message.contains("another drive of this process"), "{message}");

        let channel = reader.channel.take();
        lab.close(channel);
        lab.until("the drive is deleted", |_| deleting.is_finished());
        assert_eq!(deleting.join(), Ok(json!(true)));
        assert_eq!(lab.call("bdev_get_bdevs", json!({})), Ok(json!([])));
        lab.create("d0", MIB);
    });
}

/// The lab stops with two drives alive and a third on its way; the next process finds the files free.
#[test]
fn spdk_ends_with_drives_alive() {
    in_lab("life::spdk_ends_with_drives_alive", |lab| {
        lab.create("d0", MIB);
        lab.create("d1", MIB);
        let path = lab.file("late");
        let mut options = basalt_drives::file::FileOptions::new("late", &path);
        options.size_bytes = Some(MIB);
        lab.on(0, || {
            basalt_drives::file::create(options, |result| {
                eprintln!("the late drive: {result:?}");
            })
        });
    });
}

#[test]
fn config_brings_the_drives_back() {
    in_lab("life::config_brings_the_drives_back", |lab| {
        lab.create("d0", MIB);
        let config = lab.call("framework_get_config", json!({ "name": "bdev" })).unwrap();
        let ours: Vec<_> = config
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["method"] == "bdev_basalt_file_create")
            .cloned()
            .collect();
        let path = lab.file("d0").canonicalize().unwrap();
        let params = json!({ "name": "d0", "path": path, "size_bytes": MIB, "block_size": 512,
            "assume_durable": false });
        assert_eq!(ours, [json!({ "method": "bdev_basalt_file_create", "params": params })]);
        lab.call("bdev_basalt_file_delete", json!({ "name": "d0" })).unwrap();
        assert_eq!(lab.call("bdev_basalt_file_create", ours[0]["params"].clone()), Ok(json!("d0")));
    });
}
