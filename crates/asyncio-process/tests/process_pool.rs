//! `ProcessPoolExecutor`: jobs in worker processes, and all the ways in which those can fail.
//!
//! Without libtest: the workers are this executable again, and `main` has to serve them.

use std::cell::RefCell;
use std::error::Error;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asyncio_loop::{EventLoop, JobError, ThreadFuture};
use asyncio_process::{PoolError, PoolFunction, ProcessPoolExecutor, Resource, init_process_pool};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

static ADD: PoolFunction<(u32, u32), u32> = PoolFunction::new("add", |(a, b)| a + b);
static PID: PoolFunction<(), u32> = PoolFunction::new("pid", |()| process::id());
static REVERSE: PoolFunction<Vec<u8>, Vec<u8>> = PoolFunction::new("reverse", |mut bytes| {
    bytes.reverse();
    bytes
});
static FAIL: PoolFunction<String, Result<(), String>> = PoolFunction::new("fail", Err);
static PANIC: PoolFunction<String, ()> = PoolFunction::new("panic", |text| panic!("{text}"));
static PANIC_TWICE: PoolFunction<(), ()> =
    PoolFunction::new("panic_twice", |()| std::panic::panic_any(PanicsAgain));
static MUTE: PoolFunction<(), Mute> = PoolFunction::new("mute", |()| Mute);
static DEAF: PoolFunction<Mute, ()> = PoolFunction::new("deaf", |_| ());
static DIE_SOON: PoolFunction<(), Vec<u8>> = PoolFunction::new("die_soon", |()| {
    std::thread::spawn(|| process::abort());
    vec![7; 100_000_000]
});
static EXIT: PoolFunction<i32, ()> = PoolFunction::new("exit", |code| process::exit(code));
static ABORT: PoolFunction<(), ()> = PoolFunction::new("abort", |()| process::abort());
static HANG: PoolFunction<(), ()> = PoolFunction::new("hang", |()| {
    loop {
        std::thread::park();
    }
});
static ALLOCATE: PoolFunction<usize, usize> =
    PoolFunction::new("allocate", |bytes| vec![1_u8; bytes].len());
static HOARD: PoolFunction<(), ()> = PoolFunction::new("hoard", |()| {
    let mut hoard: Vec<Vec<u8>> = Vec::with_capacity(1 << 20);
    for size in (8..28).rev().map(|power| 1 << power) {
        let mut piece = Vec::new();
        while piece.try_reserve_exact(size).is_ok() {
            hoard.push(std::mem::take(&mut piece));
        }
    }
    panic!("nothing is left, and {} pieces are held", hoard.len());
});
static READ_STDIN: PoolFunction<(), usize> =
    PoolFunction::new("read_stdin", |()| std::io::stdin().lines().count());
static STRANGER: PoolFunction<(), ()> = PoolFunction::new("stranger", |()| ());

/// A value that panics when it is dropped, also as a panic's payload.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("again");
    }
}

/// A value that can be neither encoded nor decoded.
struct Mute;

impl Serialize for Mute {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it cannot be told"))
    }
}

impl<'de> Deserialize<'de> for Mute {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it cannot be understood"))
    }
}

static TAKE_WILD: PoolFunction<Wild, u32> = PoolFunction::new("take_wild", |_wild| 7);
static MAKE_WILD: PoolFunction<(Stage, bool, u32), Wild> =
    PoolFunction::new("make_wild", |(stage, in_worker, parent)| Wild { stage, in_worker, parent });

/// The step in which a value of this test panics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    Encode,
    Decode,
    Drop,
}

/// A value that panics in this step, in the worker or in its parent.
struct Wild {
    stage: Stage,
    in_worker: bool,
    parent: u32,
}

impl Wild {
    fn enter(&self, stage: Stage) {
        let is_here = (process::id() != self.parent) == self.in_worker;
        if is_here && stage == self.stage && !std::thread::panicking() {
            panic!("wild");
        }
    }
}

