//! What the demo found, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::bound::Distribution;
use super::check::Comparison;
use super::matrix::{Matrix, Member};
use crate::units::{duration, size};

/// What was measured.
#[derive(Debug)]
pub struct Summary {
    /// What was brought where, and under which limits.
    pub rates: Distribution,
    /// When the first peer had everything.
    pub first: Duration,
    /// When the last one had.
    pub took: Duration,
    /// Who got how much from whom.
    pub matrix: Matrix,
}

impl Summary {
    /// For people.
    #[must_use]
    pub fn text(&self, members: &[Member], compared: &Comparison) -> String {
        let Distribution { file, peers, source_up, peer_up, .. } = self.rates;
        let mut out = format!("\n{}\n", self.matrix.table(members));
        if self.matrix.unknown > 0 {
            let unknown = size(self.matrix.unknown);
            out.push_str(&format!("{unknown} came from addresses that are none of ours\n"));
        }
        let bound = self.rates.peer_to_peer();
        let server = self.rates.client_server();
        let passed_on = self.matrix.passed_on();
        out.push_str(&format!(
            "{} to {peers} peers in {}; the first had it after {}\n",
            size(file),
            duration(self.took),
            duration(self.first)
        ));
        if source_up.is_some() && peer_up.is_some() {
            out.push_str(&format!(
                "  least time with peers    {:>8}   max(F/us, F/dmin, NF/(us+Σui)); measured is {:.2} times that\n",
                duration(bound),
                self.took.as_secs_f64() / bound.as_secs_f64(),
            ));
        }
        if source_up.is_some() {
            out.push_str(&format!(
                "  least time without them  {:>8}   max(NF/us, F/dmin)\n",
                duration(server)
            ));
        }
        out.push_str(&format!(
            "  {:.0} % of all bytes came from peers rather than from the source\n",
            passed_on * 100.0
        ));
        let Comparison { files, bytes, wrong } = compared;
        let bytes = size(*bytes);
        if wrong.is_empty() {
            out.push_str(&format!(
                "Verified: SHA-256 of {files} files on {peers} peers, {bytes} in all"
            ));
        } else {
            out.push_str("WRONG: these differ from what was shared");
            for path in wrong {
                out.push_str(&format!("\n  {}", path.display()));
            }
        }
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self, members: &[Member], compared: &Comparison) -> Value {
        let rates = &self.rates;
        let names: Vec<_> = members.iter().map(|member| &member.name).collect();
        json!({
            "bytes": rates.file,
            "peers": rates.peers,
            "source_up": rates.source_up,
            "peer_up": rates.peer_up,
            "peer_down": rates.down_min,
            "seconds": self.took.as_secs_f64(),
            "seconds_first": self.first.as_secs_f64(),
            "bound_peer_to_peer": rates.peer_to_peer().as_secs_f64(),
            "bound_client_server": rates.client_server().as_secs_f64(),
            "nodes": names,
            "received_from": self.matrix.bytes,
            "received_from_unknown": self.matrix.unknown,
            "verified": compared.is_whole(),
            "verified_bytes": compared.bytes,
            "wrong": compared.wrong,
        })
    }
}
