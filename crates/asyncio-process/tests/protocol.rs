//! `SubprocessProtocol` and `SubprocessTransport`: the calls and their order.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{ErrorContext, LoopRef, running_loop};
use asyncio_process::{Command, Stdio, SubprocessProtocol, SubprocessTransport, subprocess_exec};
use asyncio_task::{run, timeout, yield_now};

/// A log of a protocol's calls.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    fn entries(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    fn position(&self, entry: &str) -> usize {
        let entries = self.entries();
        let place = entries.iter().position(|other| other == entry);
        place.unwrap_or_else(|| panic!("no {entry} in {entries:?}"))
    }
}

impl SubprocessProtocol for Log {
    fn connection_made(&mut self, _: &SubprocessTransport) {
        self.add("made");
    }

    fn pipe_data_received(&mut self, _: &SubprocessTransport, fd: i32, data: &[u8]) {
        self.add(format!("data {fd} {}", String::from_utf8_lossy(data).trim()));
    }

    fn pipe_connection_lost(&mut self, _: &SubprocessTransport, fd: i32, error: Option<io::Error>) {
        let error = error.map_or(String::new(), |error| format!(" {:?}", error.kind()));
        self.add(format!("pipe lost {fd}{error}"));
    }

    fn process_exited(&mut self, transport: &SubprocessTransport) {
        self.add(format!("exited {}", transport.exit_status().unwrap()));
    }

    fn connection_lost(&mut self, _: &SubprocessTransport) {
        self.add("lost");
    }
}

/// Runs a test that waits for a child. A test that waits in vain fails after five minutes.
#[track_caller]
fn run_with_limit(test: impl Future<Output = io::Result<()>>) {
    run(timeout(Duration::from_secs(300), test)).expect("it ends").unwrap();
}

fn piped(command: Command) -> Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

// P-025
#[test]
fn the_order_of_events() {
    let log = Log::default();
    run(async {
        let command = Command::shell("echo out; echo err >&2; read line; echo $line; exit 3");
        let transport = subprocess_exec(piped(command), || log.clone()).await?;
        while !log.entries().contains(&"data 1 out".to_owned()) {
            yield_now().await;
        }
        transport.stdin().unwrap().write(b"in\n");
        transport.wait_closed().await;
        assert_eq!(transport.exit_status().unwrap().code(), Some(3));
        assert!(transport.is_closing());
        io::Result::Ok(())
    })
    .unwrap();
    let entries = log.entries();
    assert_eq!(entries.first().unwrap(), "made");
    assert_eq!(entries.last().unwrap(), "lost");
    assert!(log.position("data 1 out") < log.position("data 1 in"));
    assert!(log.position("data 1 in") < log.position("pipe lost 1"));
    assert!(log.position("data 2 err") < log.position("pipe lost 2"));
    assert!(entries.iter().any(|entry| entry.starts_with("pipe lost 0")));
    assert!(entries.contains(&"exited exit status: 3".to_owned()));
    assert_eq!(entries.len(), 9, "{entries:?}");
}

// P-026
#[test]
fn pipes_are_there_if_they_were_asked_for() {
    run(async {
        let command = Command::new("true").stdout(Stdio::piped()).stderr(Stdio::merged());
        let transport = subprocess_exec(command, Log::default).await?;
        assert!(transport.stdin().is_none());
        assert_eq!(
            [0, 1, 2, 3, -1].map(|fd| transport.is_piped(fd)),
            [false, true, false, false, false]
        );
        transport.wait_closed().await;

        let transport = subprocess_exec(piped(Command::new("true")), Log::default).await?;
        assert!([0, 1, 2].into_iter().all(|fd| transport.is_piped(fd)));
        assert!(transport.stdin().is_some());
        transport.wait_closed().await;
        io::Result::Ok(())
    })
    .unwrap();
}

// P-028
#[test]
fn what_happens_before_connection_made_is_told_after_it() {
    let log = Log::default();
    run(async {
        let command = Command::new("echo").arg("early").stdout(Stdio::piped());
        let transport = subprocess_exec(command, || log.clone()).await?;
        // Waits until the process has ended, before the loop makes a turn.
        let pid = rustix::process::Pid::from_raw(transport.id().try_into().unwrap()).unwrap();
        let how = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), how)?;
        assert!(log.entries().is_empty());
        transport.wait_closed().await;
        io::Result::Ok(())
    })
    .unwrap();
    assert_eq!(log.entries()[0], "made");
    assert!(log.position("data 1 early") > 0);
}

// P-029
#[test]
fn closing_kills_a_process_that_runs() {
    let log = Log::default();
    run(async {
        let command = piped(Command::new("sleep").arg("1000"));
        let transport = subprocess_exec(command, || log.clone()).await?;
        yield_now().await;
        transport.close();
        transport.close();
        transport.wait_closed().await;
        assert_eq!(transport.exit_status().unwrap().signal(), Some(9));
        assert!(transport.kill().is_err());
        transport.close();
        io::Result::Ok(())
    })
    .unwrap();
    for entry in ["pipe lost 0", "pipe lost 1", "pipe lost 2", "lost"] {
        log.position(entry);
    }
}

