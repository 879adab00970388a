//! I/O of our own: order of callbacks, and what is never done from within a call.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::in_lab;
use spdk_rs::bdev::{Descriptor, wait_for_io};
use spdk_rs::dma::DmaBuf;

#[test]
fn callbacks_never_come_from_within_the_call() {
    in_lab(test_name!(), |lab| {
        lab.malloc("m", 512, 64);
        let channel =
            lab.on_app(|| Descriptor::open("m", true, |_| {}).expect("m").channel().expect("a channel"));
        let story = Rc::new(RefCell::new(Vec::new()));
        let calling = Rc::new(Cell::new(true));
        let told = |what: &'static str| {
            let (story, calling) = (story.clone(), calling.clone());
            move |result: Result<_, _>, buffer: DmaBuf| {
                assert!(!calling.get(), "{what} called back from within");
                story.borrow_mut().push((what, result.is_ok(), buffer.len()));
            }
        };
        lab.on_app(|| {
            channel.write_with(0, DmaBuf::new(512, 512).expect("memory"), told("write"));
            channel.read_with(0, DmaBuf::new(1024, 512).expect("memory"), told("read"));
            channel.read_with(64, DmaBuf::new(512, 512).expect("memory"), told("beyond the end"));
            channel.read_with(0, DmaBuf::new(100, 512).expect("memory"), told("odd"));
            // There are bdev_ios, so this only waits for the next turn.
            let (waited, called) = (story.clone(), calling.clone());
            wait_for_io(&channel, move || {
                assert!(!called.get());
                waited.borrow_mut().push(("wait", true, 0));
            });
            calling.set(false);
        });
        assert_eq!(channel.in_flight(), 5);
        lab.until("all have called back", |_| story.borrow().len() == 5);
        assert_eq!(channel.in_flight(), 0);
        let mut story = story.take();
        story.sort_unstable();
        let expected = [
            ("beyond the end", false, 512),
            ("odd", false, 100),
            ("read", true, 1024),
            ("wait", true, 0),
            ("write", true, 512),
        ];
        assert_eq!(story, expected);
        lab.on_app(|| drop(channel));
    });
}
