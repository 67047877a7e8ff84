//! Every future of every crate shows, while it waits, the user's line that awaits it. `ci/check.sh
//! release` runs this test in an optimised build without debug information too.
#![allow(dropping_copy_types, reason = "a case drops whatever its future gives")]
#![cfg(all(feature = "net", feature = "process", feature = "tempfile"))]

use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::Location;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use asyncio::event_loop::{LoopTime, ThreadPoolExecutor};
use asyncio::inspect::{TaskInfo, TaskState, WaitDetail, WaitsFor};
use asyncio::net::{sock_accept, sock_recv, sock_recv_into, sock_recvfrom, sock_recvmsg};
use asyncio::sync::{Pool, RateLimiter, RateLimits, broadcast, watch};
use asyncio::task::{Backoff, staggered_race};
use asyncio::{
    Barrier, Condition, Event, Lock, Queue, Runner, Semaphore, Signal, Signals, StreamReader,
    StreamWriter, Task, Timeout, as_completed, catch_cancel, create_future, create_subprocess_exec,
    create_task, critical, finally, fs, gather, interval, mixed, open_connection, race, retry,
    running_loop, scope, shield, signal, sleep, sleep_until, start_server, sync_to_async,
    task_group, timeout, to_thread, try_gather, wait, wait_for, yield_now,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Tasks that wait, each with the line at which it should.
#[derive(Default)]
struct Cases(RefCell<Vec<(u32, WaitsFor, Task<()>)>>);

impl Cases {
    fn add(&self, line: u32, what: WaitsFor, future: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().push((line, what, create_task(future)));
    }

    /// Checks that each task waits at its line, and cancels the tasks.
    async fn check(self) {
        let mut wrong = Vec::new();
        let cases = self.0.take();
        for (line, what, task) in &cases {
            let info = waiting(task, *what).await;
            let Some(wait) = info.wait else {
                wrong.push(format!("line {line} waits for nothing: {:?}", info.state));
                continue;
            };
            let at = wait.at.map(|at| (at.file(), at.line()));
            if (wait.what, at) != (*what, Some((file!(), *line))) {
                wrong.push(format!("line {line} for {what}: {wait} at {at:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        for (_, _, task) in cases {
            task.cancel();
            let _ = task.await;
        }
    }
}

/// Runs the loop until the task waits for `what` or has finished, for 1000 turns at most.
async fn waiting(task: &Task<()>, what: WaitsFor) -> TaskInfo {
    for round in 0..1000 {
        let info = task.task_ref().info();
        let waits = info.wait.as_ref().is_some_and(|wait| wait.what == what);
        if waits || info.state == TaskState::Finished {
            return info;
        }
        if round < 20 { yield_now().await } else { sleep(Duration::from_millis(2)).await }
    }
    task.task_ref().info()
}

/// The line that a case starting at `start` should show: that line, or, if the case has several
/// lines, the line marked with `// here`.
fn expected(start: u32) -> u32 {
    let mut lines = (start..).zip(include_str!("await_lines.rs").lines().skip(start as usize - 1));
    let (_, first) = lines.next().expect("a line of this file");
    if !first.ends_with('{') {
        return start;
    }
    lines.find(|(_, line)| line.ends_with("// here")).expect("a mark").0
}

/// A case: what it waits for, and code that awaits.
macro_rules! case {
    ($cases:expr, $what:ident, $body:block) => {
        $cases.add(expected(line!()), WaitsFor::$what, async move $body)
    };
}

#[test]
#[rustfmt::skip]
fn tasks_and_combinators() {
    // Code that cannot be cancelled waits out its hour, which takes no time on a virtual clock.
    Runner::builder().virtual_time(true).run(async {
        let cases = Cases::default();
        let hour = || sleep(HOUR);
        let task = || create_task(sleep(HOUR));
        case!(cases, Time, { hour().await; });
        case!(cases, Time, { sleep_until(LoopTime::MAX).await; });
        case!(cases, Time, {
            interval(HOUR).tick().await; // here
        });
        case!(cases, Task, { drop(task().await); });
        case!(cases, Task, { drop(shield(task()).await); });
        case!(cases, Task, { drop(timeout(HOUR, task()).await); });
        case!(cases, Time, { drop(timeout(HOUR, hour()).await); });
        case!(cases, Time, { drop(timeout(HOUR, timeout(HOUR, hour())).await); });
        case!(cases, Time, { drop(wait_for(hour(), None).await); });
        case!(cases, Time, { drop(Timeout::new(HOUR).run(hour()).await); });
        case!(cases, Time, { drop(timeout(HOUR, async { hour().await }).await); });
        case!(cases, Promise, { drop(create_future::<()>().await); });
        case!(cases, Promise, { drop(timeout(HOUR, create_future::<()>()).await); });
        case!(cases, Task, { gather((hour(), hour())).await; });
        case!(cases, Task, { gather([hour(), hour()]).await; });
        case!(cases, Task, { gather(vec![hour()]).await; });
        case!(cases, Task, { drop(try_gather([async { hour().await; Ok::<_, ()>(()) }]).await); });
        case!(cases, Group, { race((hour(), hour())).await; });
        case!(cases, Group, { race([hour(), hour()]).await; });
        case!(cases, Tasks, { wait([task()]).await; });
        case!(cases, Tasks, { wait([task()]).timeout(HOUR).await; });
        case!(cases, Tasks, { as_completed([task()]).next().await; });
        case!(cases, Group, { scope(async |scope| drop(scope.create_task(hour()))).await; });
        case!(cases, Time, { scope(async |_| hour().await).await; });
        case!(cases, Task, { scope(async |scope| scope.create_task(hour()).await).await; });
        case!(cases, Task, {
            scope(async |scope| drop(scope.create_task(hour()).outcome().await)).await; // here
        });
        case!(cases, Group, {
            let child = async { hour().await; Ok::<_, ()>(()) };
            let group = task_group(async |group| { group.create_task(child); Ok(()) });
            drop(group.await); // here
        });
        case!(cases, Time, { finally(hour(), async |_| ()).await; });
        case!(cases, Time, { finally(async {}, async |_| hour().await).await; });
        case!(cases, Time, { drop(catch_cancel(hour()).await); });
        case!(cases, Time, { critical(hour()).await; });
        case!(cases, Time, {
            drop(retry(async || Err::<(), _>(())).backoff(Backoff::new(HOUR)).await); // here
        });
        case!(cases, Time, { drop(retry(async || { hour().await; Ok::<_, ()>(()) }).await); });
        case!(cases, Promise, {
            let attempt = async || { drop(create_future::<()>().await); Ok::<(), ()>(()) };
            staggered_race([attempt], None).await; // here
        });
        cases.check().await;
    });
}

#[test]
#[rustfmt::skip]
fn jobs_files_and_names() {
    asyncio::run(async {
        let cases = Cases::default();
        let directory = fs::TemporaryDirectory::new().await.unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "text").await.unwrap();
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        let mut files = Vec::new();
        for _ in 0..20 {
            files.push(options.open(&path).await.unwrap());
        }
        let mut file = || files.pop().unwrap();
        let dir = fs::read_dir(directory.path()).await.unwrap();

        // The only worker is busy, so every job waits.
        running_loop().set_default_executor(ThreadPoolExecutor::builder().max_workers(1).build());
        let (free, busy) = mpsc::channel::<()>();
        let worker = running_loop().run_in_executor(None, move || drop(busy.recv()));

        case!(cases, Thread, { drop(to_thread(|| ()).await); });
        case!(cases, Thread, { drop(sync_to_async(|| ()).thread_sensitive(false).await); });
        case!(cases, Thread, { drop(running_loop().run_in_executor(None, || ()).await); });
        case!(cases, Thread, { drop(open_connection("localhost:1").await); });
        case!(cases, Thread, {
            let host = Some("localhost");
            drop(asyncio::net::getaddrinfo(host, None, Default::default()).await); // here
        });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::read(&p).await); });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::read_to_string(&p).await); });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::write(&p, "").await); });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::metadata(&p).await); });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::try_exists(&p).await); });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::remove_dir(&p).await); });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::read_dir(&p).await); });
        let p = path.clone();
        case!(cases, Thread, { drop(fs::File::open(&p).await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.read(&mut [0; 9]).await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.read_exact(&mut [0; 9]).await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.read_to_end(&mut Vec::new()).await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.read_to_string(&mut String::new()).await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.read_line(&mut String::new()).await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.fill_buf().await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.seek(io::SeekFrom::End(0)).await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.sync_all().await); });
        let mut f = file();
        case!(cases, Thread, { drop(f.set_len(1).await); });
        let mut f = file();
        case!(cases, Thread, { f.write_all(b"a").await.unwrap(); drop(f.flush().await); });
        let f = file();
        case!(cases, Thread, { drop(f.metadata().await); });
        let holder = file();
        holder.lock().await.unwrap();
        let f = file();
        case!(cases, Time, { drop(f.lock().await); });
        case!(cases, Thread, { drop({ dir }.next_entry().await); });
        case!(cases, Thread, { drop(fs::temporary_file().await); });
        cases.check().await;
        drop(free);
        worker.await.unwrap();
    });
}

