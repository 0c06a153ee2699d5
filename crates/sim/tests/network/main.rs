//! The virtual network from outside: links, faults, traces.

mod faults;
mod links;
mod probe;
mod traces;