impl Serialize for Wild {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.enter(Stage::Encode);
        (self.stage, self.in_worker, self.parent).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Wild {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (stage, in_worker, parent) = Deserialize::deserialize(deserializer)?;
        let wild = Self { stage, in_worker, parent };
        wild.enter(Stage::Decode);
        Ok(wild)
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        self.enter(Stage::Drop);
    }
}

/// How many arguments have set out for a worker.
static SEEN: AtomicUsize = AtomicUsize::new(0);
static LOOK: PoolFunction<Seen, ()> = PoolFunction::new("look", |_| ());

#[derive(Deserialize)]
struct Seen;

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SEEN.fetch_add(1, Ordering::Relaxed);
        serializer.serialize_unit_struct("Seen")
    }
}

fn main() {
    init_process_pool(&[
        &TAKE_WILD,
        &MAKE_WILD,
        &ADD,
        &PID,
        &REVERSE,
        &FAIL,
        &PANIC,
        &PANIC_TWICE,
        &MUTE,
        &DEAF,
        &DIE_SOON,
        &EXIT,
        &ABORT,
        &HANG,
        &ALLOCATE,
        &HOARD,
        &READ_STDIN,
        &LOOK,
    ]);
    let tests: &[(&str, fn())] = &[
        ("values_travel_both_ways", values_travel_both_ways),
        ("large_values_travel_too", large_values_travel_too),
        ("jobs_run_in_other_processes_at_the_same_time", jobs_run_in_other_processes),
        ("a_worker_is_used_again", a_worker_is_used_again),
        ("a_worker_is_replaced_after_its_share", a_worker_is_replaced_after_its_share),
        ("a_panic_is_the_jobs_error", a_panic_is_the_jobs_error),
        ("a_panic_within_a_panic_is_the_jobs_error", a_panic_within_a_panic),
        ("a_panic_on_the_way_is_the_jobs_error", a_panic_on_the_way_is_the_jobs_error),
        ("what_cannot_travel_is_an_error", what_cannot_travel_is_an_error),
        ("a_worker_may_die_in_the_middle_of_a_result", a_worker_may_die_in_a_result),
        ("an_idle_worker_that_was_killed_is_replaced", an_idle_worker_that_was_killed_is_replaced),
        ("every_job_may_have_a_worker_of_its_own", every_job_may_have_a_worker_of_its_own),
        ("workers_that_are_killed_at_any_time_fail_their_jobs_only", workers_killed_at_any_time),
        ("a_pool_with_stuck_jobs_can_be_left", a_pool_with_stuck_jobs_can_be_left),
        ("a_pool_that_is_dropped_with_jobs_left_is_reported", a_pool_dropped_with_jobs_left),
        ("an_exit_fails_its_own_job_only", an_exit_fails_its_own_job_only),
        ("a_worker_may_be_reaped_by_somebody_else", a_worker_may_be_reaped_by_somebody_else),
        ("a_crash_names_its_signal", a_crash_names_its_signal),
        ("a_job_past_its_limit_is_killed", a_job_past_its_limit_is_killed),
        ("workers_can_be_killed", workers_can_be_killed),
        ("queued_jobs_can_be_cancelled", queued_jobs_can_be_cancelled),
        ("a_map_keeps_the_order", a_map_keeps_the_order),
        ("a_map_ends_with_its_first_error", a_map_ends_with_its_first_error),
        ("a_map_that_is_dropped_cancels_what_waits", a_map_that_is_dropped),
        ("workers_keep_to_their_limits", workers_keep_to_their_limits),
        ("a_worker_without_any_memory_ends", a_worker_without_any_memory_ends),
        ("a_worker_whose_parent_is_gone_is_one_still", a_worker_whose_parent_is_gone),
        ("an_unknown_function_is_an_error", an_unknown_function_is_an_error),
        ("standard_input_of_a_worker_is_empty", standard_input_of_a_worker_is_empty),
        ("a_closed_pool_refuses_and_leaves_no_process", a_closed_pool_leaves_no_process),
    ];
    let filter = std::env::args().nth(1).unwrap_or_default();
    for (name, test) in tests.iter().filter(|(name, _)| name.contains(&filter)) {
        eprintln!("test {name} ...");
        test();
    }
    eprintln!("test result: ok");
}

