//! The program's standard streams, of every kind. Their file flags, which other processes share,
//! are never changed.
//!
//! Each test starts this binary once more, with descriptors 0 to 2 of some kind, and tells it to
//! run one part of itself.

mod common;

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::Poll;

use asyncio_net::{input, stderr, stdin, stdout};
use common::{TempDir, pipe, run};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};

const PART: &str = "ASYNCIO_NET_STANDARD_TEST";
const LONG: usize = 300_000;

fn this_program(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // With one test thread, libtest prints the test's name before its output.
    command.args(["--exact", part, "--nocapture", "--test-threads=2"]).env(PART, "1");
    command
}

fn is_child() -> bool {
    std::env::var_os(PART).is_some()
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// A pseudo terminal: the controller, and the terminal, which passes bytes unchanged.
fn terminal() -> (OwnedFd, File) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    fcntl_setfd(&controller, FdFlags::CLOEXEC).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let name = name.to_str().unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    let mut modes = tcgetattr(&terminal).unwrap();
    modes.output_modes -= OutputModes::OPOST;
    modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
    tcsetattr(&terminal, OptionalActions::Now, &modes).unwrap();
    (controller, terminal.into())
}

/// Writes a lot through the loop, then as much through std, whose writes would fail if the file had
/// been made non-blocking.
#[test]
fn child_writes_much() {
    if !is_child() {
        return;
    }
    let during = std::cell::Cell::new(false);
    run(async || {
        let output = stdout()?;
        output.write(vec![b'x'; LONG]);
        during.set(is_nonblocking(io::stdout()) || is_nonblocking(io::stderr()));
        output.close().await
    });
    let after = is_nonblocking(io::stdout()) || is_nonblocking(io::stderr());
    let plain = io::stdout().write_all(&vec![b'y'; LONG]).and_then(|()| io::stdout().flush());
    eprintln!("changed {} {after}, plain write {plain:?}.", during.get());
}

/// Has the child write to `output`, whose other side is `reader`.
fn check_output(output: OwnedFd, reader: Option<File>) {
    let shared = output.try_clone().unwrap();
    let mut command = this_program("child_writes_much");
    let child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
    // The command owns a copy of the child's output, which would keep a pipe open.
    drop(command);
    let reading = reader.map(|mut reader| {
        std::thread::spawn(move || {
            let (mut count, mut buffer) = (0, vec![0; 100_000]);
            while count < 2 * LONG {
                let read = reader.read(&mut buffer).unwrap();
                count += buffer[..read].iter().filter(|byte| b"xy".contains(byte)).count();
            }
            reader
        })
    });
    let _reader = reading.map(|reading| reading.join().unwrap());
    let result = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&result.stderr);
    assert!(said.contains("changed false false, plain write Ok(())."), "{said}");
    assert!(result.status.success());
    assert!(!is_nonblocking(&shared), "the shared file stays blocking");
}

fn as_file(fd: impl Into<OwnedFd>) -> File {
    File::from(fd.into())
}

// stdout_flag_left
#[test]
fn standard_output_that_is_a_socket() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    check_output(theirs.into(), Some(as_file(ours)));
}

// stdout_flag_left
#[test]
fn standard_output_that_is_a_pipe() {
    let (reading, writing) = pipe().unwrap();
    check_output(writing.into(), Some(as_file(reading)));
}

// stdout_flag_left
#[test]
fn standard_output_that_is_a_terminal() {
    let (controller, terminal) = terminal();
    check_output(terminal.into(), Some(as_file(controller)));
}

// stdout_flag_left
#[test]
fn standard_output_that_is_the_controlling_side_of_a_terminal() {
    let (controller, terminal) = terminal();
    check_output(controller, Some(terminal));
}

// stdout_flag_left
#[test]
fn standard_output_that_is_a_file_or_a_device() {
    let dir = TempDir::new();
    check_output(File::create(dir.path("file")).unwrap().into(), None);
    assert!(std::fs::metadata(dir.path("file")).unwrap().len() > 2 * LONG as u64);
    check_output(File::options().write(true).open("/dev/null").unwrap().into(), None);
}