// P-029
#[test]
fn closing_does_not_signal_a_process_that_has_died() {
    run(async {
        let transport = subprocess_exec(Command::shell("exit 6"), Log::default).await?;
        let pid = rustix::process::Pid::from_raw(transport.id().try_into().unwrap()).unwrap();
        let how = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), how)?;
        transport.close();
        assert_eq!(transport.exit_status().unwrap().code(), Some(6));
        transport.wait_closed().await;
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn closing_stdin_ends_a_process_that_reads_it() {
    let log = Log::default();
    run(async {
        let command = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
        let transport = subprocess_exec(command, || log.clone()).await?;
        transport.stdin().unwrap().write(b"all of it");
        transport.stdin().unwrap().close();
        transport.wait_closed().await;
        assert!(transport.exit_status().unwrap().success());
        io::Result::Ok(())
    })
    .unwrap();
    assert!(log.position("data 1 all of it") < log.position("pipe lost 1"));
    log.position("pipe lost 0");
}

#[test]
fn a_process_that_closes_its_stdin_breaks_the_pipe() {
    let log = Log::default();
    run(async {
        let command = Command::shell("exec <&-; echo closed; exec sleep 1000");
        let transport = subprocess_exec(piped(command), || log.clone()).await?;
        while !log.entries().contains(&"pipe lost 0 BrokenPipe".to_owned()) {
            yield_now().await;
        }
        assert_eq!(transport.exit_status(), None);
        transport.close();
        transport.wait_closed().await;
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_paused_pipe_delivers_nothing_until_it_is_resumed() {
    struct Count(Rc<Cell<usize>>);
    impl SubprocessProtocol for Count {
        fn connection_made(&mut self, transport: &SubprocessTransport) {
            transport.pause_reading(1);
        }
        fn pipe_data_received(&mut self, _: &SubprocessTransport, _: i32, data: &[u8]) {
            self.0.set(self.0.get() + data.len());
        }
    }
    let count = Rc::new(Cell::new(0));
    run(async {
        let command = Command::shell("head -c 1000000 /dev/zero").stdout(Stdio::piped());
        let transport = subprocess_exec(command, || Count(count.clone())).await?;
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!((count.get(), transport.exit_status()), (0, None));
        transport.resume_reading(1);
        transport.wait_closed().await;
        assert!(transport.exit_status().unwrap().success());
        io::Result::Ok(())
    })
    .unwrap();
    assert_eq!(count.get(), 1_000_000);
}

#[test]
fn a_protocol_that_panics_is_reported_and_its_process_ended() {
    struct Panics;
    impl SubprocessProtocol for Panics {
        fn pipe_data_received(&mut self, _: &SubprocessTransport, _: i32, _: &[u8]) {
            panic!("protocol");
        }
    }
    let reports = Rc::new(Cell::new(0));
    run(async {
        let counts = reports.clone();
        running_loop().set_exception_handler(Some(Rc::new(
            move |_: &LoopRef, context: &ErrorContext| {
                assert_eq!(context.panic(), Some("protocol"));
                counts.set(counts.get() + 1);
            },
        )));
        let command = Command::shell("echo hello; exec sleep 1000").stdout(Stdio::piped());
        let transport = subprocess_exec(command, || Panics).await?;
        transport.wait_closed().await;
        assert_eq!(transport.exit_status().unwrap().signal(), Some(9));
        io::Result::Ok(())
    })
    .unwrap();
    assert_eq!(reports.get(), 1);
}

#[test]
fn a_missing_program_makes_no_protocol() {
    run(async {
        let error = subprocess_exec(Command::new("/does/not/exist"), || -> Log { unreachable!() });
        assert_eq!(error.await.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

// P-027
#[test]
fn a_transport_closes_its_pipes_one_by_one() {
    let log = Log::default();
    run_with_limit(async {
        let command = Command::shell("read line; exec sleep 1000");
        let transport = subprocess_exec(piped(command), || log.clone()).await?;
        for fd in [1, 2, 0] {
            transport.close_pipe(fd);
            transport.close_pipe(fd);
            while !log.entries().contains(&format!("pipe lost {fd}")) {
                yield_now().await;
            }
        }
        assert!(transport.exit_status().is_none() && !transport.is_closing());
        transport.close_pipe(7);
        transport.close();
        transport.wait_closed().await;
        assert_eq!(log.entries().last().unwrap(), "lost");
        Ok(())
    });
}

// P-027
#[test]
fn closing_ends_also_while_reading_is_paused() {
    let log = Log::default();
    run_with_limit(async {
        let command = Command::shell("echo out; echo err >&2; exec sleep 1000");
        let transport = subprocess_exec(piped(command), || log.clone()).await?;
        transport.pause_reading(1);
        transport.pause_reading(2);
        transport.close();
        transport.wait_closed().await;
        Ok(())
    });
    assert!(log.position("pipe lost 1") > 0 && log.position("pipe lost 2") > 0);
    assert_eq!(log.entries().last().unwrap(), "lost");
}
