//! Samples a thread that is stuck: a signal has it copy its registers and its stack.
//!
//! The signal is `SIGURG`: its default is to be ignored, so one that comes late does nothing, and
//! few programs use it. If the program has a handler for it, that handler stays, and no sample is
//! taken. Our handler is there only while a sample is taken. It restarts system calls that can be
//! restarted (`SA_RESTART`); others in which the thread is blocked return `EINTR`, as for any
//! signal.
//!
//! The handler may interrupt any code, so it calls nothing but `gettid` (which cannot fail, so it
//! leaves `errno` alone) and code of this crate that allocates nothing, takes no lock and does not
//! unwind. It reads registers from its context, and the words between the stack pointer and the end
//! of the thread's stack, which are mapped. Everything else happens on the thread that asked.

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
#[path = "sys/aarch64.rs"]
mod processor;
#[cfg(not(any(target_arch = "x86_64", all(target_os = "linux", target_arch = "aarch64"))))]
#[path = "sys/other.rs"]
mod processor;
#[cfg(target_arch = "x86_64")]
#[path = "sys/x86_64.rs"]
mod processor;

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(super) use self::processor::{COUNT, STACK_POINTER};
#[cfg(all(feature = "stacks", target_os = "linux"))]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use self::processor::{PROGRAM_COUNTER, RETURN_ADDRESS, bare_address};
use super::usage::{State, Usage};
use crate::kernel::{Glimpse, RemoteScheduler};

const SIGNAL: c_int = libc::SIGURG;
/// How long a sample waits for the thread.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Words of a stack that are copied, at most: 64 KiB.
const STACK_WORDS: usize = 8192;

const IDLE: u32 = 0;
const ASKED: u32 = 1;
const TAKING: u32 = 2;
const TAKEN: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(IDLE);
static TARGET: AtomicI32 = AtomicI32::new(0);
static SLOT: Slot = Slot(UnsafeCell::new(Sample::NEW));
/// Only one sample is taken at a time.
static TURN: Mutex<()> = Mutex::new(());

struct Slot(UnsafeCell<Sample>);

// SAFETY: the holder of `TURN` uses it in the states `IDLE` and `TAKEN`, and the handler in
// `TAKING`, which only one thread can enter, from `ASKED`.
unsafe impl Sync for Slot {}

/// The request for a sample, and the sample.
struct Sample {
    scheduler: *const RemoteScheduler,
    stack_end: usize,
    glimpse: Option<Glimpse>,
    registers: Registers,
    stack: [usize; STACK_WORDS],
    words: usize,
}

impl Sample {
    const NEW: Self = Self {
        scheduler: std::ptr::null(),
        stack_end: 0,
        glimpse: None,
        registers: Registers([0; COUNT]),
        stack: [0; STACK_WORDS],
        words: 0,
    };
}

/// The registers of an interrupted thread, in the order of `processor`. All are zero where they
/// cannot be had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers(pub(super) [usize; COUNT]);

/// What a thread was doing.
pub(super) struct Seen {
    pub(super) glimpse: Option<Glimpse>,
    pub(super) registers: Registers,
    /// From the stack pointer on.
    pub(super) stack: Vec<usize>,
}

/// A thread to be sampled.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadId {
    tid: c_int,
    /// The highest address of its stack, and one.
    stack_end: usize,
}

impl ThreadId {
    /// The calling thread.
    pub(super) fn current() -> Self {
        Self { tid: gettid(), stack_end: stack_end().unwrap_or(0) }
    }

    /// What the thread has used so far.
    pub(super) fn usage(self) -> Usage {
        Usage { computed: self.cpu_time(), waited: self.waiting_time() }
    }

    fn cpu_time(self) -> Option<Duration> {
        // The clock of a thread: Linux, include/linux/posix-timers.h.
        let clock = !self.tid << 3 | 6;
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the pointer is valid for the call, which fills it in if it succeeds.
        if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: filled in.
        let time = unsafe { time.assume_init() };
        Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// How long it has waited for a processor: Documentation/scheduler/sched-stats.rst of Linux.
    fn waiting_time(self) -> Option<Duration> {
        let text = self.read("schedstat")?;
        text.split(' ').nth(1)?.parse().ok().map(Duration::from_nanos)
    }

    pub(super) fn state(self) -> State {
        let text = self.read("stat");
        // The name is in parentheses and may hold any character.
        let state = text.as_ref().and_then(|text| text.rsplit_once(") ")?.1.chars().next());
        match state {
            Some('R') => State::Runnable,
            Some('T' | 't') => State::Stopped,
            _ => State::Blocked,
        }
    }

    /// A file of proc(5) about it.
    fn read(self, file: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/self/task/{}/{file}", self.tid)).ok()
    }

    /// Samples what the thread does, which must be the loop's own.
    pub(super) fn sample(self, scheduler: &RemoteScheduler) -> Option<Seen> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = install()?;
        // SAFETY: this thread has the turn, and the state is `IDLE`.
        unsafe { (*SLOT.0.get()).ask(scheduler, self.stack_end) };
        TARGET.store(self.tid, Ordering::Relaxed);
        STATE.store(ASKED, Ordering::Release);
        let seen = self.send() && wait();
        // SAFETY: the state is `TAKEN`, and this thread has the turn.
        let seen = seen.then(|| unsafe { (*SLOT.0.get()).seen() });
        STATE.store(IDLE, Ordering::Release);
        restore(&before);
        seen
    }

