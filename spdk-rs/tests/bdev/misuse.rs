//! What must not be done ends the process before it can hurt memory.

use std::cell::RefCell;

use spdk_rs::bdev::{Channel, Descriptor, IoError, IoKind};
use spdk_rs::dma::DmaBuf;
use spdk_rs::error::Errno;
use spdk_rs::module::{self, BdevSpec, Child, Device, Io, IoToken};

use crate::dies_in_own_process;
use crate::lab::{Lab, Setup};
use crate::module::TEST;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sin {
    /// Completes while a child is out.
    CompleteEarly,
    /// Drops an I/O.
    Drop,
    /// Uses a slot twice.
    SameSlot,
    /// Takes a token up twice.
    TakeTwice,
    /// Takes a token up after the I/O is over, and its memory is used by another.
    TakeLate,
    /// Keeps an I/O that has children out without parking it.
    KeepHeld,
}

/// A pass-through that does something wrong.
pub struct Sinner {
    sin: Sin,
    member: std::sync::Arc<Descriptor>,
}

pub struct SinnersChannel {
    member: Channel,
    token: RefCell<Option<IoToken>>,
    kept: RefCell<Option<Io<Sinner>>>,
}

impl Device for Sinner {
    type Channel = SinnersChannel;
    type IoState = ();

    fn supports(&self, kind: IoKind) -> bool {
        matches!(kind, IoKind::Read | IoKind::Write)
    }

    fn open_channel(&self) -> Result<SinnersChannel, Errno> {
        let member = self.member.channel()?;
        Ok(SinnersChannel { member, token: RefCell::default(), kept: RefCell::default() })
    }

    fn submit(&self, channel: &SinnersChannel, mut io: Io<Sinner>) {
        let child = Child { op: io.kind(), lba: io.lba(), blocks: io.blocks(), host_offset_blocks: 0 };
        io.submit_child(0, &channel.member, child).expect("the child is sent");
        match self.sin {
            Sin::CompleteEarly => io.complete(Ok(())),
            Sin::Drop => drop(io),
            Sin::SameSlot => {
                let _ = io.submit_child(0, &channel.member, child);
                io.into_token();
            }
            Sin::TakeTwice => {
                let token = io.into_token();
                // SAFETY: parked just above. The second time is the sin, and is found out.
                let (first, _second) =
                    unsafe { (Io::<Sinner>::from_token(token), Io::<Sinner>::from_token(token)) };
                first.into_token();
            }
            Sin::TakeLate => {
                let before = channel.token.replace(Some(io.into_token()));
                if let Some(before) = before {
                    // SAFETY: it is over, which is the sin, and is found out.
                    unsafe { Io::<Sinner>::from_token(before) }.into_token();
                }
            }
            Sin::KeepHeld => *channel.kept.borrow_mut() = Some(io),
        }
    }

    fn child_done(&self, _channel: &SinnersChannel, io: Io<Sinner>, _slot: u8, result: Result<(), IoError>) {
        io.complete(result);
    }
}

fn sin(name: &str, sin: Sin, words: &str) {
    dies_in_own_process(name, words, || {
        let mut lab = Lab::start(&Setup::default());
        lab.malloc("m", 512, 64);
        let (sinner, channel) = lab.on_app(|| {
            let member = Descriptor::open("m", true, |_| {}).expect("m");
            let sinner = module::register(&TEST, BdevSpec::new("sinner", 512, 64), Sinner { sin, member })
                .expect("a bdev");
            let host = Descriptor::open("sinner", true, |_| {}).expect("sinner");
            (sinner, host.channel().expect("a channel"))
        });
        for lba in 0..4 {
            let writing = lab.on_app(|| channel.write(lba, DmaBuf::new(512, 512).expect("memory")));
            assert_eq!(lab.block_on(writing).0, Ok(()));
        }
        lab.on_app(|| drop((channel, sinner)));
        lab.stop();
    });
}

#[test]
fn completing_while_a_child_is_out() {
    sin(test_name!(), Sin::CompleteEarly, "was completed while children are out");
}

#[test]
fn dropping_an_io() {
    sin(test_name!(), Sin::Drop, "an I/O has to be completed or parked");
}

#[test]
fn using_a_slot_twice() {
    sin(test_name!(), Sin::SameSlot, "slot 0 is still in use");
}

#[test]
fn taking_a_token_twice() {
    sin(test_name!(), Sin::TakeTwice, "stands for no parked I/O");
}

#[test]
fn taking_a_token_of_an_io_that_is_over() {
    sin(test_name!(), Sin::TakeLate, "stands for no parked I/O");
}

#[test]
fn keeping_an_io_with_children_out() {
    sin(test_name!(), Sin::KeepHeld, "an I/O with children out has to be parked");
}

#[test]
fn dropping_a_channel_on_another_thread() {
    dies_in_own_process(test_name!(), "on another thread than its own", || {
        let mut lab = Lab::start(&Setup::default());
        lab.malloc("m", 512, 64);
        let other = lab.spawn("other");
        let channel =
            lab.on_app(|| Descriptor::open("m", false, |_| {}).expect("m").channel().expect("a channel"));
        lab.on(1, || drop(channel));
        drop(other);
    });
}

#[test]
fn registering_a_device_that_was_not_declared() {
    struct Large;

    #[derive(Clone, Copy)]
    struct LargeState {
        _space: [u8; 4096],
    }

    impl Default for LargeState {
        fn default() -> Self {
            LargeState { _space: [0; 4096] }
        }
    }

    impl Device for Large {
        type Channel = ();
        type IoState = LargeState;

        fn supports(&self, _kind: IoKind) -> bool {
            true
        }

        fn open_channel(&self) -> Result<(), Errno> {
            Ok(())
        }

        fn submit(&self, _channel: &(), io: Io<Large>) {
            io.complete(Ok(()));
        }
    }

    dies_in_own_process(test_name!(), "add its type to ModuleOps::Devices", || {
        let mut lab = Lab::start(&Setup::default());
        let _ = lab.on_app(|| module::register(&TEST, BdevSpec::new("large", 512, 64), Large));
    });
}