fn one_worker() -> ProcessPoolExecutor {
    ProcessPoolExecutor::builder().max_workers(1).build()
}

fn pool_error<T: Send + 'static>(future: &ThreadFuture<T>) -> PoolError {
    match future.result(None) {
        Err(JobError::Failed(error)) => *error.downcast().expect("an error of the pool"),
        Err(error) => panic!("unexpected error: {error}"),
        Ok(_) => panic!("unexpected value"),
    }
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn values_travel_both_ways() {
    let pool = one_worker();
    assert_eq!(pool.submit(&ADD, (2, 3)).result(None).unwrap(), 5);
    let failed = pool.submit(&FAIL, "no".to_owned()).result(None).unwrap();
    assert_eq!(failed, Err("no".to_owned()));
}

fn a_map_keeps_the_order() {
    let pool = ProcessPoolExecutor::new(3);
    let sums: Vec<u32> = (0..50).map(|n| n + 1).collect();
    for size in [1, 7, 50, 1000] {
        let map = || pool.map(&ADD, (0..50).map(|n| (n, 1))).chunk_size(size);
        assert_eq!(map().result(None).unwrap(), sums);
        assert_eq!(asyncio_task::run(async { map().await }).unwrap(), sums);
    }
    assert_eq!(pool.map(&ADD, []).result(None).unwrap(), []);
    assert_eq!(asyncio_task::run(async { pool.map(&ADD, []).await }).unwrap(), []);
}

fn a_map_ends_with_its_first_error() {
    let pool = one_worker();
    let texts = || ["one", "two", "three"].map(str::to_owned);
    for size in [1, 2] {
        let map = || pool.map(&PANIC, texts()).chunk_size(size);
        for result in [map().result(None), asyncio_task::run(async { map().await })] {
            let Err(JobError::Panicked(panic)) = result else { panic!("{result:?}") };
            assert_eq!(panic.message(), "one");
        }
    }
    // The worker that answered with a panic is as good as before; an exit fails its own chunk.
    let Err(JobError::Failed(error)) = pool.map(&EXIT, [7, 8]).result(None) else { panic!() };
    assert!(matches!(*error.downcast().unwrap(), PoolError::WorkerDied { .. }));
    assert_eq!(pool.submit(&ADD, (1, 1)).result(None).unwrap(), 2);
}

fn a_map_that_is_dropped() {
    let pool = one_worker();
    let hanging = pool.submit(&HANG, ());
    while pool.running_jobs().is_empty() {
        std::thread::yield_now();
    }
    let late = pool.map(&LOOK, [Seen, Seen]).result(Some(Duration::ZERO));
    assert!(matches!(late, Err(JobError::TimedOut)), "{late:?}");
    let waits = pool.map(&LOOK, [Seen, Seen]).into_future();
    assert!(pool.queued() >= 2);
    drop(waits);
    assert_eq!(pool.kill_workers_until_done(&[hanging]), 1);
    assert_eq!(pool.submit(&ADD, (1, 1)).result(None).unwrap(), 2);
    assert_eq!(SEEN.load(Ordering::Relaxed), 0, "no argument was sent");
    pool.map(&LOOK, [Seen, Seen]).result(None).unwrap();
    assert_eq!(SEEN.load(Ordering::Relaxed), 2);
}

fn large_values_travel_too() {
    let pool = one_worker();
    let bytes: Vec<u8> = (0..3_000_000).map(|n: u32| n as u8).collect();
    let reversed = pool.submit(&REVERSE, bytes.clone()).result(None).unwrap();
    assert!(reversed.iter().eq(bytes.iter().rev()));
}

