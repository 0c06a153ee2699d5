//! The claims, one file each, and what several of one group share.

mod can;
mod chord;
mod comparison;
mod distribution;
mod kademlia;
mod kelips;
mod kleinberg;
mod pastry;
mod prefix;
mod search;
mod tapestry;
mod viceroy;

use crate::claim::Claim;

/// Every claim, grouped by what it is about.
pub(crate) static ALL: &[&Claim] = &[
    &comparison::standing::CLAIM,
    &comparison::churn::CLAIM,
    &chord::path_length_mean::CLAIM,
    &chord::path_length_pdf::CLAIM,
    &chord::load_keys_per_node::CLAIM,
    &chord::load_virtual_nodes::CLAIM,
    &chord::failures_mass::CLAIM,
    &chord::failures_lost_keys::CLAIM,
    &chord::churn_v2003::CLAIM,
    &chord::churn_v2001::CLAIM,
    &chord::latency_internet::CLAIM,
    &chord::linear_walk::CLAIM,
    &chord::join_cost::CLAIM,
    &chord::half_failed::CLAIM,
    &chord::state::CLAIM,
    &kademlia::steps::CLAIM,
    &kademlia::survival::CLAIM,
    &kademlia::uptime::CLAIM,
    &kademlia::mainline_latency::CLAIM,
    &kademlia::kad_latency::CLAIM,
    &kademlia::alpha_one::CLAIM,
    &pastry::hops::CLAIM,
    &pastry::hops_distribution::CLAIM,
    &pastry::stretch::CLAIM,
    &pastry::failures::CLAIM,
    &tapestry::rdp::CLAIM,
    &tapestry::dynamics::CLAIM,
    &kelips::memory::CLAIM,
    &kelips::failure::CLAIM,
    &can::hops::CLAIM,
    &can::realities::CLAIM,
    &can::rtt::CLAIM,
    &can::zone_peers::CLAIM,
    &can::full_system::CLAIM,
    &viceroy::CLAIM,
    &kleinberg::CLAIM,
    &search::ttl_tree::CLAIM,
    &search::flood_coverage::CLAIM,
    &search::ping_share::CLAIM,
    &search::query_caching::CLAIM,
    &search::bytes_per_query::CLAIM,
    &search::scope::CLAIM,
    &search::free_riders::CLAIM,
    &search::supernodes::CLAIM,
    &search::low_bandwidth::CLAIM,
    &search::churn::CLAIM,
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

/// The value below which `share` of the values lie, which are sorted for it; 0 of none.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}