/// Copies lines from standard input to standard error.
#[test]
fn child_reads_lines() {
    if !is_child() {
        return;
    }
    run(async || {
        let (mut input, output) = (stdin()?, stderr()?);
        while let Some(line) = input.next_line().await? {
            output.write(b"copy ");
            output.write(&line);
            output.flush().await?;
            if *line == *b"end\n" {
                break;
            }
        }
        output.close().await
    });
    assert!(!is_nonblocking(io::stdin()));
}

/// The same, with a limit of descriptors that prevents reopening the file.
#[test]
fn child_reads_lines_and_cannot_reopen() {
    if !is_child() {
        return;
    }
    run(async || {
        let limit = getrlimit(Resource::Nofile);
        // The numbers of the two copies that the reader needs. They need not be adjacent: a child
        // may inherit descriptors that other threads of its parent open meanwhile.
        let [first, second] = {
            let copy = || io::stdin().as_fd().try_clone_to_owned();
            [copy()?, copy()?].map(|copy| copy.as_raw_fd() as u64)
        };
        let open_up_to = |last: u64| {
            let current = Some(last + 1);
            setrlimit(Resource::Nofile, Rlimit { current, ..limit })
        };
        open_up_to(first)?;
        let mut input = stdin()?;
        open_up_to(second)?;
        let output = stderr()?;
        setrlimit(Resource::Nofile, limit)?;
        while let Some(line) = input.next_line().await? {
            output.write(b"copy ");
            output.write(&line);
            output.flush().await?;
            if *line == *b"end\n" {
                break;
            }
        }
        output.close().await
    });
    assert!(!is_nonblocking(io::stdin()));
}

/// Starts a child that reads from `input`, and sends it lines through `writer`, each after the
/// answer to the previous one.
fn check_input(part: &str, input: OwnedFd, mut writer: File) {
    let shared = input.try_clone().unwrap();
    let mut command = this_program(part);
    let mut child =
        command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut answers = BufReader::new(child.stderr.take().unwrap());
    for line in ["one", "two", "end"] {
        writeln!(writer, "{line}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        if answer.trim_end() != format!("copy {line}") {
            answers.read_to_string(&mut answer).unwrap();
            panic!("{part} with {shared:?}, not \"copy {line}\" but {answer}");
        }
        assert!(!is_nonblocking(&shared), "the shared file stays blocking");
    }
    finish(child);
}

fn finish(mut child: Child) {
    assert!(child.wait().unwrap().success());
}

#[test]
fn standard_input_of_each_kind() {
    for part in ["child_reads_lines", "child_reads_lines_and_cannot_reopen"] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        check_input(part, theirs.into(), as_file(ours));
        let (reading, writing) = pipe().unwrap();
        check_input(part, reading.into(), as_file(writing));
        let (controller, program) = terminal();
        check_input(part, program.into(), as_file(controller));
        let (controller, program) = terminal();
        check_input(part, controller, program);
    }
}

#[test]
fn standard_input_that_is_a_file_or_a_device() {
    let dir = TempDir::new();
    std::fs::write(dir.path("file"), "one\ntwo\n").unwrap();
    for (file, text) in [(dir.path("file"), "copy one\ncopy two\n"), ("/dev/null".into(), "")] {
        let mut command = this_program("child_reads_lines");
        let command = command.stdin(File::open(file).unwrap()).stdout(Stdio::null());
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr), text);
    }
}

#[test]
fn standard_streams_that_were_closed() {
    let mut command = Command::new("sh");
    let program = std::env::current_exe().unwrap();
    command.arg("-c").arg("\"$0\" \"$@\" <&- >&- 2>&-").arg(program);
    command.args(["--exact", "child_reads_lines", "--nocapture"]).env(PART, "1");
    assert!(command.status().unwrap().success());
}

