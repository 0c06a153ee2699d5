//! `shoal up` under a service manager: what the units in `packaging/` rely on.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The manager hears when the node is there and when it ends, and a termination ends it in order.
#[test]
fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = folder.path().join("config.toml");
    let dir = folder.path().display();
    std::fs::write(
        &told,
        format!(
            "[node]\nstate_dir = \"{dir}/state\"\n[api]\nlisten = \"unix:{dir}/api\"\n\
             [network]\nlisten = [\"127.0.0.1:0\"]\nlsd = false\ndht = false\n\
             [transfers]\ndownload_dir = \"{dir}\"\n"
        ),
    )
    .unwrap();
    let mut node = Command::new(env!("CARGO_BIN_EXE_shoal"))
        .args(["up", "--config"])
        .arg(&told)
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let heard = || {
        let mut text = [0; 256];
        let len = manager.recv(&mut text).expect("the manager hears of it in time");
        String::from_utf8_lossy(&text[..len]).into_owned()
    };
    let first = heard();
    let there = std::os::unix::net::UnixStream::connect(folder.path().join("api"));
    kill_process(Pid::from_child(&node), Signal::TERM).unwrap();
    let second = heard();
    assert!(node.wait().unwrap().success());
    assert!(first.lines().any(|line| line == "READY=1"), "{first}");
    there.expect("it answers when it says so");
    assert!(second.lines().any(|line| line == "STOPPING=1"), "{second}");
}
