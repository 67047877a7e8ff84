//! Python's asyncio for Rust.
//!
//! One event loop per thread, tasks that need neither `Send` nor `Arc` nor `Mutex`, and the names
//! that asyncio's users know.
//!
//! ```
//! use std::time::Duration;
//!
//! async fn count() -> u32 {
//!     asyncio::sleep(Duration::from_millis(1)).await;
//!     1
//! }
//!
//! let total = asyncio::run(async {
//!     let (first, second) = (asyncio::create_task(count()), asyncio::create_task(count()));
//!     first.await.unwrap() + second.await.unwrap()
//! });
//! assert_eq!(total, 2);
//! ```
//!
//! # Where to look
//!
//! The root has the names that asyncio has at its root, and the names that a program needs first.
//! The modules have everything, including the names of futures, options and errors. The attributes
//! are [`main`](macro@main) and [`testing::test`](macro@testing::test).
//!
//! * To start: [`run`](fn@run), [`Runner`]; a loop in a thread of its own is a [`LoopThread`].
//! * Tasks, in [`task`]: [`create_task`], [`Task`], [`sleep`](fn@sleep), [`interval`](fn@interval),
//!   [`yield_now`], [`create_future`] and [`Promise`].
//! * Several at once, in [`task`]: [`task_group`] and [`scope`](fn@scope), whose children borrow;
//!   [`gather`](fn@gather), [`try_gather`], [`race`](fn@race), [`wait`], [`as_completed`].
//! * Limits and endings, in [`task`]: [`timeout`](fn@timeout), [`Task::cancel`],
//!   [`finally`](fn@finally), [`catch_cancel`], [`shield`](fn@shield), [`critical`](fn@critical),
//!   [`retry`](fn@retry).
//! * Between tasks, in [`sync`]: [`Lock`], [`Event`], [`Condition`], [`Semaphore`], [`Barrier`],
//!   [`Queue`]; with threads, [`mixed::Queue`].
//! * Network, in [`net`]: [`start_server`], [`open_connection`], [`StreamReader`],
//!   [`StreamWriter`]; under them [`Protocol`] and [`Transport`]; [`create_datagram_endpoint`];
//!   [`sock_recv`](net::sock_recv) and its like.
//! * Processes, in [`process`]: [`Command`], [`Process`], [`ProcessPoolExecutor`].
//! * Threads, in [`task`]: [`to_thread`], [`run_coroutine_threadsafe`].
//! * The level below tasks, in [`event_loop`]: [`running_loop`], [`LoopRef::call_soon`],
//!   [`LoopRef::call_later`], [`LoopHandle::call_soon_threadsafe`], [`ContextVar`], [`Signals`] and
//!   [`ctrl_c`].
//!
//! Methods that these crates add to types of one another are in the [`prelude`]. The examples of an
//! item name the crate that it comes from, as in `asyncio_net::start_server` or
//! `asyncio_task::run`: here they are `asyncio::start_server` and `asyncio::run`.
//!
//! # The book
//!
//! `docs/README.md` of the repository begins a book: a guide of ten short chapters, a cookbook, and
//! programs side by side with Python's and tokio's.
//!
//! # From Python
//!
//! The names are asyncio's. `docs/PORTING.md` of the repository lists every item that has another
//! name or behaves differently, and each item says so under "From asyncio". A function that raises
//! an exception in asyncio returns a `Result` here. A coroutine is a future: it does nothing until
//! it is awaited or made a task.
//!
//! # From tokio
//!
//! A task stays on the thread of its loop, so tasks share data by `Rc`, `Cell` and `RefCell`. A
//! task is *cancelled*, not dropped, so that its cleanup may await: see `docs/CANCELLATION.md`.
//!
//! | tokio | here |
//! |---|---|
//! | `spawn`, `spawn_local`, `JoinHandle` | [`create_task`], [`Task`]; dropping the handle detaches the task, too |
//! | `JoinHandle::abort` | [`Task::cancel`], which lets cleanup finish |
//! | `JoinSet` | [`task_group`], [`as_completed`] |
//! | `join!`, `try_join!`, `select!` | [`gather`](fn@gather), [`try_gather`], [`race`](fn@race) |
//! | `time::{sleep, timeout, pause}` | [`sleep`](fn@sleep), [`timeout`](fn@timeout), [`RunnerBuilder::virtual_time`](task::RunnerBuilder::virtual_time) |
//! | `time::interval` | [`interval`](fn@interval) |
//! | `spawn_blocking`, `Handle::spawn` from a thread | [`to_thread`], [`run_coroutine_threadsafe`] |
//! | `oneshot`, `mpsc` | [`create_future`], [`Queue`] with [`Queue::shutdown`]; across threads [`mixed::Queue`] |
//! | `broadcast`, `watch` | [`sync::broadcast`], [`sync::watch`] |
//! | `Mutex`, `Notify` | [`Lock`] (only across awaits), [`Event`], [`Condition`] |
//! | `Semaphore`, `Barrier`, `CancellationToken` | [`Semaphore`], [`Barrier`], [`Task::cancel`] or [`TaskGroup::cancel`] |
//! | `TcpListener`, `TcpStream` | [`start_server`], [`open_connection`]; [`JoinedStream`] is both halves |
//! | `UdpSocket` | [`create_datagram_endpoint`]; or [`net::sock_recvfrom`], [`net::sock_sendto`] with std's socket, non-blocking |
//! | `fs`, `io::stdin` | `fs`, with the feature `fs`; [`stdin`], [`input`] |
//! | `Runtime`, `LocalSet` | [`Runner`]; every task is local |
//! | `task_local!` | [`context_var!`]; new tasks inherit the values |
//! | `signal`, `process::Command` | [`Signals`], [`Command`] |
//! | axum, `reqwest` | `http::serve` for axum's `Router`, `http::ClientSession`, with the feature `http` |
//!
//! Futures that need tokio's runtime (its timers, its sockets, `reqwest`) run beside ours on one
//! thread with the feature `tokio-runtime` and `#[asyncio::main(tokio)]`. Futures that need only
//! tokio's traits run with the feature `tokio`, and the channels of `tokio::sync` work without any
//! feature. HTTP and web sockets are in the module `http`.
//!
//! # Features
//!
//! On by default:
//!
//! * `macros`: the attributes [`main`](macro@main) and [`testing::test`](macro@testing::test).
//! * `net`: streams, transports, servers, datagrams, and the calls on sockets.
//! * `process`: subprocesses; it needs `net`.
//!
//! Off by default:
//!
//! * `process-pool`: [`ProcessPoolExecutor`]; it brings `serde`.
//! * `fs`: files, in the module `fs`; `tempfile`: temporary files, too.
//! * `http`: HTTP servers and clients, web sockets, in the module `http`; `http-brotli` and
//!   `http-zstd` decode more answers. With `tls` it has HTTPS.
//! * `monitor`: a console and a web page inside the running program, in the module `monitor`. A
//!   program that is started with `ASYNCIO_MONITOR=1` has both without a line of code. It switches
//!   `stacks` on.
//! * `stacks`: the watchdog's report of a task that blocks the loop shows the calls on its thread,
//!   and [`TaskRef::trace`] the async functions of a task. It brings readers of debug information.
//! * `hyper`: streams have `Read` and `Write` of `hyper::rt`.
//! * `tls`: TLS under streams and protocols, in the module `tls`.
//! * `futures-core`: [`AsCompleted`](task::AsCompleted), [`Interval`](task::Interval), [`Signals`],
//!   and the lines of files are `Stream`s; readers, queues and receivers give one.
//! * `futures-io`: [`StreamReader`], [`StreamWriter`] and [`JoinedStream`] have `AsyncRead`,
//!   `AsyncBufRead` and `AsyncWrite` of the crate `futures-io`.
//! * `tokio`: the same types have `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of `tokio::io`. The
//!   feature brings the traits only, no runtime.
//! * `testing`: in the module [`testing`], tests under many schedules, faults and tools; meant for
//!   `[dev-dependencies]`.
//! * `tokio-runtime`: the module `tokio_runtime`, for crates that need tokio's runtime; see
//!   `docs/EMBEDDING.md` of the repository.
//! * `send`: `local` makes a future of this thread `Send`, for axum's handlers and the like, and
//!   `net::ThreadsafeStream` a stream.
//! * `quinn`: QUIC by the crate quinn, in the module `quinn`.
//! * `tracing`: a runner gives each task a span of the crate tracing.

