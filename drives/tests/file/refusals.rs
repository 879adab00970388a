//! What can't be is refused with place, reason and remedy, and leaves nothing behind.

use serde_json::{Value, json};

use crate::in_lab;
use crate::lab::Lab;

const MIB: u64 = 1 << 20;

fn refused(lab: &mut Lab, params: Value, code: i32, says: &[&str]) {
    let (found, message) = lab.call("bdev_basalt_file_create", params).unwrap_err();
    assert_eq!(found, i64::from(code), "{message}");
    for words in says {
        assert!(message.contains(words), "{message:?} does not say {words:?}");
    }
}

#[test]
fn bad_creations() {
    in_lab("refusals::bad_creations", |lab| {
        let path = lab.file("d0");
        let shown = path.display().to_string();
        refused(lab, json!({ "path": path }), -32602, &["missing field `name`"]);
        refused(lab, json!({ "name": "d0", "path": path, "size": 5 }), -32602, &["size", "size_bytes"]);
        refused(lab, json!({ "name": "d0", "path": path }), -libc::ENOENT, &[&shown, "give a size"]);
        let odd = json!({ "name": "d0", "path": path, "size_bytes": 1000 });
        refused(lab, odd, -libc::EINVAL, &[&shown, "no multiple of the block size 512"]);
        let block = json!({ "name": "d0", "path": path, "size_bytes": MIB, "block_size": 1024 });
        refused(lab, block, -libc::EINVAL, &["512 or 4096"]);
        assert!(!path.exists());

        lab.create("d0", MIB);
        let twice = json!({ "name": "d0", "path": lab.file("d1"), "size_bytes": MIB });
        refused(lab, twice, -libc::EEXIST, &["there is a file drive d0 already"]);
        let busy = json!({ "name": "d1", "path": path });
        refused(lab, busy, -libc::EBUSY, &[&shown, "another drive of this process", "delete it first"]);
        assert!(!lab.file("d1").exists());
        assert!(path.exists());
    });
}

#[test]
fn a_name_that_another_bdev_has() {
    in_lab("refusals::a_name_that_another_bdev_has", |lab| {
        lab.call("bdev_malloc_create", json!({ "name": "m", "block_size": 512, "num_blocks": 2048 }))
            .unwrap();
        let taken = json!({ "name": "m", "path": lab.file("m"), "size_bytes": MIB });
        refused(lab, taken.clone(), -libc::EEXIST, &["no bdev m can be made"]);
        let path = lab.file("m");
        lab.until("the file that was created is gone", |_| !path.exists());
        lab.call("bdev_malloc_delete", json!({ "name": "m" })).unwrap();
        assert_eq!(lab.call("bdev_basalt_file_create", taken), Ok(json!("m")));
    });
}

#[test]
fn bad_deletions() {
    in_lab("refusals::bad_deletions", |lab| {
        lab.call("bdev_malloc_create", json!({ "name": "m", "block_size": 512, "num_blocks": 2048 }))
            .unwrap();
        for name in ["no", "m"] {
            let (code, message) = lab.call("bdev_basalt_file_delete", json!({ "name": name })).unwrap_err();
            assert_eq!(code, i64::from(-libc::ENODEV));
            assert!(message.starts_with(name) && message.contains("no file drive"), "{message}");
        }
    });
}
