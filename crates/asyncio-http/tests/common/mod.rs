//! Helpers for the tests.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

use asyncio_loop::{ErrorContext, LoopRef, running_loop};
use asyncio_net::JoinedStream;
use asyncio_task::Runner;

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn Error>>;

#[track_caller]
pub(crate) fn run(test: impl AsyncFnOnce() -> TestResult) {
    asyncio_task::run(test()).unwrap();
}

/// In virtual time, for tests without sockets: an hour passes when nothing else can run.
#[track_caller]
pub(crate) fn run_in_virtual_time(test: impl AsyncFnOnce() -> TestResult) {
    Runner::builder().virtual_time(true).run(test()).unwrap();
}

/// The reports that the running loop's exception handler gets from now on.
pub(crate) fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let handler = {
        let reports = reports.clone();
        move |_: &LoopRef, context: &ErrorContext| reports.borrow_mut().push(context.to_string())
    };
    running_loop().set_exception_handler(Some(Rc::new(handler)));
    reports
}

/// An address that no other test uses. So when a server there has stopped, no other one will listen
/// on its port.
pub(crate) const OWN_HOST: &str =
    if cfg!(target_os = "linux") { "127.0.0.2:0" } else { "127.0.0.1:0" };

/// Seconds since the loop began.
pub(crate) fn now() -> f64 {
    running_loop().time().as_secs_f64()
}

/// Reads the head of a response, and a body of its `content-length`.
pub(crate) async fn read_answer(stream: &mut JoinedStream) -> TestResult<(String, String)> {
    let mut head = String::new();
    loop {
        let line = stream.reader().read_line().await?;
        if line.is_empty() {
            return Err(format!("cut off after {head:?}").into());
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(std::str::from_utf8(&line)?);
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(Ok(0), str::parse)?;
    let body = stream.reader().read_exactly(length).await?;
    Ok((head, String::from_utf8(body.to_vec())?))
}
