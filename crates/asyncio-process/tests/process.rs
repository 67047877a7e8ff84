//! `Command` and `Process`: starting, streams, the end. The processes are real, and no test depends
//! on time.

use std::error::Error;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::task::Poll;
use std::time::{Duration, Instant};

use asyncio_loop::{EventLoop, Signal};
use asyncio_process::{
    Command, Process, ProcessInput, Stdio, Watcher, create_subprocess_exec, create_subprocess_shell,
};
use asyncio_task::{create_task, run, sleep, yield_now};
use rustix::process::{
    Pid, Signal as Raw, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid,
};

const WATCHERS: [Watcher; 2] = [Watcher::Auto, Watcher::Thread];

fn piped(command: Command) -> Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// A process that runs until it is stopped.
fn sleeper() -> Command {
    Command::new("sleep").arg("1000")
}

fn raw_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn exited(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

// P-001
#[test]
fn a_missing_program_is_an_error_and_leaves_nothing() {
    run(async {
        let error = piped(Command::new("/does/not/exist")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = piped(Command::new("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn the_error_names_what_did_not_start_and_where() {
    run(async {
        let error = Command::new("/does/not/exist").await.unwrap_err();
        let text = "cannot start \"/does/not/exist\": No such file or directory (os error 2)";
        assert_eq!(error.to_string(), text);
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(2));
        let error = Command::new("true").current_dir("/not/here").await.unwrap_err();
        assert!(
            error.to_string().starts_with("cannot start \"true\" in \"/not/here\": "),
            "{error}"
        );
    });
}

// P-002
#[test]
fn exec_passes_arguments_as_they_are_and_shell_interprets_them() {
    run(async {
        let exec = create_subprocess_exec("echo", ["$HOME", "*"]).stdout(Stdio::piped());
        assert_eq!(exec.output().await?.stdout, b"$HOME *\n");
        assert_eq!(create_subprocess_shell("exit 7").await?.wait().await, exited(7));
        io::Result::Ok(())
    })
    .unwrap();
}

// P-004
#[test]
fn ten_commands_at_once_each_return_their_own_output() {
    run(async {
        let tasks: Vec<_> = (0..10)
            .map(|number| {
                let command = Command::new("echo").arg(number.to_string());
                create_task(command.stdout(Stdio::piped()).output())
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            let output = task.await.unwrap()?;
            assert_eq!(output.stdout, format!("{number}\n").as_bytes());
        }
        io::Result::Ok(())
    })
    .unwrap();
}

// P-005
#[test]
fn a_loop_on_any_thread_can_start_processes() {
    for watcher in WATCHERS {
        let thread = std::thread::spawn(move || {
            run(async move {
                io::Result::Ok(Command::shell("exit 3").watcher(watcher).await?.wait().await)
            })
        });
        assert_eq!(thread.join().unwrap().unwrap(), exited(3));
    }
}

// P-006
#[test]
fn dropping_a_process_kills_and_reaps_it() {
    for watcher in WATCHERS {
        run(async move {
            let process = piped(sleeper()).watcher(watcher).await?;
            let pid = raw_pid(process.id());
            drop(process);
            // Sending a signal succeeds until the loop has reaped the process.
            while kill_process(pid, Raw::CONT).is_ok() {
                sleep(Duration::from_micros(100)).await;
            }
            io::Result::Ok(())
        })
        .unwrap();
    }
}

#[test]
fn closing_the_loop_kills_and_reaps_what_runs() {
    for watcher in WATCHERS {
        let event_loop = EventLoop::new().unwrap();
        let start = piped(sleeper()).watcher(watcher).spawn();
        let process = event_loop.run_until_complete(start).unwrap().unwrap();
        assert_eq!(process.exit_status(), None);
        event_loop.close().unwrap();
        assert_eq!(process.exit_status().unwrap().signal(), Some(9));
    }
}

// Any loop of this test program may reap the process, so the test communicates with the process
// itself: `cat` still answers when its handle and its loop are gone.
#[test]
fn a_process_may_outlive_its_handle_and_the_loop_if_told_so() {
    let (input, mut to_process) = pipe();
    let (mut from_process, output) = pipe();
    let event_loop = EventLoop::new().unwrap();
    let start = Command::new("cat").stdin(input).stdout(output).kill_on_drop(false).spawn();
    let process = event_loop.run_until_complete(start).unwrap().unwrap();
    drop(process);
    event_loop.run_until_complete(yield_now()).unwrap();
    event_loop.close().unwrap();
    to_process.write_all(b"still here").unwrap();
    drop(to_process);
    let mut answer = String::new();
    from_process.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "still here");
}

// P-007
#[test]
fn wait_tells_the_exit_code_or_the_signal() {
    for watcher in WATCHERS {
        run(async move {
            let process = Command::shell("exit 5").watcher(watcher).await?;
            assert_eq!(process.wait().await.code(), Some(5));
            assert_eq!(process.returncode(), Some(5));

            let ends: [fn(&Process) -> io::Result<()>; 3] =
                [Process::kill, Process::terminate, |process| process.send_signal(Signal::USR1)];
            for (end, number) in ends.into_iter().zip([9, 15, 10]) {
                let process = sleeper().watcher(watcher).await?;
                assert_eq!((process.exit_status(), process.returncode()), (None, None));
                end(&process)?;
                assert_eq!(process.wait().await.signal(), Some(number));
                assert_eq!(process.returncode(), Some(-number));
            }
            io::Result::Ok(())
        })
        .unwrap();
    }
}

// P-008
#[test]
fn any_number_of_callers_may_wait_also_afterwards() {
    run(async {
        let process = std::rc::Rc::new(sleeper().await?);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let process = process.clone();
                create_task(async move { process.wait().await })
            })
            .collect();
        // A wait that is dropped has no effect.
        let dropped = create_task({
            let process = process.clone();
            async move { process.wait().await }
        });
        yield_now().await;
        dropped.cancel();
        yield_now().await;
        process.kill()?;
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap().signal(), Some(9));
        }
        assert_eq!(process.wait().await, process.exit_status().unwrap());
        io::Result::Ok(())
    })
    .unwrap();
}

// P-011
#[test]
fn signals_to_a_process_that_has_ended() {
    for watcher in WATCHERS {
        run(async move {
            let process = Command::shell("exit 4").watcher(watcher).await?;
            // The process has ended, and the loop has not been notified yet.
            let pid = raw_pid(process.id());
            let how =
                rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            rustix::process::waitid(rustix::process::WaitId::Pid(pid), how)?;
            process.kill()?;
            process.terminate()?;

            assert_eq!(process.wait().await, exited(4));
            let error = process.kill().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::SRCH.raw_os_error()));
            io::Result::Ok(())
        })
        .unwrap();
    }
}

