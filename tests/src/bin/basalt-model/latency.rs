//! Latency of single reads.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Serialize;
use spdk_rs::thread::ThreadBound;

use crate::conductor;
use crate::host::{Bdev, Buffer, Channel, Failure, Request};
use crate::options::Latency;
use crate::process::{self, App};
use crate::workload::{Op, Piece};

const READ_BYTES: u64 = 4096;

/// What was measured, in microseconds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Each read after a pause.
    pub first_us: Vec<f64>,
    pub first_median_us: f64,
    /// Reads one after the other.
    pub reads: u64,
    pub busy_median_us: f64,
    pub busy_p99_us: f64,
}

/// Pauses with one read after each, then reads one after the other.
pub fn measure(app: &App, socket: &Path, options: &Latency) -> Result<Report> {
    let bdev = conductor::open(app, socket, &options.common.setup, &options.common.bdev)?;
    let thread = app.spawn("latency", app.cores()[0])?;
    // Held all the time: an NVMe controller makes its I/O queue for the first channel, which is not what is
    // measured.
    let opened = {
        let bdev = Arc::clone(&bdev);
        process::call(&thread, move || bdev.channel().map(ThreadBound::new))?
    };
    let held = opened.map_err(|errno| anyhow!("no channel: {errno}"))?;
    series(&thread, &bdev, Duration::ZERO)?;
    let mut first = Vec::new();
    for _ in 0..options.pauses {
        // The pause is what is measured: nothing may be waited for in it.
        std::thread::sleep(Duration::from_millis(options.pause_ms));
        first.extend(series(&thread, &bdev, Duration::ZERO)?);
    }
    let busy = series(&thread, &bdev, Duration::from_millis(options.busy_ms))?;
    process::call(&thread, move || drop(held))?;
    app.call(move || drop(bdev))?;
    let first_us = first.clone();
    Ok(Report {
        first_median_us: quantile(first, 0.5),
        first_us,
        reads: busy.len() as u64,
        busy_p99_us: quantile(busy.clone(), 0.99),
        busy_median_us: quantile(busy, 0.5),
    })
}

/// Reads, one after the other, for `time`; at least one. Returns how long each took.
fn series(thread: &spdk_rs::thread::ThreadHandle, bdev: &Arc<Bdev>, time: Duration) -> Result<Vec<f64>> {
    let (tell, told) = mpsc::channel();
    let bdev = Arc::clone(bdev);
    let started = process::call(thread, move || -> Result<(), spdk_rs::Errno> {
        let blocks = READ_BYTES / u64::from(bdev.block_size);
        let mut buffer = Buffer::new(READ_BYTES as usize + 64)?;
        buffer.arrange(&[Piece { gap: 0, len: READ_BYTES as usize }]);
        let series = Series {
            channel: bdev.channel()?,
            blocks,
            until: Instant::now() + time,
            taken_us: Vec::new(),
            tell,
        };
        series.read(buffer);
        Ok(())
    })?;
    started.map_err(|errno| anyhow!("no channel or buffer: {errno}"))?;
    told.recv()?.map_err(|failure| anyhow!("a read failed: {failure}"))
}

struct Series {
    channel: Channel,
    blocks: u64,
    until: Instant,
    taken_us: Vec<f64>,
    tell: mpsc::Sender<Result<Vec<f64>, Failure>>,
}

impl Series {
    fn read(self, buffer: Buffer) {
        let request = Request { op: Op::Read, lba: 0, blocks: self.blocks, buffer };
        let begun = Instant::now();
        let channel = self.channel.clone();
        channel.submit(request, move |request, result| self.over(begun, request, result));
    }

    fn over(mut self, begun: Instant, request: Request, result: Result<(), Failure>) {
        self.taken_us.push(begun.elapsed().as_nanos() as f64 / 1000.0);
        if let (Ok(()), true) = (result, Instant::now() < self.until) {
            return self.read(request.buffer);
        }
        let Series { channel, taken_us, tell, .. } = self;
        drop(channel);
        // The conductor waits for it.
        let _ = tell.send(result.map(|()| taken_us));
    }
}

fn quantile(mut taken_us: Vec<f64>, q: f64) -> f64 {
    taken_us.sort_by(f64::total_cmp);
    taken_us[((taken_us.len() - 1) as f64 * q) as usize]
}
