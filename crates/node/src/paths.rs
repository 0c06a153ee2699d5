//! Where things are by default (XDG base directories), and which folders strangers' words may
//! name.

use std::env;
use std::path::{Component, Path, PathBuf};

/// `~/.config/shoal/config.toml`, or where `XDG_CONFIG_HOME` says.
#[must_use]
pub fn config_file() -> PathBuf {
    base("XDG_CONFIG_HOME", ".config").join("shoal/config.toml")
}

/// `~/.local/state/shoal`, or where `XDG_STATE_HOME` says.
#[must_use]
pub fn state_dir() -> PathBuf {
    base("XDG_STATE_HOME", ".local/state").join("shoal")
}

/// `~/Downloads`, or where `XDG_DOWNLOAD_DIR` says.
#[must_use]
pub fn download_dir() -> PathBuf {
    base("XDG_DOWNLOAD_DIR", "Downloads")
}

/// The user's own folder.
#[must_use]
pub fn home() -> PathBuf {
    env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/"))
}

fn base(variable: &str, otherwise: &str) -> PathBuf {
    let named = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named.unwrap_or_else(|| home().join(otherwise))
}

/// `path` without `.`, `..` and symbolic links, if it lies in one of `roots`, or is one. What does
/// not exist yet is judged by where its nearest existing parent is.
#[must_use]
pub fn beneath(path: &Path, roots: &[PathBuf]) -> Option<PathBuf> {
    let real = resolve(path)?;
    roots.iter().filter_map(|root| resolve(root)).any(|root| real.starts_with(root)).then_some(real)
}

/// The real path of what may not exist yet; `None` if it is relative or climbs.
fn resolve(path: &Path) -> Option<PathBuf> {
    let plain =
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain {
        return None;
    }
    let existing = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok())?;
    let rest = path.strip_prefix(existing).ok()?;
    // A link to nowhere has no real path, and nothing may be made through it.
    let real = existing.canonicalize().ok()?;
    Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_a_root_is_allowed() {
        let temp = tempfile::tempdir().expect("a folder");
        let root = temp.path().canonicalize().expect("real");
        let outside = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(outside.path(), root.join("out")).expect("a link");
        std::os::unix::fs::symlink("/nowhere/at/all", root.join("broken")).expect("a link");
        let roots = [root.clone()];
        for (path, allowed) in [
            (root.clone(), true),
            (root.join("new/folder"), true),
            (root.join("a/../../etc"), false),
            (root.join("out"), false),
            (root.join("out/new"), false),
            (root.join("broken/new"), false),
            (PathBuf::from("/etc"), false),
            (PathBuf::from("relative"), false),
            (PathBuf::from(format!("{}x", root.display())), false),
        ] {
            assert_eq!(beneath(&path, &roots).is_some(), allowed, "{}", path.display());
        }
    }
}