// P-012
#[test]
fn a_child_that_somebody_else_reaps_has_status_255() {
    for watcher in WATCHERS {
        run(async move {
            let process = Command::new("true").watcher(watcher).await?;
            waitpid(Some(raw_pid(process.id())), WaitOptions::empty())?;
            assert_eq!(process.wait().await, exited(255));
            assert!(process.kill().is_err());
            io::Result::Ok(())
        })
        .unwrap();
    }
}

// P-013
#[test]
fn wait_returns_at_exit_although_a_grandchild_keeps_the_pipe_open() {
    run(async {
        let line = "sleep 1000 & echo $!; exec sleep 1000";
        let mut process = Command::shell(line).stdout(Stdio::piped()).await?;
        let grandchild = process.stdout().unwrap().read_line().await?;
        process.kill()?;
        assert_eq!(process.wait().await.signal(), Some(9));

        let grandchild = std::str::from_utf8(&grandchild).unwrap().trim().parse().unwrap();
        kill_process(raw_pid(grandchild), Raw::KILL)?;
        assert_eq!(process.stdout().unwrap().read_to_end().await?, "");
        io::Result::Ok(())
    })
    .unwrap();
}

// P-014
#[test]
fn a_process_that_fills_a_pipe_does_not_end_before_somebody_reads() {
    run(async {
        let command = Command::shell("head -c 1000000 /dev/zero").stdout(Stdio::piped());
        let mut process = command.await?;
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(process.exit_status(), None);
        assert_eq!(process.stdout().unwrap().read_to_end().await?.len(), 1_000_000);
        assert!(process.wait().await.success());
        io::Result::Ok(())
    })
    .unwrap();
}

