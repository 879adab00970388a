//! The arrays that are tested, small enough that every block is written several times in a run.

use crate::model::Run;
use serde_json::{Value, json};

/// The array that the host sees.
pub const ARRAY: &str = "data";

/// Blocks and regions begin after this, on each member.
const METADATA_MIB: u64 = 8;

/// An array over drives `m0`, `m1`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    level: &'static str,
    layout: Option<&'static str>,
    chunk_kb: Option<u64>,
    /// Small regions: 16 of them are a zone, and zones are what cores own.
    region_kb: u64,
    /// The drives' sizes.
    drives_mib: &'static [u64],
    /// Arrays of a level under the array, of so many drives each.
    below: Option<(&'static str, usize)>,
    metadata: &'static str,
}

/// Declares shapes: a name, and what differs from an array on 16 MiB drives with small regions.
macro_rules! shapes {
    ($($name:ident, $doc:literal: { $($key:ident: $value:expr),* };)*) => {
        $(
            #[doc = $doc]
            pub const $name: Shape = Shape { $($key: $value,)* ..PLAIN };
        )*
    };
}

const PLAIN: Shape = Shape {
    level: "raid1",
    layout: None,
    chunk_kb: None,
    region_kb: 64,
    drives_mib: &[16, 16],
    below: None,
    metadata: "drives",
};

shapes! {
    CONCAT, "One after the other.": { level: "concat", drives_mib: &[12, 13, 10] };
    RAID0, "Striped.": { level: "raid0", chunk_kb: Some(16), drives_mib: &[12, 12, 12] };
    RAID1, "Two copies.": { drives_mib: &[20, 20] };
    RAID1_OF_THREE, "Three copies; more than one zone of large regions.": { region_kb: 1024, drives_mib: &[26; 3] };
    RAID10_OF_THREE, "An odd number of members, small chunks.": {
        level: "raid10", chunk_kb: Some(4), drives_mib: &[16; 3]
    };
    RAID10_OF_FOUR, "Pairs.": { level: "raid10", chunk_kb: Some(64), drives_mib: &[14; 4] };
    RAID10_OF_FIVE, "An odd number of members, large regions.": {
        level: "raid10", region_kb: 1024, drives_mib: &[14; 5]
    };
    RAID10_NEAR_THREE, "Three copies on five members.": {
        level: "raid10", layout: Some("near=3"), chunk_kb: Some(16), drives_mib: &[14; 5]
    };
    RAID0_OF_RAID1S, "Mirrors as members of a stripe.": {
        level: "raid0", chunk_kb: Some(16), drives_mib: &[24; 4], below: Some(("raid1", 2))
    };
    RAID1_OF_RAID0S, "Stripes as members of a mirror.": { drives_mib: &[16; 4], below: Some(("raid0", 2)) };
    UNEQUAL, "The smallest member decides.": {
        level: "raid10", chunk_kb: Some(32), drives_mib: &[13, 19, 14, 12, 40]
    };
    WITHOUT_METADATA, "Data from the first block on.": { drives_mib: &[8, 9], metadata: "none" };
}

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

    /// The array as YAML, named `name`, on sparse files `NAME_0`, `NAME_1`, ...: its drives, and itself with
    /// what is below.
    pub fn yaml(&self, name: &str, block_size: u32) -> (String, String) {
        let drive = |n: usize| format!("{name}_{n}");
        let mut drives = String::new();
        for (n, mib) in self.drives_mib.iter().enumerate() {
            let drive = drive(n);
            drives += &format!(
                "  - {{ name: {drive}, block_size: {block_size}, file: {{ path: {drive}.img, size: {mib}MiB }} }}\n"
            );
        }
        let all: Vec<String> = (0..self.drives_mib.len()).map(drive).collect();
        let Some((level, count)) = self.below else { return (drives, self.yaml_of(name, &all)) };
        let (mut arrays, mut members) = (String::new(), Vec::new());
        for (n, drives) in all.chunks(count).enumerate() {
            let low = format!("{name}_low{n}");
            arrays += &Shape { level, below: None, chunk_kb: None, ..*self }.yaml_of(&low, drives);
            members.push(low);
        }
        (drives, arrays + &self.yaml_of(name, &members))
    }

    fn yaml_of(&self, name: &str, members: &[String]) -> String {
        let mut keys = format!("name: {name}, level: {}, members: [{}]", self.level, members.join(", "));
        keys += &format!(", metadata: {}", self.metadata);
        if matches!(self.level, "raid1" | "raid10") {
            keys += &format!(", region: {}KiB", self.region_kb);
        }
        keys += &self.layout.map(|layout| format!(", layout: {layout}")).unwrap_or_default();
        keys += &self.chunk_kb.map(|kb| format!(", chunk: {kb}KiB")).unwrap_or_default();
        format!("  - {{ {keys} }}\n")
    }

    /// Where members end.
    pub fn borders(&self, block_size: u32) -> Vec<u64> {
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
