//! `ASYNCIO_MONITOR`, in a process of its own: this very program, which runs one test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use asyncio_task::{Runner, run};

/// Set in the child.
const CHILD: &str = "ASYNCIO_MONITOR_TEST_CHILD";

/// Runs in the child, until its standard input ends. This function never names the monitor.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    run(async {
        eprintln!("ready");
        asyncio_task::to_thread(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap()
    })
    .unwrap();
    eprintln!("over");
    // Each run has a monitor of its own.
    Runner::new().run(async {}).unwrap();
}

fn spawn(variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "environment::child", "--nocapture"]);
    command.env(CHILD, "1").env_remove("ASYNCIO_DEBUG");
    command.envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The lines of the child's standard error, up to and with this one.
fn lines_until(child: &mut Child, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut text = BufReader::new(child.stderr.as_mut().unwrap());
    let mut byte_line = String::new();
    while text.read_line(&mut byte_line).unwrap() > 0 {
        let line = std::mem::take(&mut byte_line).trim_end().to_owned();
        let is_last = line == last;
        lines.push(line);
        if is_last {
            return lines;
        }
    }
    panic!("no line {last:?}: {lines:?}");
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_program_has_a_monitor_without_a_line_of_code() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    let mut child = spawn(&[("ASYNCIO_MONITOR", "1"), ("XDG_RUNTIME_DIR", directory)]);
    let path = folder.path().join(format!("asyncio/{}.sock", child.id()));
    let lines = lines_until(&mut child, "ready");
    assert_eq!(lines[0], format!("asyncio: a monitor is at {}", path.display()));

    let mut socket = UnixStream::connect(&path).unwrap();
    socket.write_all(b"ps\nquit\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("1 task\n"), "{text}");
    assert!(text.contains("environment::child"), "{text}");
    end(child);
    assert!(!path.exists());
}

#[test]
fn the_variable_may_name_an_address_or_a_path() {
    let mut child = spawn(&[("ASYNCIO_MONITOR", "127.0.0.1:0")]);
    let lines = lines_until(&mut child, "ready");
    let address = lines[0].strip_prefix("asyncio: a monitor is at http://").unwrap();
    let address = address.strip_suffix('/').unwrap().parse().unwrap();
    let text = crate::common::exchange(address, "ps\n");
    assert!(text.starts_with("1 task\n"), "{text}");
    end(child);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.sock");
    let mut child = spawn(&[("ASYNCIO_MONITOR", path.to_str().unwrap())]);
    lines_until(&mut child, "ready");
    assert!(UnixStream::connect(&path).is_ok());
    end(child);
}

#[test]
fn without_the_variable_there_is_none_and_a_bad_one_ends_nothing() {
    for value in ["", "0"] {
        let mut child = spawn(&[("ASYNCIO_MONITOR", value)]);
        assert_eq!(lines_until(&mut child, "ready"), ["ready"]);
        end(child);
    }
    let mut child = spawn(&[("ASYNCIO_MONITOR", "0.0.0.0:0")]);
    let lines = lines_until(&mut child, "ready");
    assert!(lines[0].starts_with("asyncio: no monitor at ASYNCIO_MONITOR=0.0.0.0:0"), "{lines:?}");
    assert!(lines[0].contains("needs a token"), "{lines:?}");
    end(child);
}