// P-015
#[test]
fn what_is_written_to_cat_comes_back() {
    run(async {
        let mut process = piped(Command::new("cat")).await?;
        process.stdin().unwrap().write(b"some data\n");
        process.stdin().unwrap().drain().await?;
        assert_eq!(process.stdout().unwrap().read_line().await?, "some data\n");
        process.stdin().unwrap().write(b"more");
        process.stdin().unwrap().close().await?;
        assert_eq!(process.stdout().unwrap().read_to_end().await?, "more");
        assert!(process.wait().await.success());
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn the_status_is_that_of_the_end_and_pipes_hold_nobody_up() {
    run(async {
        assert_eq!(Command::shell("exit 7").status().await?, exited(7));
        let status = piped(Command::shell("cat && yes && exit 1")).status().await?;
        assert!(!status.success() && status != exited(1), "its output is closed: {status}");
        assert_eq!(
            Command::new("/").status().await.unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
        io::Result::Ok(())
    })
    .unwrap();
}

// P-016
#[test]
fn communicate_does_not_deadlock_however_much_there_is() {
    const SIZE: usize = 3_000_000;
    run(async {
        let input: Vec<u8> = (0..SIZE).map(|n| n as u8).collect();
        let mut process = piped(Command::shell("tee /dev/stderr")).await?;
        let output = process.communicate(&input).await?;
        assert!(output.status.success());
        assert_eq!(output.stdout, input);
        assert_eq!(output.stderr, input);
        io::Result::Ok(())
    })
    .unwrap();
}

// P-016
#[test]
fn communicate_sends_what_was_written_before_and_keeps_what_was_read_ahead() {
    run(async {
        let mut process = piped(Command::new("cat")).await?;
        process.stdin().unwrap().write(b"one\ntwo\n");
        assert_eq!(process.stdout().unwrap().read_line().await?, "one\n");
        process.stdin().unwrap().write(b"three\n");
        let output = process.communicate(b"four\n").await?;
        assert_eq!(output.stdout, b"two\nthree\nfour\n");
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn communicate_keeps_to_its_limit() {
    run(async {
        let command = Command::shell("head -c 100000 /dev/zero").stdout(Stdio::piped());
        let error = command.await?.communicate_within(None, 1000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);

        let command = Command::shell("head -c 1000 /dev/zero").stdout(Stdio::piped());
        let output = command.await?.communicate_within(None, 1000).await?;
        assert_eq!(output.stdout.len(), 1000);
        io::Result::Ok(())
    })
    .unwrap();
}

// P-017
#[test]
fn communicate_without_input_closes_a_piped_stdin() {
    run(async {
        for input in [None, Some(&b""[..])] {
            let output = piped(Command::new("cat")).await?.communicate(input).await?;
            assert_eq!(output.stdout, b"");
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn output_pipes_what_is_not_told_otherwise_and_gives_no_input() {
    run(async {
        let output = Command::shell("cat; echo out; echo err >&2").output().await?;
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        let output = Command::new("true").stdout(Stdio::inherit()).output().await?;
        assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()));
        io::Result::Ok(())
    })
    .unwrap();
}

// P-018
#[test]
fn streams_that_are_not_piped_are_none() {
    run(async {
        let command = Command::shell("echo out; echo err >&2");
        let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().await?;
        assert_eq!((output.stdout, output.stderr), (Vec::new(), b"err\n".to_vec()));

        let command = Command::shell("exit 1").stdin(Stdio::null());
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).await?;
        assert!(process.stdin().is_none() && process.stdout().is_none());
        let output = process.communicate(b"nobody reads it").await?;
        assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()));
        assert_eq!(output.status, exited(1));
        io::Result::Ok(())
    })
    .unwrap();
}

// P-020
#[test]
fn communicate_ignores_a_process_that_does_not_read_its_input() {
    run(async {
        let input = vec![b'x'; 3_000_000];
        let mut process = piped(Command::shell("exec <&-; echo done")).await?;
        let output = process.communicate(&input).await?;
        assert_eq!(output.stdout, b"done\n");
        assert!(output.status.success());
        io::Result::Ok(())
    })
    .unwrap();
}

// P-020
#[test]
fn a_drain_reports_a_process_that_does_not_read_its_input() {
    run(async {
        let process = Command::new("true").stdin(Stdio::piped()).await?;
        process.wait().await;
        // A process that another test is starting may hold the reading end for a moment.
        let error = loop {
            process.stdin().unwrap().write(vec![0; 100_000]);
            if let Err(error) = process.stdin().unwrap().drain().await {
                break error;
            }
        };
        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
        io::Result::Ok(())
    })
    .unwrap();
}

// P-021
#[test]
fn output_can_be_read_after_the_exit_however_slowly() {
    run(async {
        let mut process = Command::shell("seq 1 500").stdout(Stdio::piped()).await?;
        assert!(process.wait().await.success());
        for number in 1..=500 {
            let line = process.stdout().unwrap().read_line().await?;
            assert_eq!(line, format!("{number}\n"));
            yield_now().await;
        }
        assert_eq!(process.stdout().unwrap().read_line().await?, "");
        io::Result::Ok(())
    })
    .unwrap();
}

// P-022
#[test]
fn a_reader_with_a_small_limit_loses_nothing() {
    run(async {
        let command = Command::shell("seq 1 100000").stdout(Stdio::piped()).limit(8);
        let mut process = command.await?;
        let stdout = process.stdout().unwrap();
        for number in 1..=100_000 {
            let line = stdout.read_line().await?;
            assert_eq!(line, format!("{number}\n"));
        }
        assert!(process.wait().await.success());
        io::Result::Ok(())
    })
    .unwrap();
}

/// A child that writes packets to its standard output, writes `all` to its standard error
/// afterwards, and then copies its input.
fn packets() -> Command {
    let script = "seq 1 5000 | dd bs=3000 iflag=fullblock oflag=direct 2>&-; echo all >&2; cat";
    Command::shell(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

// short_reads
#[test]
fn packets_of_a_child_arrive_whole_and_all() {
    let expected: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    run(async {
        for room in [7, 5000] {
            let mut process = packets().await?;
            assert_eq!(process.stderr().unwrap().read_line().await?, "all\n");
            let stdout = process.stdout().unwrap();
            let (mut received, mut buffer) = (Vec::new(), vec![0; room]);
            while received.len() < expected.len() {
                // Reads straight into a buffer that is smaller than a packet.
                let count = stdout.read_into(&mut buffer).await?;
                received.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(received, expected.as_bytes());
            process.stdin().unwrap().close().await?;
            assert!(process.wait().await.success());
        }
        io::Result::Ok(())
    })
    .unwrap();
}

// short_reads
#[test]
fn packets_of_a_child_are_collected_also_behind_what_a_reader_left() {
    let expected: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    run(async {
        let mut process = packets().await?;
        assert_eq!(process.stderr().unwrap().read_line().await?, "all\n");
        assert_eq!(process.stdout().unwrap().read_into(&mut [0; 2]).await?, 2);
        let output = process.communicate(b"").await?;
        assert_eq!(output.stdout, &expected.as_bytes()[2..]);
        io::Result::Ok(())
    })
    .unwrap();
}

// wait_closed_after_reset
#[test]
fn a_wait_for_the_end_of_an_input_hears_that_nobody_reads_it() {
    run(async {
        let process = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).await?;
        let stdin = process.stdin().unwrap();
        let (closed, ()) = asyncio_task::gather((stdin.wait_closed(), async {
            process.kill().unwrap();
        }))
        .await;
        assert_eq!(closed.unwrap_err().kind(), ErrorKind::BrokenPipe);
        io::Result::Ok(())
    })
    .unwrap();
}

// P-023
#[test]
fn pipes_are_not_inherited_by_other_children() {
    run(async {
        let mut cat = piped(Command::new("cat")).await?;
        let other = sleeper().await?;
        drop(cat.take_stdin());
        // `cat` ends although the other child runs: the other child has not inherited its pipe.
        assert_eq!(cat.stdout().unwrap().read_to_end().await?, "");
        assert!(cat.wait().await.success());
        assert_eq!(other.exit_status(), None);
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn standard_error_can_be_merged_into_standard_output() {
    let both = || Command::shell("echo out; echo err >&2").stderr(Stdio::merged());
    run(async {
        let output = both().stdout(Stdio::piped()).output().await?;
        assert_eq!(output.stdout, b"out\nerr\n");
        assert_eq!(output.stderr, b"");

        let (mut reader, writer) = pipe();
        assert!(both().stdout(writer).await?.wait().await.success());
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        assert_eq!(text, "out\nerr\n");

        assert!(both().stdout(Stdio::null()).await?.wait().await.success());
        io::Result::Ok(())
    })
    .unwrap();
}

#[cfg(not(target_vendor = "apple"))]
fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Without `pipe2`, a child of another test may inherit both ends, and keeps the pipe open until it
/// ends.
#[cfg(target_vendor = "apple")]
fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    for end in [&reader, &writer] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    (reader.into(), writer.into())
}

#[test]
fn files_can_be_the_streams() {
    run(async {
        let (reader, mut writer) = pipe();
        writer.write_all(b"from a file")?;
        drop(writer);
        let output = Command::new("cat").stdin(reader).stdout(Stdio::piped()).output().await?;
        assert_eq!(output.stdout, b"from a file");
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn environment_directory_name_and_group_are_set() {
    run(async {
        let command = Command::shell("echo $0 $A $B; pwd").env_clear().env("A", "1");
        let command = command.envs([("B", "2"), ("C", "3")]).env_remove("C");
        let output = command.current_dir("/").stdout(Stdio::piped()).output().await?;
        assert_eq!(output.stdout, b"/bin/sh 1 2\n/\n");

        let process = sleeper().process_group(0).await?;
        let group = rustix::process::getpgid(Some(raw_pid(process.id())))?;
        assert_eq!(group, raw_pid(process.id()));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn stop_asks_first_and_kills_after_the_grace() {
    run(async {
        let polite = sleeper().await?;
        assert_eq!(polite.stop(Duration::from_secs(60)).await?.signal(), Some(15));
        assert_eq!(polite.stop(Duration::from_secs(60)).await?.signal(), Some(15));

        let command = Command::shell("trap '' TERM; echo ready; exec sleep 1000");
        let mut stubborn = command.stdout(Stdio::piped()).await?;
        assert_eq!(stubborn.stdout().unwrap().read_line().await?, "ready\n");
        assert_eq!(stubborn.stop(Duration::from_millis(5)).await?.signal(), Some(9));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_process_that_ends_in_the_turn_in_which_its_grace_does_was_stopped() {
    run(async {
        let process = sleeper().await?;
        // In this turn the loop starts to watch the process.
        yield_now().await;
        let grace = Duration::from_millis(1);
        let mut stop = pin!(process.stop(grace));
        assert!(poll_fn(|cx| Poll::Ready(stop.as_mut().poll(cx).is_pending())).await);
        // Blocks the loop until the process has ended and the grace period is over, so that the
        // loop notices both at once.
        let over = Instant::now() + grace;
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(raw_pid(process.id())), ended)?;
        while Instant::now() <= over {
            std::hint::spin_loop();
        }
        assert_eq!(stop.await?.signal(), Some(15));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_group_is_signalled_as_one_and_does_not_outlive_its_leader() {
    // The grandchild holds the pipe open, so the stream ends when the grandchild does.
    let line = "sleep 1000 & echo started; wait";
    type End = fn(&mut Process);
    let ends: [(&str, End); 2] = [
        (line, |process| process.terminate().unwrap()),
        ("sleep 1000 & echo started; read line", |process| drop(process.take_stdin())),
    ];
    for watcher in WATCHERS {
        run(async {
            for (line, end) in ends {
                let command = piped(Command::shell(line)).kill_group(true).watcher(watcher);
                let mut process = command.await?;
                assert_eq!(process.stdout().unwrap().read_line().await?, "started\n");
                end(&mut process);
                process.wait().await;
                assert_eq!(process.stdout().unwrap().read_to_end().await?, "");
            }
            let mut dropped = piped(Command::shell(line)).kill_group(true).watcher(watcher).await?;
            let mut stdout = dropped.take_stdout().unwrap();
            assert_eq!(stdout.read_line().await?, "started\n");
            drop(dropped);
            assert_eq!(stdout.read_to_end().await?, "");
            io::Result::Ok(())
        })
        .unwrap();
    }
}

#[test]
fn output_of_one_process_feeds_another() {
    run(async {
        let mut numbers = Command::shell("seq 1 100000").stdout(Stdio::piped()).await?;
        let tail = Command::new("tail").arg("-n1").stdin(numbers.take_stdout_fd().unwrap());
        let output = tail.stdout(Stdio::piped()).output().await?;
        assert_eq!(output.stdout, b"100000\n");
        assert!(numbers.wait().await.success());
        io::Result::Ok(())
    })
    .unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn real_time_signals_can_be_sent() {
    let third = Signal::real_time(3).unwrap();
    for watcher in WATCHERS {
        run(async move {
            let alone = sleeper().watcher(watcher).await?;
            let group = sleeper().watcher(watcher).kill_group(true).await?;
            for process in [alone, group] {
                process.send_signal(third)?;
                assert_eq!(process.wait().await.signal(), Some(third.as_raw()));
            }
            io::Result::Ok(())
        })
        .unwrap();
    }
}

#[test]
fn what_is_no_signal_cannot_be_sent() {
    run(async {
        let process = sleeper().await?;
        // The C library reserves signal 32 for itself.
        for number in [-1, 0, 32, 65, 99] {
            let error = process.send_signal(number).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
        }
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_variable_whose_name_the_child_would_read_as_another_one_is_refused() {
    asyncio_task::run(async {
        for name in ["A=B", "=", "A=", ""] {
            let error = Command::new("true").env(name, "value").status().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
            let many = [("FINE", "1"), (name, "2")];
            let error = Command::new("true").envs(many).output().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
            // Removing a variable that cannot exist is no error.
            assert!(Command::new("true").env_remove(name).status().await?.success(), "{name}");
        }
        let output = Command::shell("echo $A").env("A", "=B").output().await?;
        assert_eq!(output.stdout, b"=B\n");
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn input_is_text_or_bytes_and_output_is_plain() {
    run(async {
        async fn cat(input: impl ProcessInput) -> Vec<u8> {
            let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
            let output = cat.await.unwrap().communicate(input).await.unwrap();
            assert!(output.status.success() && output.stderr.is_empty());
            output.stdout
        }
        assert_eq!(cat("text").await, b"text");
        assert_eq!(cat(String::from("text")).await, b"text");
        assert_eq!(cat(&String::from("text")).await, b"text");
        assert_eq!(cat(b"bytes").await, b"bytes");
        assert_eq!(cat(vec![1, 2]).await, [1, 2]);
        assert_eq!(cat(&[1, 2][..]).await, [1, 2]);
        assert_eq!(cat(asyncio_net::Bytes::from_static(b"bytes")).await, b"bytes");
        assert_eq!(cat(Some(&b"bytes"[..])).await, b"bytes");
        assert_eq!(cat(None).await, b"");
    });
}