fn jobs_run_in_other_processes() {
    let pool = ProcessPoolExecutor::builder().max_workers(3).build();
    // Two jobs that never end, and a third one beside them.
    let hanging = [pool.submit(&HANG, ()), pool.submit(&HANG, ())];
    let pid = pool.submit(&PID, ()).result(None).unwrap();
    assert_ne!(pid, process::id());
    assert_eq!(pool.kill_workers_until_done(&hanging), 2);
}

/// Kills workers until these jobs have failed.
trait KillUntilDone {
    fn kill_workers_until_done(&self, jobs: &[ThreadFuture<()>]) -> usize;
}

impl KillUntilDone for ProcessPoolExecutor {
    fn kill_workers_until_done(&self, jobs: &[ThreadFuture<()>]) -> usize {
        while !jobs.iter().all(ThreadFuture::is_done) {
            self.kill_workers();
            std::thread::yield_now();
        }
        jobs.iter().filter(|job| matches!(pool_error(job), PoolError::WorkerDied { .. })).count()
    }
}

fn a_worker_is_used_again() {
    let pool = one_worker();
    let first = pool.submit(&PID, ()).result(None).unwrap();
    let second = pool.submit(&PID, ()).result(None).unwrap();
    assert_eq!(first, second);
}

fn a_worker_is_replaced_after_its_share() {
    let pool = ProcessPoolExecutor::builder()
        .max_workers(1)
        .max_tasks_per_child(NonZero::new(2).unwrap())
        .build();
    let pids: Vec<_> = (0..4).map(|_| pool.submit(&PID, ()).result(None).unwrap()).collect();
    assert_eq!(pids[0], pids[1]);
    assert_eq!(pids[2], pids[3]);
    assert_ne!(pids[0], pids[2]);
    assert!(!is_alive(pids[0]));
}

fn a_panic_is_the_jobs_error() {
    let pool = one_worker();
    let pid = pool.submit(&PID, ()).result(None).unwrap();
    let error = pool.submit(&PANIC, "boom".to_owned()).result(None).unwrap_err();
    assert_eq!(error.to_string(), "job panicked: boom");
    assert_eq!(pool.submit(&PID, ()).result(None).unwrap(), pid);
}

fn a_panic_within_a_panic() {
    let pool = one_worker();
    let pid = pool.submit(&PID, ()).result(None).unwrap();
    let error = pool.submit(&PANIC_TWICE, ()).result(None).unwrap_err();
    assert_eq!(error.to_string(), "job panicked: a value that is no text", "{error:?}");
    assert_eq!(pool.submit(&PID, ()).result(None).unwrap(), pid);
}

/// User code encodes, decodes and drops arguments and results. A panic there fails its own job
/// only; the worker and the pool's thread go on.
fn a_panic_on_the_way_is_the_jobs_error() {
    let pool = one_worker();
    let pid = pool.submit(&PID, ()).result(None).unwrap();
    let parent = process::id();
    let fails = |error: JobError, what: &str| {
        assert_eq!(error.to_string(), "job panicked: wild", "{what}: {error:?}");
        assert_eq!(pool.submit(&ADD, (1, 2)).result(None).unwrap(), 3, "{what}");
        assert_eq!(pool.submit(&PID, ()).result(None).unwrap(), pid, "{what}");
    };
    for (stage, in_worker) in
        [(Stage::Encode, false), (Stage::Decode, true), (Stage::Drop, true), (Stage::Drop, false)]
    {
        let argument = Wild { stage, in_worker, parent };
        let error = pool.submit(&TAKE_WILD, argument).result(None).unwrap_err();
        fails(error, &format!("argument, {stage:?}, {in_worker}"));
    }
    for (stage, in_worker) in [(Stage::Encode, true), (Stage::Drop, true), (Stage::Decode, false)] {
        let error = pool.submit(&MAKE_WILD, (stage, in_worker, parent)).result(None);
        let what = format!("result, {stage:?}, {in_worker}");
        fails(error.map(|_| ()).expect_err(&what), &what);
    }
    // The future is dropped, so the pool drops the result.
    drop(pool.submit(&MAKE_WILD, (Stage::Drop, false, parent)));
    assert_eq!(pool.submit(&PID, ()).result(None).unwrap(), pid);
}

