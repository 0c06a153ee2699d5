//! The claims, one file each, and what several of one group share.

mod distribution;

use crate::claim::Claim;

/// Every claim, grouped by what it is about.
pub(crate) static ALL: &[&Claim] = &[
    &distribution::client_server::CLAIM,
    &distribution::copies_and_chain::CLAIM,
    &distribution::piece_order::CLAIM,
    &distribution::free_riders::CLAIM,
    &distribution::seed_leaves::CLAIM,
];

/// The mean of some numbers; 0 of none.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