#[test]
fn child_uses_a_terminal_without_adopting_it() {
    if !is_child() {
        return;
    }
    rustix::process::setsid().unwrap();
    run(async || {
        let (input, output) = (stdin()?, stdout()?);
        output.write(b"hello");
        output.close().await?;
        drop(input);
        Ok(())
    });
    let controlling = File::open("/dev/tty");
    assert!(controlling.is_err(), "a controlling terminal was adopted");
}

#[test]
fn a_terminal_is_not_adopted() {
    let (_controller, terminal) = terminal();
    let mut command = this_program("child_uses_a_terminal_without_adopting_it");
    let output = command.stdin(terminal.try_clone().unwrap()).stdout(terminal);
    let output = output.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits for input that does not come, in a task that is cancelled.
#[test]
fn child_gives_up_reading() {
    if !is_child() {
        return;
    }
    run(async || {
        let mut input = stdin()?;
        let reading = asyncio_task::create_task(async move { input.read(1).await });
        common::settle().await;
        assert!(!reading.is_done());
        reading.cancel();
        assert!(reading.await.unwrap_err().is_cancelled());
        Ok(())
    });
    // Later readers of the file still get all bytes.
    io::stdout().write_all(b"ready\n").unwrap();
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    assert_eq!(line, "later\n");
}

#[test]
fn a_read_that_is_given_up_takes_nothing() {
    let (controller, program) = terminal();
    let (reading, writing) = pipe().unwrap();
    for (input, mut writer) in [(reading.into(), as_file(writing)), (controller, program)] {
        let mut command = this_program("child_gives_up_reading");
        let mut child = command.stdin(input).stdout(Stdio::piped()).spawn().unwrap();
        drop(command);
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap() == "ready"));
        writer.write_all(b"later\n").unwrap();
        for line in said {
            line.unwrap();
        }
        finish(child);
    }
}

/// Prompts for lines until the input ends, and prints the answers.
#[test]
fn child_asks() {
    if !is_child() {
        return;
    }
    run(async || {
        let said = stderr()?;
        loop {
            let mut first = pin!(input("name? "));
            let begun = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
            if begun.is_pending() {
                let busy = input("").await.unwrap_err();
                assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
            }
            let answer = match begun {
                Poll::Ready(answer) => answer,
                Poll::Pending => first.await,
            };
            match answer {
                Ok(name) => writeln!(said, "hello {name}."),
                Err(error) => {
                    writeln!(said, "{:?}.", error.kind());
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        break;
                    }
                }
            }
            said.flush().await?;
        }
        said.close().await
    });
}

/// Starts a child that prompts, and answers each prompt.
fn check_asking(input: OwnedFd, mut writer: File, at_once: bool) {
    let mut command = this_program("child_asks");
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut asked = child.stdout.take().unwrap();
    let mut answers = BufReader::new(child.stderr.take().unwrap());
    let lines: [&[u8]; 4] = [b"ann\n", b"bob\r\n", b"\xff\n", b"\n"];
    if at_once {
        writer.write_all(&lines.concat()).unwrap();
    }
    for (line, answer) in
        lines.into_iter().zip(["hello ann.", "hello bob.", "InvalidData.", "hello ."])
    {
        if !at_once {
            read_until(&mut asked, b"name? ");
            writer.write_all(line).unwrap();
        }
        let mut said = String::new();
        answers.read_line(&mut said).unwrap();
        assert_eq!(said.trim_end(), answer);
    }
    drop(writer);
    let mut said = String::new();
    answers.read_line(&mut said).unwrap();
    assert_eq!(said.trim_end(), "UnexpectedEof.");
    drop(asked);
    child.wait().unwrap();
}

fn read_until(from: &mut impl Read, end: &[u8]) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(end) {
        from.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

#[test]
fn a_program_asks_and_is_answered() {
    for at_once in [false, true] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        check_asking(theirs.into(), as_file(ours), at_once);
        let (reading, writing) = pipe().unwrap();
        check_asking(reading.into(), as_file(writing), at_once);
    }
}
