//! Python's asyncio for Rust.
//!
//! One event loop a thread; tasks that need neither `Send` nor `Arc` nor `Mutex`; the names that
//! asyncio's users know. This crate re-exports the crates it is made of.
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
//! * To start: [`main`](macro@main) and [`test`](macro@test), [`run`](fn@run), [`Runner`]; a loop in a thread of
//!   its own is a [`LoopThread`].
//! * Tasks: [`create_task`], [`Task`], [`sleep`](fn@sleep), [`yield_now`], [`create_future`] and [`Promise`],
//!   [`context_var!`].
//! * Several at once: [`task_group`] and [`scope`](fn@scope), whose children borrow; [`gather`](fn@gather),
//!   [`try_gather`], [`race`](fn@race), [`wait`], [`as_completed`].
//! * Limits and endings: [`timeout`](fn@timeout), [`Task::cancel`], [`finally`](fn@finally), [`catch_cancel`],
//!   [`shield`](fn@shield), [`critical`](fn@critical).
//! * Between tasks: [`Lock`], [`Event`], [`Condition`], [`Semaphore`], [`Barrier`], [`Queue`]; with threads,
//!   [`mixed::Queue`].
//! * Network: [`start_server`], [`open_connection`], [`StreamReader`], [`StreamWriter`]; under them [`Protocol`]
//!   and [`Transport`]; [`create_datagram_endpoint`].
//! * Processes and threads: [`Command`], [`Process`], [`to_thread`], [`run_coroutine_threadsafe`],
//!   [`ProcessPoolExecutor`].
//! * Signals: [`ctrl_c`], [`signal`](fn@signal), [`Signals`].
//! * The level below tasks: [`running_loop`], [`LoopRef::call_soon`], [`LoopRef::call_later`],
//!   [`LoopHandle::call_soon_threadsafe`].
//!
//! Methods that these crates add to types of one another are in the [`prelude`]. The examples of an item name the crate
//! that it comes from, as in `asyncio_net::start_server` or `asyncio_task::run`: here all of them are `asyncio::…`.
//!
//! # From Python
//!
//! The names are asyncio's; what has another name or behaves otherwise is listed in `docs/PORTING.md` of the
//! repository, and each item says so under "From asyncio". What raises there is a `Result` here. A coroutine is
//! a future: it does nothing until it is awaited or made a task.
//!
//! # From tokio
//!
//! A task stays on the thread of its loop, so what tasks share is an `Rc`, a `Cell`, a `RefCell`. What is ended
//! is *cancelled*, so that its cleanup may await, and not dropped: see `docs/CANCELLATION.md`.
//!
//! | tokio | here |
//! |---|---|
//! | `spawn`, `spawn_local`, `JoinHandle` | [`create_task`], [`Task`]; dropping it detaches, too |
//! | `JoinHandle::abort` | [`Task::cancel`], which lets cleanup finish |
//! | `JoinSet` | [`task_group`], [`as_completed`] |
//! | `join!`, `try_join!`, `select!` | [`gather`](fn@gather), [`try_gather`], [`race`](fn@race) |
//! | `time::{sleep, timeout, pause}` | [`sleep`](fn@sleep), [`timeout`](fn@timeout), [`RunnerBuilder::virtual_time`] |
//! | `time::interval` | [`interval`](fn@interval) |
//! | `spawn_blocking`, `Handle::spawn` from a thread | [`to_thread`], [`run_coroutine_threadsafe`] |
//! | `oneshot`, `mpsc` | [`create_future`], [`Queue`] with [`Queue::shutdown`]; across threads [`mixed::Queue`] |
//! | `broadcast`, `watch` | [`mod@broadcast`], [`mod@watch`] |
//! | `Mutex`, `Notify` | [`Lock`] (only across awaits), [`Event`], [`Condition`] |
//! | `Semaphore`, `Barrier`, `CancellationToken` | [`Semaphore`], [`Barrier`], [`Task::cancel`] or [`TaskGroup::cancel`] |
//! | `TcpListener`, `TcpStream` | [`start_server`], [`open_connection`]; [`JoinedStream`] is both halves |
//! | `UdpSocket` | [`create_datagram_endpoint`]; or [`sock_recvfrom`], [`sock_sendto`] with std's, non-blocking |
//! | `fs`, `io::stdin` | `fs`, with the feature `fs`; [`stdin`] |
//! | `Runtime`, `LocalSet` | [`Runner`]; every task is local |
//! | `task_local!` | [`context_var!`]; new tasks inherit what is set |
//! | `signal`, `process::Command` | [`Signals`], [`Command`] |
//!
//! axum's handlers, tower's services and `async_trait` ask for futures that are `Send`, and ours are not: write
//! `local(async { … }).await` around what such a handler does (feature `send`). It checks that they stay.
//!
//! Futures that need tokio's runtime (its timers, its sockets, `reqwest`) do not run here; those that need only
//! its traits do, with the feature `tokio`, and so do the channels of `tokio::sync`. HTTP by hyper and web sockets are
//! among the repository's `examples`.
//!
//! # Features
//!
//! On by default:
//!
//! * `macros`: the attributes [`main`](macro@main) and [`test`](macro@test).
//! * `net`: streams, transports, servers, datagrams, and the calls on sockets.
//! * `process`: subprocesses; it needs `net`.
//!
//! Off by default:
//!
//! * `process-pool`: [`ProcessPoolExecutor`]; it brings `serde`.
//! * `futures-core`: [`AsCompleted`] is a `Stream`.
//! * `fs`: files, in the module `fs`; `tempfile`: temporary ones, too.
//! * `futures-io`: [`StreamReader`], [`StreamWriter`] and [`JoinedStream`] have `AsyncRead`, `AsyncBufRead` and
//!   `AsyncWrite` of the crate `futures-io`.
//! * `send`: `local` makes a future of this thread `Send`, for axum's handlers and the like.
//! * `tokio`: they have those of `tokio::io`. It brings the traits only, no runtime.