fn what_cannot_travel_is_an_error() {
    let pool = one_worker();
    let error = pool_error(&pool.submit(&MUTE, ()));
    assert!(matches!(error, PoolError::Encoding { function: "mute", .. }), "{error}");
    let error = pool_error(&pool.submit(&DEAF, Mute));
    assert!(matches!(error, PoolError::Encoding { function: "deaf", .. }), "{error}");
    assert_eq!(pool.submit(&ADD, (1, 1)).result(None).unwrap(), 2);
}

fn a_worker_may_die_in_a_result() {
    let pool = one_worker();
    let error = pool_error(&pool.submit(&DIE_SOON, ()));
    assert!(matches!(error, PoolError::WorkerDied { function: "die_soon", .. }), "{error}");
    assert_eq!(pool.submit(&ADD, (1, 1)).result(None).unwrap(), 2);
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // The process may have ended by itself.
    let _ = kill_process(pid, Signal::KILL);
}

fn an_idle_worker_that_was_killed_is_replaced() {
    let pool = one_worker();
    let pid = pool.submit(&PID, ()).result(None).unwrap();
    kill(pid);
    let process = WaitId::Pid(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap());
    waitid(process, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    assert_ne!(pool.submit(&PID, ()).result(None).unwrap(), pid);
}

fn every_job_may_have_a_worker_of_its_own() {
    let pool = ProcessPoolExecutor::builder()
        .max_workers(4)
        .max_tasks_per_child(NonZero::new(1).unwrap())
        .build();
    let jobs: Vec<_> = (0..100).map(|_| pool.submit(&PID, ())).collect();
    let mut pids: Vec<_> = jobs.into_iter().map(|job| job.result(None).unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 100);
    pool.join(None).unwrap();
    assert!(!pids.into_iter().any(is_alive));
}

/// Workers are killed while they start, work and wait: each job ends, and so does the pool.
fn workers_killed_at_any_time() {
    let pool = ProcessPoolExecutor::builder().max_workers(3).build();
    let jobs: Vec<_> = (0..200).map(|_| pool.submit(&ADD, (1, 1))).collect();
    while !jobs.iter().all(ThreadFuture::is_done) {
        pool.worker_pids().into_iter().for_each(kill);
        std::thread::yield_now();
    }
    for job in jobs {
        match job.result(None) {
            Ok(sum) => assert_eq!(sum, 2),
            Err(error) => assert!(matches!(error, JobError::Failed(_)), "{error}"),
        }
    }
    // The last kill may have hit idle workers, which fail the next jobs; after them the pool works.
    let mut attempts = (0..10).map(|_| pool.submit(&ADD, (1, 1)).result(None));
    assert_eq!(attempts.find_map(Result::ok), Some(2));
    pool.join(None).unwrap();
}

fn a_pool_with_stuck_jobs_can_be_left() {
    let pool = ProcessPoolExecutor::builder().max_workers(2).build();
    let jobs = [pool.submit(&HANG, ()), pool.submit(&HANG, ())];
    while pool.worker_pids().len() < 2 {
        std::thread::yield_now();
    }
    let stuck = pool.join(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(stuck.jobs().len(), 2);
    assert_eq!(pool.kill_workers(), 2);
    pool.join(None).unwrap();
    assert!(jobs.iter().all(|job| matches!(pool_error(job), PoolError::WorkerDied { .. })));
}

// I-006
fn a_pool_dropped_with_jobs_left() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&reports);
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        heard.borrow_mut().push(context.to_string());
    })));
    let drop_pool = async || {
        let line = line!() + 1;
        let pool = ProcessPoolExecutor::builder().max_workers(1).build();
        let (stuck, queued) = (pool.submit(&HANG, ()), pool.submit(&PID, ()));
        while pool.worker_pids().is_empty() || pool.queued() != 1 {
            std::thread::yield_now();
        }
        let worker = pool.worker_pids()[0];
        drop(pool);
        kill(worker);
        assert!(matches!(pool_error(&stuck), PoolError::WorkerDied { .. }));
        drop(queued.result(None));
        line
    };
    let line = event_loop.run_until_complete(drop_pool()).unwrap();
    let [report] = &reports.take()[..] else { panic!("one report") };
    assert!(report.starts_with("a process pool was dropped with jobs left"), "{report}");
    let fields = format!("running: 1, queued: 1, created at: {}:{line}:", file!());
    assert!(report.contains(&fields), "{fields} is not in {report}");

    event_loop.set_debug(false);
    event_loop.run_until_complete(drop_pool()).unwrap();
    assert_eq!(reports.take(), [""; 0], "not outside of debug mode");
    event_loop.close().unwrap();
}

