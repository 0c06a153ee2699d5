//! What a machine can tell its driver about memory: where it is about to look.

/// How often a driver asks a machine what memory a message will need.
pub const ROUNDS: u32 = 3;

/// Somebody who brings memory near before it is read.
pub trait Near {
    /// Asks for the memory that holds `values`, without waiting for it.
    fn bring<T>(&mut self, values: &[T]);
}
