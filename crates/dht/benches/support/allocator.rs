//! What benchmarks of large worlds ask of the allocator of glibc.

/// Large pages: tables of a million nodes are read all over, and walking page tables would cost as
/// much as reading them. And that a thread keeps the memory of as many messages as come within a
/// window.
const TUNABLES: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=2000");

/// Begins this program anew with the tunables, unless it has some.
pub fn tune() {
    #[cfg(target_os = "linux")]
    if std::env::var_os(TUNABLES.0).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new(program);
        let error = command.args(std::env::args_os().skip(1)).env(TUNABLES.0, TUNABLES.1).exec();
        eprintln!("without the allocator's tunables: {error}");
    }
}
