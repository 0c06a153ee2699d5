//! Claims of lectures and papers, each measured again by running the real machines in the
//! simulator. What does not live here: the machines, the simulator, the command line.
