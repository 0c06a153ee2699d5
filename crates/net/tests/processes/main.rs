//! Sessions in processes of their own: killed, measured, and kept waiting by strangers.

mod child;
mod crash;
mod memory;
mod slowloris;
