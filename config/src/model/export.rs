//! `exports`: what hosts see.

use std::net::SocketAddr;

use crate::{Nqn, Place, Spanned};

/// One NVMe-oF subsystem.
#[derive(Clone, Debug)]
pub struct Export {
    /// The item in the file.
    pub place: Place,
    /// Its name, unique among exports.
    pub nqn: Spanned<Nqn>,
    /// NVMe/TCP addresses that it listens on: at least one, no two alike.
    pub listen: Vec<Spanned<SocketAddr>>,
    /// Who may connect. Default: any.
    pub hosts: Hosts,
    /// The arrays that are its namespaces, 1 being the first: at least one; no array is exported twice.
    pub namespaces: Vec<Spanned<String>>,
}

/// Which hosts may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Every host.
    Any,
    /// These: at least one, no two alike.
    Listed(Vec<Spanned<Nqn>>),
}