#[test]
#[rustfmt::skip]
fn locks_queues_and_the_like() {
    asyncio::run(async {
        let cases = Cases::default();
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await;
        let made_at = line!() - 2;
        let held_at = line!() - 2;
        let l = lock.clone();
        case!(cases, Lock, { drop(l.acquire().await); });
        let l = lock.clone();
        case!(cases, Lock, { drop(l.acquire_owned().await); });
        let l = lock.clone();
        case!(cases, Lock, { drop(timeout(HOUR, l.acquire()).await); });
        let semaphore = Rc::new(Semaphore::new(0));
        let s = semaphore.clone();
        case!(cases, Semaphore, { drop(s.acquire().await); });
        let s = semaphore.clone();
        case!(cases, Semaphore, { drop(s.acquire_owned().await); });
        case!(cases, Event, { Event::new().wait().await; });
        case!(cases, Condition, {
            let c = Condition::new(());
            let guard = c.acquire().await;
            drop(c.wait(guard).await); // here
        });
        case!(cases, Condition, {
            let c = Condition::new(());
            let guard = c.acquire().await;
            drop(c.wait_for(guard, |()| false).await); // here
        });
        case!(cases, Item, { drop(Queue::<u8>::new().get().await); });
        case!(cases, Room, {
            let q = Queue::bounded(1);
            q.put_nowait(1).unwrap();
            drop(q.put(2).await); // here
        });
        case!(cases, Resource, {
            let q = Queue::bounded(1);
            q.put_nowait(1).unwrap();
            q.join().await; // here
        });
        let (_sender, mut receiver) = broadcast::channel::<u8>(1);
        case!(cases, Item, { drop(receiver.recv().await); });
        let (sender, mut receiver) = watch::channel(1);
        case!(cases, Item, { drop(receiver.changed().await); });
        let mut receiver = sender.subscribe();
        case!(cases, Item, { drop(receiver.wait_for(|n| *n > 1).await); });
        case!(cases, Resource, { sender.closed().await; });
        case!(cases, Barrier, { drop(Barrier::new(2).wait().await); });
        case!(cases, Semaphore, {
            let r = RateLimiter::new(1, HOUR);
            r.acquire().await;
            sleep(Duration::ZERO).await;
            r.acquire().await; // here
        });
        case!(cases, Semaphore, {
            let r = RateLimits::<String>::new(1, HOUR);
            r.acquire("a").await;
            r.acquire("a").await; // here
        });
        case!(cases, Semaphore, {
            let p = Pool::new(1, async || Ok::<_, ()>(()));
            let one = p.get().await;
            drop(p.get().await); // here
            drop(one);
        });
        case!(cases, Time, {
            let make = async || {
                sleep(HOUR).await; // here
                Ok::<_, ()>(())
            };
            drop(Pool::new(1, make).get().await);
        });
        case!(cases, Item, { drop(mixed::Queue::<u8>::new().async_side().get().await); });
        case!(cases, Room, {
            let q = mixed::Queue::bounded(1);
            q.async_side().put_nowait(1).unwrap();
            drop(q.async_side().put(2).await); // here
        });
        case!(cases, Resource, {
            let q = mixed::Queue::bounded(1);
            q.async_side().put_nowait(1).unwrap();
            q.async_side().join().await; // here
        });

        let l = lock.clone();
        let waiter = create_task(async move { drop(l.acquire().await) });
        yield_now().await;
        let wait = waiter.task_ref().info().wait.unwrap();
        let WaitDetail::Resource(resource) = wait.detail else { panic!() };
        let holder = resource.holder.unwrap();
        assert_eq!(resource.created_at.line(), made_at);
        assert_eq!(holder.task, asyncio::current_task().unwrap().id());
        assert_eq!((holder.at.file(), holder.at.line()), (file!(), held_at));
        cases.check().await;
        drop(guard);
    });
}

