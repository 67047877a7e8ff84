//! A live monitor inside a running program: the counterpart of Python's aiomonitor.
//!
//! [`start`] opens a socket on a thread of its own. The socket serves a console to `nc`, a page to
//! a browser, and data to the program `asyncio-ps`. The monitor keeps working while a task blocks
//! the loop, and shows which task it is.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{Shutdown, TcpStream};
//! use asyncio_loop::running_loop;
//! use asyncio_monitor::Options;
//!
//! asyncio_task::run(async {
//!     let options = Options::new().address("127.0.0.1:0");
//!     let monitor = asyncio_monitor::start(&running_loop(), options)?;
//!     let address = monitor.local_addr().unwrap();
//!
//!     // What `echo ps | nc 127.0.0.1 PORT` does:
//!     let text = asyncio_task::to_thread(move || {
//!         let mut console = TcpStream::connect(address)?;
//!         console.write_all(b"ps\n")?;
//!         console.shutdown(Shutdown::Write)?;
//!         let mut text = String::new();
//!         console.read_to_string(&mut text)?;
//!         std::io::Result::Ok(text)
//!     })
//!     .await
//!     .unwrap()?;
//!     assert!(text.contains("1 task"), "{text}");
//!     assert!(text.contains("Task-"), "{text}");
//!     std::io::Result::Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # Without a line of code
//!
//! A program that is linked with this crate starts a monitor if the environment variable
//! `ASYNCIO_MONITOR` is set:
//!
//! | `ASYNCIO_MONITOR` | where it listens |
//! |---|---|
//! | `1` | the Unix socket `asyncio/PID.sock` in the user's runtime directory |
//! | `127.0.0.1:0`, `[::1]:8000` | this address; a line on standard error names the port |
//! | `/run/my.sock` | a Unix socket at this path |
//! | empty, `0` | nowhere |
//!
//! `ASYNCIO_MONITOR_TOKEN` is the [token](Options::token). Every loop that a
//! [`Runner`](asyncio_task::Runner) makes is monitored, until it is closed.
//!
//! # Who may use it
//!
//! A monitor shows what a program does, and can cancel its tasks and send it signals.
//!
//! * By default it listens on a Unix socket that only the user can open, in a directory that only
//!   the user can enter.
//! * On a loopback address every user of the machine can use it, unless there is a
//!   [token](Options::token). Any other address needs a token.
//! * A page of another origin cannot use it from the user's browser: requests must name a host that
//!   no other site can have (an address, `localhost`, or one of [`Options::allow_host`]), an
//!   `Origin` must be the same host, and a request that changes something must be a `POST` with a
//!   header that no form can send.
//! * The monitor limits the length of lines, headers and bodies, the number of clients, and the
//!   time that each may take to read an answer.

#![deny(unsafe_code)]

mod access;
mod answer;
mod call;
mod client;
mod command;
mod commands;
mod console;
mod environment;
mod figures;
mod history;
mod http;
mod mailbox;
mod monitor;
mod observer;
mod options;
mod place;
mod server;
mod silence;
mod snapshot;
mod stack;
mod state;
mod views;
mod walks;
mod watched;

pub use command::{CommandOutput, Handler};
pub use monitor::{Monitor, start};
pub use options::Options;