fn an_exit_fails_its_own_job_only() {
    let pool = one_worker();
    let exits = pool.submit(&EXIT, 3);
    let next = pool.submit(&ADD, (1, 1));
    match pool_error(&exits) {
        PoolError::WorkerDied { function: "exit", pid, status } => {
            assert_eq!(status.code(), Some(3));
            assert!(!is_alive(pid));
        }
        error => panic!("unexpected error: {error}"),
    }
    assert_eq!(next.result(None).unwrap(), 2);
}

fn a_worker_may_be_reaped_by_somebody_else() {
    let pool = one_worker();
    for _ in 0..10 {
        let pid = pool.submit(&PID, ()).result(None).unwrap();
        let reaper = std::thread::spawn(move || {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            // The pool may reap the process first.
            let _ = waitpid(Some(pid), WaitOptions::empty());
        });
        let error = pool_error(&pool.submit(&EXIT, 3));
        let PoolError::WorkerDied { status, .. } = error else { panic!("{error}") };
        assert!([3, 255].contains(&status.code().unwrap()), "{status}");
        reaper.join().unwrap();
    }
}

fn a_crash_names_its_signal() {
    let pool = one_worker();
    let error = pool_error(&pool.submit(&ABORT, ()));
    let text = error.to_string();
    assert!(text.contains("while it ran abort: signal: 6"), "{text}");
    assert!(error.source().is_none());
}

fn a_job_past_its_limit_is_killed() {
    let pool = one_worker();
    let pid = pool.submit(&PID, ()).result(None).unwrap();
    let limit = Duration::from_millis(20);
    match pool_error(&pool.submit_within(Some(limit), &HANG, ())) {
        PoolError::TimeLimit { function: "hang", limit: past } => assert_eq!(past, limit),
        error => panic!("unexpected error: {error}"),
    }
    assert!(!is_alive(pid));
    assert_eq!(pool.submit(&ADD, (1, 1)).result(None).unwrap(), 2);
}

fn workers_can_be_killed() {
    let pool = one_worker();
    let hanging = [pool.submit(&HANG, ())];
    let next = pool.submit(&ADD, (1, 1));
    assert_eq!(pool.kill_workers_until_done(&hanging), 1);
    // A kill may have hit the worker of the next job as well.
    match next.result(None) {
        Ok(sum) => assert_eq!(sum, 2),
        Err(error) => assert!(matches!(error, JobError::Failed(_))),
    }
}

