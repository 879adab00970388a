//! What the daemon tells about itself, as types. The JSON is `bdev_basalt_get_arrays` (an interface of ours)
//! and SPDK's `nvmf_get_subsystems`; fields that a daemon leaves out get their neutral value.

use serde::Deserialize;

/// One array.
#[derive(Debug, Clone, Deserialize)]
pub struct Array {
    pub name: String,
    #[serde(default)]
    pub uuid: String,
    pub level: String,
    pub state: ArrayState,
    /// Why it does not run, and what to do.
    #[serde(default)]
    pub why: Option<String>,
    #[serde(default)]
    pub num_blocks: u64,
    #[serde(default)]
    pub block_size: u32,
    #[serde(default)]
    pub chunk_kb: Option<u64>,
    #[serde(default)]
    pub epoch: u64,
    #[serde(default)]
    pub quiesces: u64,
    #[serde(default)]
    pub dirty_regions: u64,
    #[serde(default)]
    pub members: Vec<Member>,
    #[serde(default)]
    pub jobs: Vec<Job>,
}

impl Array {
    /// Size for hosts.
    pub fn bytes(&self) -> u64 {
        self.num_blocks.saturating_mul(u64::from(self.block_size))
    }

    /// Slots, without spares.
    pub fn slots(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| m.state != MemberState::Spare)
    }

    /// Members of the array that hold all they should.
    pub fn in_sync(&self) -> usize {
        self.slots().filter(|m| m.state == MemberState::InSync).count()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrayState {
    Assembling,
    Active,
    Degraded,
    Failed,
    Stopped,
}

impl ArrayState {
    pub fn as_str(self) -> &'static str {
        match self {
            ArrayState::Assembling => "assembling",
            ArrayState::Active => "active",
            ArrayState::Degraded => "degraded",
            ArrayState::Failed => "failed",
            ArrayState::Stopped => "stopped",
        }
    }
}

/// One member, or spare.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    #[serde(default)]
    pub slot: Option<u32>,
    #[serde(default)]
    pub drive: Option<String>,
    pub state: MemberState,
    #[serde(default)]
    pub read_errors: u64,
    #[serde(default)]
    pub write_errors: u64,
    /// What its drive is, in words, if the array does not run, or does not use it.
    #[serde(default)]
    pub verdict: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    InSync,
    Rebuilding,
    Faulty,
    Missing,
    Spare,
    Stale,
    Foreign,
    Split,
}

impl MemberState {
    pub fn as_str(self) -> &'static str {
        match self {
            MemberState::InSync => "in_sync",
            MemberState::Rebuilding => "rebuilding",
            MemberState::Faulty => "faulty",
            MemberState::Missing => "missing",
            MemberState::Spare => "spare",
            MemberState::Stale => "stale",
            MemberState::Foreign => "foreign",
            MemberState::Split => "split",
        }
    }
}

/// A sync job: resync, rebuild, check, ...
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    pub action: String,
    pub state: String,
    #[serde(default)]
    pub pause_reasons: Vec<String>,
    #[serde(default)]
    pub position_blocks: u64,
    #[serde(default)]
    pub total_blocks: u64,
    #[serde(default)]
    pub rate_bytes_per_s: u64,
    #[serde(default)]
    pub eta_s: Option<u64>,
    #[serde(default)]
    pub mismatches: u64,
}

/// An NVMe-oF subsystem, as SPDK tells of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Subsystem {
    pub nqn: String,
    #[serde(default)]
    pub subtype: String,
    #[serde(default)]
    pub listen_addresses: Vec<Listener>,
    #[serde(default)]
    pub allow_any_host: bool,
    #[serde(default)]
    pub hosts: Vec<serde_json::Value>,
    #[serde(default)]
    pub namespaces: Vec<Namespace>,
    /// Hosts that are connected now; asked for apart, subsystem by subsystem.
    #[serde(skip)]
    pub connected: usize,
}

impl Subsystem {
    /// The discovery service is there for every export and is none itself.
    pub fn is_export(&self) -> bool {
        self.subtype != "Discovery"
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Listener {
    #[serde(default)]
    pub trtype: String,
    #[serde(default)]
    pub adrfam: String,
    #[serde(default)]
    pub traddr: String,
    #[serde(default)]
    pub trsvcid: String,
}

impl Listener {
    /// As in the YAML: `tcp://127.0.0.1:4420`.
    pub fn url(&self) -> String {
        let scheme = self.trtype.to_lowercase();
        if self.adrfam.eq_ignore_ascii_case("ipv6") {
            format!("{scheme}://[{}]:{}", self.traddr, self.trsvcid)
        } else if self.trsvcid.is_empty() {
            format!("{scheme}://{}", self.traddr)
        } else {
            format!("{scheme}://{}:{}", self.traddr, self.trsvcid)
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Namespace {
    pub nsid: u32,
    #[serde(default)]
    pub bdev_name: String,
}
