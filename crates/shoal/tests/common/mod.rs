//! A folder with all that a node has, and the real binary in it, for tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a folder"));
        let text = format!(
            "[node]\nstate_dir = {:?}\n[network]\nlisten = [\"127.0.0.1:0\"]\nlsd = false\n\
             dht = false\nport_mapping = false\n[transfers]\ndownload_dir = {:?}\n\
             publish_roots = [{:?}]\n[api]\nlisten = \"127.0.0.1:0\"\n",
            home.path("state"),
            home.path("downloads"),
            home.path(""),
        );
        fs::write(home.path("config.toml"), text).expect("written");
        fs::create_dir(home.path("shared")).expect("made");
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let root = self.0.path().canonicalize().expect("real");
        if name.is_empty() { root } else { root.join(name) }
    }

    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.args(words.split(' ')).arg("--config").arg(self.path("config.toml"));
        command.current_dir(self.path(""));
        command
    }

    pub fn run(&self, words: &str) -> Output {
        self.command(words).stdin(Stdio::null()).output().expect("runs")
    }

    /// Lines of JSON of a command that must succeed.
    pub fn json(&self, words: &str) -> Vec<Value> {
        let output = self.run(&format!("{words} --json"));
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {:?}\n{text}\n{errors}", output.status);
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options()
        .append(true)
        .open(path)
        .and_then(|f| f.set_modified(hour_ago))
        .expect("set");
}

/// A node that ends when it is dropped.
pub struct Up(pub Child, pub Value);

impl Up {
    pub fn start(home: &Home) -> Self {
        let mut child = home
            .command("up --json --stop-at-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let up: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(up["event"], "up");
        Self(child, up)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
