//! A folder with something to share in it, and processes of the program that run there.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use machine::Rng;
use serde_json::Value;
use tempfile::TempDir;

pub const FILES: &[(&str, usize)] =
    &[("a.bin", 700_000), ("sub/b.bin", 1_500_001), ("sub/c.bin", 3), ("empty", 0)];
/// What keeps a test to itself, whatever else runs on this machine.
pub const ALONE: &[&str] = &["--listen", "127.0.0.1:0", "--no-lsd", "--stop-at-eof", "--json"];

/// A folder with something to share in it.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut rng = Rng::new(1);
        for (name, len) in FILES {
            let path = dir.path().join("set").join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            let mut bytes = vec![0; *len];
            rng.fill(&mut bytes);
            fs::write(path, bytes).expect("a file");
        }
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn shoal(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.current_dir(self.dir.path()).env_remove("SHOAL_LOG").stdin(Stdio::null());
        command.args(args);
        command
    }

    /// Runs to the end; the exit code and standard output.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let output = self.shoal(args).output().expect("the program runs");
        let out = String::from_utf8(output.stdout).expect("UTF-8");
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().expect("no signal"), out)
    }

    /// Starts something that tells of itself in JSON.
    pub fn start(&self, args: &[&str], network: &[&str]) -> Running {
        let mut child = self
            .shoal(args)
            .args(network)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Running { child, input, output }
    }

    /// Starts a seed of `set`, and waits until it seeds; where it listens.
    pub fn seed(&self, torrent: &str, more: &[&str]) -> (Running, String) {
        let args = [&["publish", "set", "--torrent", torrent, "--no-tracker"], more].concat();
        let mut seed = self.start(&args, ALONE);
        let listening = seed.wait_for("listening", |_| true);
        let address = listening["addresses"][0].as_str().expect("an address").to_owned();
        seed.wait_for("progress", |progress| progress["state"] == "seeding");
        (seed, address)
    }

    pub fn assert_same(&self, copy: &Path, files: &[&str]) {
        for name in files {
            let original = fs::read(self.path("set").join(name)).expect("the original");
            assert!(fs::read(copy.join(name)).is_ok_and(|copy| copy == original), "{name}");
        }
    }
}

pub struct Running {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// The next event that is called `name` and like `wanted`.
    pub fn wait_for(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("its output") > 0 {
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if event["event"] == name && wanted(&event) {
                return event;
            }
            line.clear();
        }
        panic!("it ended before it said `{name}`");
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The next event, unless it has ended.
    pub fn event(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("its output");
        (read > 0).then(|| serde_json::from_str(&line).expect("JSON"))
    }

    pub fn stop(mut self) -> ExitStatus {
        self.input = None;
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        // Whoever does not read holds up whoever writes.
        let _ = self.output.read_to_string(&mut String::new());
        self.child.wait().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only of use when a test fails: otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}
