//! The arrays that are tested, small enough that every block is written several times in a run.

use basalt_tests::model::Run;
use serde_json::{Value, json};

/// The array that the host sees.
pub const ARRAY: &str = "data";

/// Blocks and regions begin after this, on each member.
const METADATA_MIB: u64 = 8;

/// An array over drives `m0`, `m1`, ...
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub level: &'static str,
    pub layout: Option<&'static str>,
    pub chunk_kb: Option<u64>,
    /// Small regions: 16 of them are a zone, and zones are what cores own.
    pub region_kb: u64,
    /// The drives' sizes.
    pub drives_mib: &'static [u64],
    /// Arrays of a level under the array, of these many drives each.
    pub below: Option<(&'static str, usize)>,
    pub metadata: &'static str,
}

const PLAIN: Shape = Shape {
    level: "",
    layout: None,
    chunk_kb: None,
    region_kb: 64,
    drives_mib: &[],
    below: None,
    metadata: "drives",
};

pub const CONCAT: Shape = Shape { level: "concat", drives_mib: &[12, 13, 10], ..PLAIN };
pub const RAID0: Shape = Shape { level: "raid0", chunk_kb: Some(16), drives_mib: &[12, 12, 12], ..PLAIN };
pub const RAID1: Shape = Shape { level: "raid1", drives_mib: &[20, 20], ..PLAIN };
pub const RAID1_OF_THREE: Shape =
    Shape { level: "raid1", region_kb: 1024, drives_mib: &[26, 26, 26], ..PLAIN };
pub const RAID10_OF_THREE: Shape =
    Shape { level: "raid10", chunk_kb: Some(4), drives_mib: &[16, 16, 16], ..PLAIN };
pub const RAID10_OF_FOUR: Shape =
    Shape { level: "raid10", chunk_kb: Some(64), drives_mib: &[14, 14, 14, 14], ..PLAIN };
pub const RAID10_OF_FIVE: Shape =
    Shape { level: "raid10", region_kb: 1024, drives_mib: &[14, 14, 14, 14, 14], ..PLAIN };
pub const RAID10_NEAR_THREE: Shape = Shape {
    level: "raid10",
    layout: Some("near=3"),
    chunk_kb: Some(16),
    drives_mib: &[14, 14, 14, 14, 14],
    ..PLAIN
};
pub const RAID0_OF_RAID1S: Shape = Shape {
    level: "raid0",
    chunk_kb: Some(16),
    drives_mib: &[24, 24, 24, 24],
    below: Some(("raid1", 2)),
    ..PLAIN
};
pub const RAID1_OF_RAID0S: Shape =
    Shape { level: "raid1", drives_mib: &[16, 16, 16, 16], below: Some(("raid0", 2)), ..PLAIN };
pub const UNEQUAL: Shape =
    Shape { level: "raid10", chunk_kb: Some(32), drives_mib: &[13, 19, 14, 12, 40], ..PLAIN };
pub const WITHOUT_METADATA: Shape = Shape { level: "raid1", drives_mib: &[8, 9], metadata: "none", ..PLAIN };

impl Shape {
    /// A run of the tester on it. `faulty`: drives that are wrapped so that they can be made to fail.
    pub fn run(&self, block_size: u32, cores: usize, faulty: &[usize]) -> Run {
        let mut run = Run::on(ARRAY, cores);
        for (n, mib) in self.drives_mib.iter().enumerate() {
            run = run.malloc(&format!("m{n}"), *mib, block_size);
            if faulty.contains(&n) {
                run = run.setup("bdev_error_create", json!({ "base_name": format!("m{n}") }));
            }
        }
        let drives: Vec<String> = (0..self.drives_mib.len()).map(|n| self.drive(n, faulty)).collect();
        let members = match self.below {
            None => drives,
            Some((level, count)) => {
                let mut members = Vec::new();
                for (n, drives) in drives.chunks(count).enumerate() {
                    let low = format!("low{n}");
                    run = run.setup(
                        "bdev_basalt_create",
                        json!({ "name": low, "level": level, "members": drives }),
                    );
                    members.push(low);
                }
                members
            }
        };
        run = run.setup("bdev_basalt_create", self.params(&members));
        for border in self.borders(block_size) {
            run = run.option("--border", border);
        }
        run.ask("bdev_basalt_get_arrays", json!({ "name": ARRAY }))
            .ask("bdev_basalt_get_events", json!({ "name": ARRAY }))
    }

    /// What `bdev_basalt_create` takes.
    pub fn params(&self, members: &[String]) -> Value {
        let mut params = json!({
            "name": ARRAY, "level": self.level, "members": members, "region_kb": self.region_kb,
            "metadata": self.metadata,
        });
        if let Some(layout) = self.layout {
            params["layout"] = layout.into();
        }
        if let Some(chunk_kb) = self.chunk_kb {
            params["chunk_kb"] = chunk_kb.into();
        }
        params
    }

    fn drive(&self, n: usize, faulty: &[usize]) -> String {
        if faulty.contains(&n) { format!("EE_m{n}") } else { format!("m{n}") }
    }

    /// The name of member `n` of an array that stands on drives.
    pub fn member(&self, n: usize, faulty: &[usize]) -> String {
        assert!(self.below.is_none(), "its members are arrays");
        self.drive(n, faulty)
    }

    /// Where members end.
    fn borders(&self, block_size: u32) -> Vec<u64> {
        if self.level != "concat" {
            return Vec::new();
        }
        let mut end = 0;
        let data = self.drives_mib.iter().map(|mib| ((mib - METADATA_MIB) << 20) / u64::from(block_size));
        data.map(|blocks| {
            end += blocks;
            end
        })
        .collect()
    }
}