    fn send(self) -> bool {
        let process = std::process::id();
        // SAFETY: the call takes three numbers. A thread that is gone is an error; one that has got
        // its number meanwhile is in this process, and finds that it is not meant or not itself.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, self.tid, SIGNAL) };
        if sent != 0 {
            STATE.store(IDLE, Ordering::Release);
        }
        sent == 0
    }
}

impl Sample {
    fn ask(&mut self, scheduler: *const RemoteScheduler, stack_end: usize) {
        (self.scheduler, self.stack_end) = (scheduler, stack_end);
        (self.glimpse, self.words) = (None, 0);
    }

    fn seen(&self) -> Seen {
        let stack = self.stack[..self.words].to_vec();
        Seen { glimpse: self.glimpse, registers: self.registers, stack }
    }

    /// In the handler.
    ///
    /// # Safety
    ///
    /// On the loop's thread, with the context that the system has given to the handler.
    unsafe fn take(&mut self, context: *const libc::ucontext_t) {
        // SAFETY: the asker keeps the scheduler alive until it has the answer.
        let scheduler = unsafe { &*self.scheduler };
        // SAFETY: the caller's promise.
        self.glimpse = unsafe { scheduler.glimpse() };
        // SAFETY: the caller's promise.
        self.registers = unsafe { processor::registers(context) };
        let from = self.registers.0[STACK_POINTER] & !(size_of::<usize>() - 1);
        // A stack pointer outside of this range is on a stack that other code has created.
        const NEAR: usize = 1 << 30;
        if from != 0 && (self.stack_end.saturating_sub(NEAR)..self.stack_end).contains(&from) {
            self.words = ((self.stack_end - from) / size_of::<usize>()).min(STACK_WORDS);
            let start = from as *const usize;
            for (place, word) in self.stack[..self.words].iter_mut().enumerate() {
                // SAFETY: between the stack pointer and the end of this thread's stack, where all
                // is mapped; `volatile`, since other frames own these bytes.
                *word = unsafe { start.wrapping_add(place).read_volatile() };
            }
        }
    }
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    if TARGET.load(Ordering::Relaxed) != gettid()
        || STATE.compare_exchange(ASKED, TAKING, Ordering::Acquire, Ordering::Relaxed).is_err()
    {
        return;
    }
    // SAFETY: the state is `TAKING`, so the slot is this call's.
    let sample = unsafe { &mut *SLOT.0.get() };
    // SAFETY: the thread that was asked for is the loop's own; with the handler's context.
    unsafe { sample.take(context.cast_const().cast()) };
    STATE.store(TAKEN, Ordering::Release);
}

/// Waits for the handler. False if it has not come, and will not any more.
fn wait() -> bool {
    let start = Instant::now();
    while STATE.load(Ordering::Acquire) != TAKEN {
        if start.elapsed() > TIMEOUT
            && STATE.compare_exchange(ASKED, IDLE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            return false;
        }
        thread::sleep(Duration::from_micros(200));
    }
    true
}

/// Puts our handler in place, unless the program has one. Returns what was there.
fn install() -> Option<libc::sigaction> {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    // SAFETY: all zeroes is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO | libc::SA_ONSTACK;
    let before = current_action()?;
    if !matches!(before.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
        return None;
    }
    // SAFETY: a valid action, whose handler keeps to what handlers may do.
    let result = unsafe { libc::sigaction(SIGNAL, &action, std::ptr::null_mut()) };
    (result == 0).then_some(before)
}

/// Takes our handler away, if it is still there.
fn restore(before: &libc::sigaction) {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    if current_action().is_some_and(|now| now.sa_sigaction == handler as libc::sighandler_t) {
        // SAFETY: the action that the system gave out.
        unsafe { libc::sigaction(SIGNAL, before, std::ptr::null_mut()) };
    }
}

fn current_action() -> Option<libc::sigaction> {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the pointer is valid for the call, which fills it in if it succeeds.
    let result = unsafe { libc::sigaction(SIGNAL, std::ptr::null(), now.as_mut_ptr()) };
    // SAFETY: filled in.
    (result == 0).then(|| unsafe { now.assume_init() })
}

fn gettid() -> c_int {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as c_int }
}

/// The end of the calling thread's stack.
fn stack_end() -> Option<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call takes nothing and cannot fail.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: of this thread, which exists; the pointer is valid, and filled in on success.
    if unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: filled in above; the pointers are valid for the call.
    let found =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut size) } == 0;
    // SAFETY: filled in above, and used no more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    found.then(|| low.addr() + size)
}