#[test]
#[rustfmt::skip]
fn sockets_signals_and_processes() {
    asyncio::run(async {
        let cases = Cases::default();
        let serve = async |mut reader: StreamReader, _: StreamWriter| {
            drop(reader.read_to_end().await);
        };
        let server = start_server("127.0.0.1:0", serve).await.unwrap();
        let server_line = line!() - 1;
        let address = server.local_addr().unwrap();
        let mut streams = Vec::new();
        for _ in 0..12 {
            streams.push(open_connection(address).await.unwrap());
        }
        let mut stream = || streams.pop().unwrap();
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.read(1).await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.read_exactly(1).await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.read_line().await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.next_line().await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.read_until(b"a").await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.read_until_any(&[b"a"]).await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.read_to_end().await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.fill_buf().await.map(|_| ())); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(r.read_into(&mut [0]).await); drop(w); });
        let (mut r, w) = stream();
        case!(cases, Descriptor, { drop(timeout(HOUR, r.read(1)).await); drop(w); });
        case!(cases, Connection, { server.wait_closed().await; });

        let pair = || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            (ours, theirs)
        };
        let (s, _p1) = pair();
        case!(cases, Descriptor, { drop(sock_recv(&s, 1).await); });
        let (s, _p2) = pair();
        case!(cases, Descriptor, { drop(sock_recv_into(&s, &mut [0]).await); });
        let (s, _p3) = pair();
        case!(cases, Descriptor, { drop(sock_recvfrom(&s, 1).await); });
        let (s, _p4) = pair();
        case!(cases, Descriptor, { drop(sock_recvmsg(&s, 1).await); });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        case!(cases, Descriptor, { drop(sock_accept(&listener).await); });

        case!(cases, Signal, { drop(signal(Signal::USR2).await); });
        case!(cases, Signal, { Signals::new([Signal::USR2]).unwrap().next().await; });
        let child = create_subprocess_exec("sleep", ["3600"]).await.unwrap();
        case!(cases, Process, { child.wait().await; });

        // The server's client tasks name the call that made the server.
        let (mut r, _w) = stream();
        let client = create_task(async move { drop(r.read(1).await) });
        let info = waiting(&client, WaitsFor::Descriptor).await;
        let detail = info.wait.unwrap().detail;
        let WaitDetail::Descriptor { socket, to_write, .. } = detail else { panic!() };
        assert_eq!(socket.unwrap().peer, Some(address.to_string()));
        assert!(!to_write);
        let tasks: Vec<_> = running_loop().all_tasks().iter().map(|task| task.info()).collect();
        let of_server = |at: &Location<'_>| (at.file(), at.line()) == (file!(), server_line);
        let served = tasks.iter().filter(|task| of_server(task.created_at));
        assert_eq!(served.count(), 12, "{tasks:#?}");
        cases.check().await;
    });
}

