//! Claims of lectures and papers, each measured again by running the real machines in the
//! simulator. Here live the claims, what they need to be run, and the ways to show what came of
//! them. What does not live here: the machines, the simulator, the command line.

mod claim;
mod claims;
mod outcome;
mod param;
pub mod report;
mod run;
mod swarm;
mod table;
pub mod watch;

pub use claim::{Claim, Provenance, all, find};
pub use outcome::{Axis, Check, Outcome, Plot, Role, Scale, Series, Summary, Tolerance, Verdict};
pub use param::{Kind, Param, ParamError, Params, Size, Value};
pub use run::{Progress, Record, Run, Settings, run, run_all, run_watched};
pub use table::{csv, human};