#![forbid(unsafe_code)]
// This page links to items of every feature.
#![cfg_attr(
    not(all(feature = "macros", feature = "process-pool")),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod prelude;
#[cfg(doctest)]
mod readmes;

#[cfg(feature = "fs")]
pub use asyncio_fs as fs;
pub use asyncio_loop::{
    Binding, CallbackRef, Context, ContextEntered, ContextVar, Deadline, Direction, ErrorContext,
    EventLoop, ExceptionHandler, Executor, Handle, Job, JobError, JobPanic, LoopBuilder,
    LoopClosed, LoopHandle, LoopRef, LoopRunning, LoopTime, LoopWaker, NoRunningLoop, Pollable,
    ResetError, RunError, RunningJob, SendContext, Signal, Signals, Source, StuckJobs, TaskFactory,
    TaskOptions, TaskRef, ThreadFuture, ThreadPoolBuilder, ThreadPoolExecutor, ThreadPromise,
    TimerHandle, Token, TokenGuard, WaitsFor, WrapFuture, calling_loop, context_var, copy_context,
    ctrl_c, raise_signal, running_loop, signal, try_running_loop, wrap_future,
};
#[cfg(feature = "macros")]
pub use asyncio_macros::{main, test};
#[cfg(feature = "net")]
pub use asyncio_net::{
    AddrInfo, AddrInfoHints, Address, BufferedProtocol, ByteSource, ByteStream, Bytes,
    ClientAddress, Closed, Connect, ConnectErrors, ConnectedSocket, CreateDatagramEndpoint,
    DEFAULT_LIMIT, DatagramAddress, DatagramProtocol, DatagramTransport, Endpoint, Family,
    HandlerResult, IncompleteReadError, Intake, JoinedStream, LimitOverrunError, PlainStream, Port,
    Protocol, ReadError, SendfileNotAvailableError, SendfileOptions, Server, ServerAddress,
    SockTarget, StartServer, StreamFeeder, StreamReader, StreamWriter, Transport,
    connect_accepted_socket, connect_read_pipe, connect_write_pipe, create_acceptor,
    create_buffered_connection, create_buffered_server, create_connection,
    create_datagram_endpoint, create_server, create_unix_connection, create_unix_server,
    feed_reader, feed_reader_with_limit, getaddrinfo, getnameinfo, open_connection, open_read_pipe,
    open_unix_connection, open_write_pipe, round_robin, sendfile, sock_accept, sock_connect,
    sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_sendall, sock_sendfile,
    sock_sendto, start_server, start_unix_server, stderr, stdin, stdout, stream_over,
    upgrade_streams,
};
#[cfg(feature = "process")]
pub use asyncio_process::{
    Command, Output, Process, Resource, Stdio, SubprocessProtocol, SubprocessTransport, Watcher,
    create_subprocess_exec, create_subprocess_shell, subprocess_exec,
};
#[cfg(feature = "process-pool")]
pub use asyncio_process::{
    PoolError, PoolFunction, ProcessPoolBuilder, ProcessPoolExecutor, Registrable,
    init_process_pool,
};
pub use asyncio_sync::{
    Acquire, AcquirePermit, AcquireToken, Barrier, BaseQueue, BoundedSemaphore, BrokenBarrier,
    Condition, Event, EventWait, Fifo, Get, Guard, HeldPermit, Lifo, LifoQueue, Lock, LockGuard,
    Order, OwnedLockGuard, OwnedPermit, Permit, Pool, Pooled, Priority, PriorityQueue, Put,
    PutError, Queue, QueueShutDown, RateLimiter, RateLimits, ReleaseError, Semaphore, Shared,
    SharedRef, SharedRefMut, TaskDoneError, TryGetError, TryPutError, broadcast, mixed,
};
pub use asyncio_task::{
    AsCompleted, Backoff, CancelReason, Cancelled, CatchCancel, Child, ChildError, ChildOutput,
    Critical, Exception, ExceptionGroup, Gather, Interval, InvalidState, JoinError, LoopThread,
    LoopThreadBuilder, Loss, MissedTicks, Outcome, Promise, PromiseError, Race, RescheduleError,
    Retry, ReturnWhen, Runner, RunnerBuilder, Scope, Shield, Sleep, Staggered, SyncToAsync, Task,
    TaskGroup, TaskHandleExt, TaskLoopExt, TaskPanic, TaskRefExt, Tick, Timeout, TimeoutError,
    TimeoutFuture, TryGather, WaitTasks, YieldNow, all_tasks, as_completed, async_to_sync,
    catch_cancel, create_future, create_task, create_task_with, critical, current_task,
    eager_task_factory, finally, from_thread, gather, interval, interval_at, race, retry, run,
    run_coroutine_threadsafe, scope, shield, single_thread_scope, sleep, sleep_until,
    staggered_race, sync_to_async, task_group, thread_sensitive_scope, timeout, timeout_at,
    to_thread, try_gather, wait, wait_for, yield_now,
};
#[cfg(feature = "send")]
pub use asyncio_task::{Local, local};
