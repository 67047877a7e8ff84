//! Debug mode: processes that are dropped while they run.
// I-006

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_process::{Command, Process, Stdio};
use asyncio_task::{Runner, timeout};

/// Runs `main` with or without debug mode. Returns the reports up to the end of the loop.
fn reported<F: Future<Output = io::Result<()>>>(debug: bool, main: F) -> Vec<String> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&reports);
    let whole = async move {
        running_loop().set_exception_handler(Some(Rc::new(move |_, context| {
            heard.borrow_mut().push(context.to_string());
        })));
        main.await.unwrap();
    };
    Runner::builder().debug(debug).run(whole);
    reports.take()
}

/// Checks that there is one report, which begins with `message` and names the process.
#[track_caller]
fn assert_one(reports: &[String], message: &str, pid: u32, line: u32) {
    let [report] = reports else { panic!("{} reports: {reports:#?}", reports.len()) };
    assert!(report.starts_with(message), "{report}");
    let process = format!("pid: {pid}, program: \"sleep\", created at: {}:{line}:", file!());
    assert!(report.contains(&process), "{process} is not in {report}");
}

#[test]
fn a_process_that_is_dropped_while_it_runs_is_reported_with_the_call_that_described_it() {
    let (pid, line) = (Cell::new(0), Cell::new(0));
    let reports = reported(true, async {
        line.set(line!() + 1);
        let process = Command::new("sleep").arg("1000").stdin(Stdio::piped()).await?;
        pid.set(process.id());
        Ok(())
    });
    let message = "a process was dropped while it ran, and is killed";
    assert_one(&reports, message, pid.get(), line.get());
    let reports = reported(false, async { Command::new("sleep").arg("1000").await.map(drop) });
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn one_that_runs_when_its_loop_is_closed_is_reported_once() {
    let kept: Cell<Option<Process>> = Cell::new(None);
    let (pid, line) = (Cell::new(0), Cell::new(0));
    let reports = reported(true, async {
        line.set(line!() + 1);
        let process = Command::new("sleep").arg("1000").await?;
        pid.set(process.id());
        kept.set(Some(process));
        Ok(())
    });
    drop(kept.take());
    let message = "a process ran when its loop was closed, and is killed";
    assert_one(&reports, message, pid.get(), line.get());
}

#[test]
fn those_that_ended_were_killed_or_may_go_on_are_not_reported() {
    let reports = reported(true, async {
        let ended = Command::new("true").await?;
        ended.wait().await;
        drop(ended);
        let killed = Command::new("sleep").arg("1000").await?;
        killed.kill()?;
        drop(killed);
        let mut left = Command::new("cat").stdin(Stdio::piped()).kill_on_drop(false).await?;
        // The process ends when its input ends.
        drop(left.take_stdin());
        drop(left);
        // The program has no handle of these processes, so it cannot close them.
        let limit = Duration::from_millis(1);
        assert!(timeout(limit, Command::new("sleep").arg("1000").output()).await.is_err());
        assert!(timeout(limit, Command::new("sleep").arg("1000").status()).await.is_err());
        Ok(())
    });
    assert!(reports.is_empty(), "{reports:?}");
}
