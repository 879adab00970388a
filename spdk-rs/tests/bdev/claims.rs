//! Opening, claiming, and what a bdev says about itself.

use std::cell::RefCell;
use std::rc::Rc;

use spdk_rs::bdev::{self, BdevEvent, Descriptor, IoKind};
use spdk_rs::error::Errno;
use spdk_rs::module::BdevSpec;

use crate::in_lab;
use crate::leaf::Leaf;
use crate::module::TEST;

#[test]
fn opening_is_for_bdevs_that_exist_and_for_the_app_thread() {
    in_lab(test_name!(), |lab| {
        let open = |name| Descriptor::open(name, false, |_| {}).map(drop);
        assert_eq!(lab.on_app(|| open("nothing")), Err(Errno::ENODEV));
        assert_eq!(lab.on_app(|| open("a\0b")), Err(Errno::EINVAL));
        lab.malloc("m", 512, 64);
        assert_eq!(open("m"), Err(Errno::EPERM), "off every thread");
        let other = lab.spawn("other");
        assert_eq!(lab.on(1, || open("m")), Err(Errno::EPERM), "off the app thread");
        assert_eq!(lab.on(1, || bdev::list().map(drop)), Err(Errno::EPERM));
        assert_eq!(lab.on_app(|| open("m")), Ok(()));
        drop(other);
    });
}

#[test]
fn a_claim_keeps_other_writers_out() {
    in_lab(test_name!(), |lab| {
        lab.malloc("m", 512, 64);
        lab.on_app(|| {
            let open = |write| Descriptor::open("m", write, |_| {});
            let reader = open(false).expect("a reader");
            let writer = open(true).expect("a writer");
            assert_eq!(reader.claim(&TEST).map(drop), Err(Errno::EPERM), "while there is a writer");
            drop(writer);
            let claim = reader.claim(&TEST).expect("nobody else");
            assert_eq!(open(true).map(drop), Err(Errno::EPERM));
            assert_eq!(reader.claim(&TEST).map(drop), Err(Errno::EPERM), "twice");
            let second = open(false).expect("readers may come");
            assert_eq!(second.claim(&TEST).map(drop), Err(Errno::EPERM));
            drop(reader);
            assert_eq!(open(true).map(drop), Err(Errno::EPERM), "the claim keeps the descriptor");
            assert_eq!(claim.descriptor().name(), "m");
            drop(claim);
            assert_eq!(open(true).map(drop), Ok(()));
        });
    });
}

#[test]
fn the_last_owner_closes_from_any_thread() {
    in_lab(test_name!(), |lab| {
        lab.malloc("m", 512, 64);
        let dropped = Rc::new(());
        let held = dropped.clone();
        let descriptor = lab.on_app(|| {
            let descriptor = Descriptor::open("m", true, move |_| drop(held.clone())).expect("m");
            descriptor.claim(&TEST).expect("nobody else");
            descriptor
        });
        std::thread::spawn(move || drop(descriptor)).join().expect("it drops it");
        assert_eq!(Rc::strong_count(&dropped), 2, "the callback is dropped where it was made");
        lab.until("the descriptor is closed", |_| Rc::strong_count(&dropped) == 1);
        assert_eq!(lab.on_app(|| Descriptor::open("m", true, |_| {}).map(drop)), Ok(()));
    });
}

#[test]
fn a_bdev_says_what_it_is() {
    in_lab(test_name!(), |lab| {
        let uuid = [7; 16];
        let spec = BdevSpec {
            product: "A leaf".to_owned(),
            uuid,
            physical_block_size: 4096,
            write_cache: true,
            optimal_io_boundary_blocks: 128,
            optimal_write_size_blocks: 384,
            required_alignment_log2: 5,
            max_unmap_blocks: 99,
            numa_id: Some(0),
            ..BdevSpec::new("leaf", 512, 1000)
        };
        let (leaf, _) = lab.on_app(|| Leaf::register(spec));
        let events = Rc::new(RefCell::new(Vec::new()));
        let seen = events.clone();
        let descriptor = lab.on_app(|| {
            Descriptor::open("07070707-0707-0707-0707-070707070707", false, move |event| {
                seen.borrow_mut().push(event);
            })
            .expect("its alias")
        });
        let info = descriptor.info();
        assert_eq!(
            (info.name.as_str(), info.product.as_str(), info.module.as_str()),
            ("leaf", "A leaf", "test")
        );
        assert_eq!(info.aliases, ["07070707-0707-0707-0707-070707070707"]);
        assert_eq!(
            (info.uuid, info.block_size, info.physical_block_size, info.num_blocks),
            (uuid, 512, 4096, 1000)
        );
        assert_eq!((info.required_alignment, info.write_unit_blocks, info.md_size), (32, 1, 0));
        assert_eq!((info.optimal_io_boundary_blocks, info.optimal_write_size_blocks), (128, 384));
        assert_eq!((info.max_unmap_blocks, info.write_cache, info.numa_id), (99, true, Some(0)));
        assert!(info.supports.contains(IoKind::WriteZeroes), "the bdev layer writes zeroes");
        assert!(!info.supports_natively.contains(IoKind::WriteZeroes));
        assert!(!info.supports.contains(IoKind::Unmap) && info.supports.contains(IoKind::Flush));
        assert_eq!(lab.on_app(bdev::list).expect("all bdevs"), [info]);

        assert_eq!(lab.on_app(|| leaf.resize(1)), Err(Errno::EBUSY), "somebody has it open");
        assert_eq!(lab.on_app(|| leaf.resize(2000)), Ok(()));
        lab.until("the event", |_| !events.borrow().is_empty());
        assert_eq!(*events.borrow(), [BdevEvent::Resized]);
        assert_eq!((descriptor.num_blocks(), descriptor.info().num_blocks), (2000, 2000));
        lab.on_app(|| drop((descriptor, leaf)));
    });
}

#[test]
fn a_device_may_refuse_a_channel() {
    in_lab(test_name!(), |lab| {
        let (leaf, controls) = lab.on_app(|| Leaf::register(BdevSpec::new("leaf", 512, 64)));
        let descriptor = lab.on_app(|| Descriptor::open("leaf", false, |_| {}).expect("leaf"));
        assert_eq!(descriptor.channel().map(drop), Err(Errno::ENOTSUP), "off every thread");
        *controls.refuse_channels.lock().unwrap() = true;
        assert_eq!(lab.on_app(|| descriptor.channel().map(drop)), Err(Errno::ENODEV));
        *controls.refuse_channels.lock().unwrap() = false;
        assert_eq!(lab.on_app(|| descriptor.channel().map(drop)), Ok(()));
        lab.on_app(|| drop((descriptor, leaf)));
    });
}