/// A protocol that ignores the bytes it receives.
#[cfg(feature = "tls")]
struct Deaf;

#[cfg(feature = "tls")]
impl asyncio::Protocol for Deaf {
    fn data_received(&mut self, _: &asyncio::Transport, _: &[u8]) {}
}

#[cfg(feature = "tls")]
#[test]
#[rustfmt::skip]
fn handshakes_and_upgrades() {
    use std::sync::Arc;

    use asyncio::create_connection;
    use asyncio::net::{upgrade_streams, upgrade_transport};
    use asyncio::tls::rustls::crypto::ring::default_provider;
    use asyncio::tls::rustls::server::{ResolvesServerCertUsingSni, ServerConfig};
    use asyncio::tls::{
        TlsClient, TlsServer, accept_tls, accept_transport_tls, start_tls, start_transport_tls,
    };

    asyncio::run(async {
        let cases = Cases::default();
        let silent = async |mut reader: StreamReader, _: StreamWriter| {
            drop(reader.read_to_end().await);
        };
        let server = start_server("127.0.0.1:0", silent).await.unwrap();
        let address = server.local_addr().unwrap();
        let client = TlsClient::builder().danger_accept_any_certificate().build().unwrap();
        // No handshake gets as far as asking for a certificate.
        let none = Arc::new(ResolvesServerCertUsingSni::new());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(none);
        let tls = TlsServer::from_config(config);

        let t = client.clone();
        case!(cases, Descriptor, { drop(open_connection(address).tls(&t).await); });
        let (mut r, mut w) = open_connection(address).await.unwrap();
        let t = client.clone();
        case!(cases, Descriptor, { drop(start_tls(&mut r, &mut w, &t, "a").await); });
        let (mut r, mut w) = open_connection(address).await.unwrap();
        let t = tls.clone();
        case!(cases, Descriptor, { drop(accept_tls(&mut r, &mut w, &t).await); });
        let transport = create_connection(address, || Deaf).await.unwrap();
        let t = client.clone();
        case!(cases, Descriptor, { drop(start_transport_tls(&transport, &t, "a").await); });
        let transport = create_connection(address, || Deaf).await.unwrap();
        let t = tls.clone();
        case!(cases, Descriptor, { drop(accept_transport_tls(&transport, &t).await); });

        let (mut r, mut w) = open_connection(address).await.unwrap();
        case!(cases, Time, {
            let wrap = async |plain| {
                sleep(HOUR).await; // here
                Ok(plain)
            };
            drop(upgrade_streams(&mut r, &mut w, wrap).await);
        });
        let transport = create_connection(address, || Deaf).await.unwrap();
        case!(cases, Time, {
            let wrap = async |plain| {
                sleep(HOUR).await; // here
                Ok(plain)
            };
            drop(upgrade_transport(&transport, wrap).await);
        });
        cases.check().await;
    });
}

