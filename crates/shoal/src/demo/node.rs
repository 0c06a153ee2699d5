//! A node of the demo: this very program as a process of its own, and what it prints.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use anyhow::{Context, anyhow};

/// What is read of a failed node's log.
const LOG_LINES: usize = 5;
/// How often an ending node is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A line that a node printed, or the end of its output.
#[derive(Debug)]
pub struct Line {
    /// Which node.
    pub node: usize,
    /// The line; `None` once there are no more.
    pub text: Option<String>,
}

/// A process that runs until it is dropped.
#[derive(Debug)]
pub struct Node {
    name: String,
    child: Child,
    /// Its end is the node's sign to stop, even when this process is killed.
    input: Option<ChildStdin>,
    log: PathBuf,
}

impl Node {
    /// Starts `shoal` with `args`; its standard output goes to `lines` under the number `node`,
    /// its standard error to a file in `dir`.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(
        node: usize,
        name: &str,
        args: &[String],
        dir: &Path,
        lines: Sender<Line>,
    ) -> anyhow::Result<Self> {
        let log = dir.join(format!("node-{node}.log"));
        let start = || -> io::Result<Child> {
            Command::new(env::current_exe()?)
                .args(args)
                .arg("--stop-at-eof")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(File::create(&log)?)
                // Ctrl-C is for this process, which then stops its nodes in order.
                .process_group(0)
                .spawn()
        };
        let mut child = start().with_context(|| format!("cannot start {name}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let this = Self { name: name.to_owned(), child, input, log };
        let output = output.ok_or_else(|| anyhow!("{name} has no output"))?;
        thread::Builder::new()
            .name(format!("node {node}"))
            .spawn(move || {
                for text in BufReader::new(output).lines().map_while(Result::ok) {
                    if lines.send(Line { node, text: Some(text) }).is_err() {
                        return;
                    }
                }
                // The demo may be over; then nobody wants to know.
                let _ = lines.send(Line { node, text: None });
            })
            .context("cannot read from a node")?;
        Ok(this)
    }

    /// Asks the node to end in order.
    pub fn stop(&mut self) {
        self.input = None;
    }

    /// Waits for the end until `deadline`, and then insists.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn wait(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::park_timeout(POLL);
        }
        self.child.kill()?;
        self.child.wait()
    }

    /// Why the node ended before its time: the end of its log.
    #[must_use]
    pub fn obituary(&self) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ");
        anyhow!("{} ended too early\n  {tail}", self.name)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
        // It may have ended already; and if it cannot be waited for, nothing else helps.
        let _ = self.wait(Instant::now() + Duration::from_secs(1));
    }
}