fn queued_jobs_can_be_cancelled() {
    let pool = one_worker();
    let hanging = [pool.submit(&HANG, ())];
    let queued: Vec<_> = (0..3).map(|_| pool.submit(&ADD, (1, 1))).collect();
    while !hanging[0].is_running() {
        std::thread::yield_now();
    }
    assert!(queued[0].cancel());
    assert_eq!(pool.cancel_queued(), 3);
    assert!(queued.iter().all(ThreadFuture::is_cancelled));
    assert_eq!(pool.kill_workers_until_done(&hanging), 1);
}

fn workers_keep_to_their_limits() {
    let limited = ProcessPoolExecutor::builder().max_workers(1);
    let pool = limited.resource_limit(Resource::AddressSpace, 1 << 30).build();
    let error = pool_error(&pool.submit(&ALLOCATE, 2 << 30));
    assert!(matches!(error, PoolError::WorkerDied { .. }), "{error}");
    assert_eq!(pool.submit(&ALLOCATE, 1 << 20).result(None).unwrap(), 1 << 20);
}

/// Set in the process that runs with backtraces.
const ASKS_FOR_BACKTRACES: &str = "ASYNCIO_TEST_BACKTRACES";

fn a_worker_without_any_memory_ends() {
    if std::env::var_os(ASKS_FOR_BACKTRACES).is_none() {
        let mut this = process::Command::new(std::env::current_exe().unwrap());
        this.arg("a_worker_without_any_memory_ends").env(ASKS_FOR_BACKTRACES, "1");
        assert!(this.env("RUST_BACKTRACE", "1").status().unwrap().success());
        return;
    }
    let limited = ProcessPoolExecutor::builder().max_workers(1);
    let pool = limited.resource_limit(Resource::AddressSpace, 1 << 28).build();
    match pool.submit_within(Some(Duration::from_secs(600)), &HOARD, ()).result(None) {
        // The worker may or may not have had enough memory to report its panic.
        Err(JobError::Panicked(_)) => {}
        Err(JobError::Failed(error)) => {
            let error = error.downcast::<PoolError>().unwrap();
            assert!(matches!(*error, PoolError::WorkerDied { .. }), "{error}");
        }
        outcome => panic!("unexpected outcome: {outcome:?}"),
    }
}

/// A worker without a parent must not run the program's own `main`.
fn a_worker_whose_parent_is_gone() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    // The shell is the worker's parent, and exits at once.
    let mut shell = process::Command::new("/bin/sh");
    shell
        .args(["-c", "exec 3<&0; \"$0\" \"no such test\" <&3 3<&- &"])
        .arg(std::env::current_exe().unwrap());
    shell.env("ASYNCIO_POOL_PARENT", process::id().to_string());
    shell.stdin(OwnedFd::from(theirs)).stderr(process::Stdio::piped());
    let shell = shell.spawn().unwrap();
    // A worker ends when its socket is closed, and prints nothing.
    drop(ours);
    let output = shell.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

fn an_unknown_function_is_an_error() {
    let pool = one_worker();
    let error = pool_error(&pool.submit(&STRANGER, ()));
    assert!(matches!(error, PoolError::NotRegistered { function: "stranger" }));
}

fn standard_input_of_a_worker_is_empty() {
    assert_eq!(one_worker().submit(&READ_STDIN, ()).result(None).unwrap(), 0);
}

fn a_closed_pool_leaves_no_process() {
    let pool = ProcessPoolExecutor::builder().max_workers(2).build();
    let pids = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..4 {
        let pids = Arc::clone(&pids);
        pool.submit(&PID, ()).add_done_callback(move |future| {
            pids.lock().unwrap().push(future.result(None).unwrap());
        });
    }
    pool.join(None).unwrap();
    let refused = pool.submit(&PID, ());
    assert!(matches!(refused.result(None), Err(JobError::ExecutorShutdown)));
    let pids = pids.lock().unwrap();
    assert_eq!(pids.len(), 4);
    assert!(pids.iter().all(|&pid| !is_alive(pid)));
}
