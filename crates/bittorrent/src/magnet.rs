//! Magnet links (BEP 9, 52, 53).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::id::InfoHashes;

/// A parsed magnet link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// `xt`: at least one of the two.
    pub hashes: InfoHashes,
    /// `dn`: a name to show until the real one is known.
    pub name: Option<String>,
    /// `tr`: tracker URLs.
    pub trackers: Vec<String>,
    /// `ws`: web seeds.
    pub web_seeds: Vec<String>,
    /// `x.pe`: peers by address.
    pub peers: Vec<SocketAddr>,
    /// `x.pe` by host name and port, to be looked up.
    pub peer_hosts: Vec<(String, u16)>,
    /// `so`: ranges of file indices to fetch, first and last included (BEP 53); empty is all.
    pub select_only: Vec<(usize, usize)>,
}
