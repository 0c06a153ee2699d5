//! The deterministic driver: machines, clock, links and faults of a virtual network, all from one
//! seed. What does not live here: any protocol, any socket, any wall clock.
