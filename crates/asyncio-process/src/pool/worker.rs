//! The worker's side: started with a socket as standard input, it answers requests until the socket
//! is closed.

use std::any::Any;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use asyncio_loop::Panic;

use super::frame::{self, Calls, Reply};
use super::function::{self, Registrable};

/// The variable that is set for worker processes, to the ID of their parent. Children of a worker
/// inherit the variable, but not the socket.
pub(super) const PARENT: &str = "ASYNCIO_POOL_PARENT";

/// Registers the program's pool functions. In a worker process, serves them and never returns.
///
/// Call it at the beginning of `main`: worker processes are started from the same executable, run
/// `main` too, and get no further than this call. In Python, `if __name__ == "__main__"` has this
/// purpose.
///
/// It may also be the first call in an `async fn main` with `#[asyncio::main]`. A second call
/// changes nothing.
///
/// ```standalone_crate
/// use asyncio_process::{PoolFunction, ProcessPoolExecutor, init_process_pool};
///
/// static SQUARE: PoolFunction<u64, u64> = PoolFunction::new("square", |n| n * n);
///
/// fn main() {
///     init_process_pool(&[&SQUARE]);
///     let pool = ProcessPoolExecutor::default();
///     assert_eq!(pool.submit(&SQUARE, 12).result(None).unwrap(), 144);
/// }
/// ```
pub fn init_process_pool(functions: &[&'static dyn Registrable]) {
    function::register(functions);
    if !is_worker() {
        return;
    }
    // An error means that the parent is gone, or that it considers this worker dead.
    let code = i32::from(serve().is_err());
    process::exit(code)
}

fn is_worker() -> bool {
    let parent = std::env::var(PARENT).ok().and_then(|parent| parent.parse().ok());
    parent.is_some_and(is_started_by)
}

/// Whether standard input is a socket that the given process made, which may have ended since.
#[cfg(all(target_os = "linux", not(portable)))]
fn is_started_by(parent: i32) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(io::stdin());
    peer.is_ok_and(|peer| peer.pid.as_raw_nonzero().get() == parent)
}

#[cfg(any(not(target_os = "linux"), portable))]
fn is_started_by(parent: i32) -> bool {
    i32::try_from(std::os::unix::process::parent_id()) == Ok(parent)
}

fn serve() -> io::Result<()> {
    let mut socket = take_socket()?;
    let requests = read_ahead(socket.try_clone()?);
    for request in requests {
        let (calls, name, arguments) = frame::parse_request(&request)?;
        let reply = answer(calls, name, arguments).to_frame();
        frame::write(&mut socket, &reply)?;
    }
    Ok(())
}

/// Moves the socket away from standard input, so that functions read an empty standard input.
fn take_socket() -> io::Result<UnixStream> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(socket)
}

/// Reads requests on a thread of its own, which ends the process as soon as the parent is gone,
/// even in the middle of a job.
fn read_ahead(mut socket: UnixStream) -> Receiver<Vec<u8>> {
    fn read_all(socket: &mut UnixStream, requests: &Sender<Vec<u8>>) {
        while let Ok(Some(request)) = frame::read(socket) {
            if requests.send(request).is_err() {
                return;
            }
        }
    }
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        read_all(&mut socket, &sender);
        process::exit(0);
    });
    receiver
}

fn answer(calls: Calls, name: &str, arguments: &[u8]) -> Reply {
    let Some(function) = function::find(name) else { return Reply::Unknown };
    let call = || match calls {
        Calls::One => function.call_encoded(arguments),
        Calls::Each => function.call_each_encoded(arguments),
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Reply::Value(value),
        Ok(Err(error)) => Reply::Unreadable(error.to_string()),
        Err(payload) => Reply::Panicked(panic_text(payload)),
    }
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let panic = Panic::new(payload);
    let text = panic.message();
    // The payload may panic as well when it is dropped. That second panic is ignored.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
    text
}