#[cfg(feature = "http")]
#[test]
#[rustfmt::skip]
fn requests_and_web_sockets() {
    use asyncio::http::websocket::WebSocketUpgrade;
    use asyncio::http::{App, ClientSession, serve};

    asyncio::run(async {
        let cases = Cases::default();
        let app = App::new()
            .get("/slow", async || sleep(HOUR).await)
            .get("/ws", async |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async |socket| {
                    sleep(HOUR).await;
                    drop(socket);
                })
            });
        let server = serve("127.0.0.1:0", app).shutdown_grace(Duration::ZERO).await.unwrap();
        let server = Rc::new(server);
        let address = server.local_addr().unwrap();
        // This server sends half of a response.
        let half = start_server("127.0.0.1:0", async |mut reader, writer| {
            drop(reader.read_until(b"\r\n\r\n").await);
            writer.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
            drop(reader.read_to_end().await);
        }).await.unwrap();
        let half = format!("http://{}/", half.local_addr().unwrap());
        let session = ClientSession::new();

        let (s, url) = (session.clone(), format!("http://{address}/slow"));
        case!(cases, Connection, { drop(s.get(url).await); });
        let answer = session.get(&*half).await.unwrap();
        case!(cases, Time, { drop(answer.text().await); });
        let answer = session.get(&*half).await.unwrap();
        case!(cases, Time, { drop(answer.bytes().await); });
        let mut answer = session.get(&*half).await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "abc");
        case!(cases, Time, { drop(answer.chunk().await); });
        let socket = session.ws_connect(format!("ws://{address}/ws")).await.unwrap();
        case!(cases, Descriptor, { drop(socket.receive().await); });
        let s = server.clone();
        case!(cases, Event, { s.serve_forever().await; });
        cases.check().await;
    });
}