#![forbid(unsafe_code)]
// This page links to items of every feature.
#![cfg_attr(
    not(all(feature = "macros", feature = "process-pool")),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod embedding;
pub mod event_loop;
pub mod inspect;
#[cfg(feature = "net")]
pub mod net;
pub mod prelude;
#[cfg(feature = "process")]
pub mod process;
#[cfg(doctest)]
mod readmes;
pub mod sync;
pub mod task;
#[cfg(feature = "macros")]
pub mod testing;

#[cfg(feature = "fs")]
pub use asyncio_fs as fs;
#[cfg(feature = "http")]
pub use asyncio_http as http;
pub use asyncio_loop::{
    Context, ContextVar, EventLoop, Handle, LoopHandle, LoopRef, RunError, Signal, Signals,
    TaskRef, ThreadPoolExecutor, TimerHandle, context_var, copy_context, ctrl_c, running_loop,
    signal, try_running_loop, wrap_future,
};
#[cfg(feature = "macros")]
pub use asyncio_macros::main;
#[cfg(feature = "monitor")]
pub use asyncio_monitor as monitor;
#[cfg(feature = "net")]
pub use asyncio_net::{
    BufferedProtocol, Bytes, DatagramProtocol, DatagramTransport, IncompleteReadError,
    JoinedStream, LimitOverrunError, Protocol, ReadError, SendfileNotAvailableError, Server,
    StreamReader, StreamWriter, Transport, create_connection, create_datagram_endpoint,
    create_server, create_unix_connection, create_unix_server, input, open_connection,
    open_unix_connection, start_server, start_unix_server, stderr, stdin, stdout,
};
#[cfg(feature = "process-pool")]
pub use asyncio_process::ProcessPoolExecutor;
#[cfg(feature = "process")]
pub use asyncio_process::{
    Command, Process, Stdio, SubprocessProtocol, SubprocessTransport, create_subprocess_exec,
    create_subprocess_shell,
};
#[cfg(feature = "quinn")]
pub use asyncio_quinn as quinn;
pub use asyncio_sync::{
    Barrier, BoundedSemaphore, BrokenBarrier, Condition, Event, LifoQueue, Lock, PriorityQueue,
    Queue, QueueShutDown, Semaphore, TryGetError, TryPutError, mixed,
};
#[cfg(feature = "send")]
pub use asyncio_task::local;
pub use asyncio_task::{
    Cancelled, ExceptionGroup, InvalidState, JoinError, LoopThread, Outcome, Promise, PromiseError,
    ReturnWhen, Runner, Task, TaskGroup, TaskOptions, Timeout, TimeoutError, all_tasks,
    as_completed, async_to_sync, catch_cancel, create_future, create_task, create_task_with,
    critical, current_task, eager_task_factory, finally, gather, interval, race, retry, run,
    run_coroutine_threadsafe, scope, shield, sleep, sleep_until, sync_to_async, task_group,
    timeout, timeout_at, to_thread, try_gather, wait, wait_for, yield_now,
};
#[cfg(feature = "tls")]
pub use asyncio_tls as tls;
#[cfg(feature = "tokio-runtime")]
pub use asyncio_tokio as tokio_runtime;
