//! Random programs: polls, callbacks, wakers, destructors, supervisors and handlers each perform
//! the next action of a random sequence on a random object. AddressSanitizer detects invalid memory
//! accesses; a tally detects values that are dropped twice or never.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

use asyncio_loop::machinery::{Children, Supervisor, TaskControl, Verdict, with_running};
use asyncio_loop::{
    CallbackRef, CancelReason, Context as Variables, Deadline, EventLoop, LoopRef, LoopWaker,
    Outcome, RawTask, TaskOptions, TaskRef, TimerHandle, context_var,
};

use crate::support::{Counted, Tally, event_loop};

/// The number of programs, and the number of actions in each.
const PROGRAMS: u64 = if cfg!(miri) { 2 } else { 250 };
const BUDGET: u32 = 400;
/// How many objects of a kind are kept; one more drops the oldest.
const KEPT: usize = 12;
/// The limit of nested calls.
const DEEPEST: u32 = 6;

/// The state of a program: its budget and its objects.
#[derive(Default)]
struct World {
    random: u64,
    budget: u32,
    depth: u32,
    loops: Vec<EventLoop>,
    refs: Vec<LoopRef>,
    sets: Vec<Rc<Children<'static>>>,
    handles: Vec<RawTask<Toy>>,
    tasks: Vec<TaskRef>,
    wakers: Vec<Waker>,
    local_wakers: Vec<LoopWaker>,
    callbacks: Vec<CallbackRef>,
    timers: Vec<TimerHandle>,
    deadlines: Vec<Deadline>,
    contexts: Vec<Variables>,
}

/// Selects the list of one kind of object.
type List<T> = fn(&mut World) -> &mut Vec<T>;

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
    static TALLY: Tally = Tally::new();
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

context_var! { local static VALUE: Rc<Toy>; }

/// The next number of a xorshift generator, below `below`.
fn random(below: usize) -> usize {
    WORLD.with_borrow_mut(|world| {
        world.random ^= world.random << 13;
        world.random ^= world.random >> 7;
        world.random ^= world.random << 17;
        (world.random >> 11) as usize % below
    })
}

fn one_in(times: usize) -> bool {
    random(times) == 0
}

/// Removes a random object from the list, so that no nested action finds it while it is used.
fn take<T>(list: List<T>) -> Option<T> {
    let len = WORLD.with_borrow_mut(|world| list(world).len());
    let at = random(len.max(1));
    WORLD.with_borrow_mut(|world| (at < len).then(|| list(world).swap_remove(at)))
}

fn give<T>(list: List<T>, thing: T) {
    let oldest = WORLD.with_borrow_mut(|world| {
        let list = list(world);
        list.push(thing);
        (list.len() > KEPT).then(|| list.swap_remove(0))
    });
    drop(oldest);
}

fn copy<T: Clone>(list: List<T>) -> Option<T> {
    let thing = take(list)?;
    give(list, thing.clone());
    Some(thing)
}

/// A value whose destructor performs an action.
struct Toy(Counted);

impl Toy {
    fn new() -> Self {
        Self(TALLY.with(Tally::counted))
    }

    /// Performs an action; the value must be alive before and after it.
    fn act(&self) {
        self.0.check();
        act();
        self.0.check();
        panic_sometimes();
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.act();
    }
}

fn panic_sometimes() {
    if PANICS.get() && !thread::panicking() && one_in(40) {
        panic!("chaos");
    }
}

/// A future that performs an action at each poll.
struct Busy {
    toy: Toy,
    polls: usize,
    held: Vec<RawTask<Toy>>,
}

impl Busy {
    fn new() -> Self {
        Self { toy: Toy::new(), polls: 1 + random(3), held: Vec::new() }
    }

    fn use_context(&mut self, cx: &Context<'_>) {
        match random(8) {
            0 => give(|w| &mut w.wakers, cx.waker().clone()),
            1 => give(|w| &mut w.local_wakers, LoopWaker::from_context(cx)),
            2 => cx.waker().wake_by_ref(),
            3 => await_something(cx),
            4 => {
                if let Some(set) = copy(|w| &mut w.sets) {
                    set.set_waker(cx);
                }
            }
            5 => self.held.extend(take(|w| &mut w.handles)),
            6 => drop(VALUE.set(Rc::new(Toy::new()))),
            _ => {}
        }
    }
}

impl Future for Busy {
    type Output = Toy;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Toy> {
        self.use_context(cx);
        self.toy.act();
        self.polls -= 1;
        if self.polls == 0 { Poll::Ready(Toy::new()) } else { Poll::Pending }
    }
}

fn await_something(cx: &Context<'_>) {
    let Some(mut handle) = take(|w| &mut w.handles) else { return };
    let current = with_running(|event_loop| event_loop.stepped_task()).ok().flatten();
    if !handle.task().is_done() && current.as_ref() != Some(handle.task()) {
        if one_in(2) {
            drop(handle.poll_linked(cx));
        } else {
            drop(handle.poll_join(cx));
        }
    }
    give(|w| &mut w.handles, handle);
}

/// A waker of another executor; each of its functions performs an action.
static VTABLE: RawWakerVTable = {
    /// # Safety
    ///
    /// `data` is of a waker, whose count passes to the result.
    unsafe fn toy(data: *const ()) -> Rc<Toy> {
        // SAFETY: made by `Rc::into_raw`, in `foreign_waker` or in `clone`.
        unsafe { Rc::from_raw(data.cast()) }
    }
    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: not dropped, so the count stays the waker's.
        let toy = ManuallyDrop::new(unsafe { toy(data) });
        act();
        RawWaker::new(Rc::into_raw(Rc::clone(&toy)).cast(), &VTABLE)
    }
    unsafe fn wake(data: *const ()) {
        // SAFETY: the waker's own count, which ends here.
        unsafe { toy(data) }.act();
    }
    unsafe fn wake_by_ref(data: *const ()) {
        // SAFETY: not dropped, so the count stays the waker's.
        let toy = ManuallyDrop::new(unsafe { toy(data) });
        // As an executor does, it keeps what it uses.
        Rc::clone(&toy).act();
    }
    unsafe fn release(data: *const ()) {
        // SAFETY: the waker's own count, which ends here.
        drop(unsafe { toy(data) });
    }
    RawWakerVTable::new(clone, wake, wake_by_ref, release)
};

fn foreign_waker() -> Waker {
    let toy = Rc::new(Toy::new());
    // SAFETY: the functions fit the data; these wakers stay on this thread.
    unsafe { Waker::new(Rc::into_raw(toy).cast(), &VTABLE) }
}

struct Boss(Toy);

impl Boss {
    fn verdict(&self) -> Verdict {
        self.0.act();
        if one_in(4) { Verdict::End } else { Verdict::Continue }
    }
}

impl Supervisor for Boss {
    fn before_poll(self: Rc<Self>) -> Verdict {
        self.verdict()
    }

    fn after_poll(self: Rc<Self>, _ready: bool) -> Verdict {
        self.verdict()
    }

    fn ended(self: Rc<Self>) {
        self.0.act();
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

fn options() -> TaskOptions {
    let mut options = TaskOptions::new().eager_start(one_in(3));
    if one_in(4) {
        options = options.name("named");
    }
    match copy(|w| &mut w.contexts) {
        Some(context) if one_in(2) => options.context(&context),
        _ if one_in(8) => options.hidden(),
        _ => options,
    }
}

fn delay() -> Duration {
    Duration::from_micros(random(50) as u64)
}

/// Performs the next action, if the budget allows one.
fn act() {
    /// Counts nested calls, and counts down when they return or unwind.
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            WORLD.with_borrow_mut(|world| world.depth -= 1);
        }
    }
    let goes = WORLD.with_borrow_mut(|world| {
        let goes = world.budget > 0 && world.depth < DEEPEST;
        world.budget -= u32::from(goes);
        world.depth += u32::from(goes);
        goes
    });
    if !goes {
        return;
    }
    let _inside = Inside;
    match random(32) {
        0..4 => work_on_loops(),
        4..8 => make_a_task(),
        8..14 => work_on_sets(),
        14..19 => work_on_handles(),
        19..23 => work_on_tasks(),
        23..26 => work_on_wakers(),
        26..29 => work_on_callbacks(),
        _ => work_on_deadlines(),
    }
}

fn work_on_loops() {
    let Some(event_loop) = copy(|w| &mut w.refs) else { return };
    match random(10) {
        0 => make_a_loop(),
        1..4 => run(&event_loop),
        4 if one_in(4) => drop(take(|w| &mut w.loops)),
        5 if one_in(4) => {
            let _while_it_runs = event_loop.close();
        }
        6 => event_loop.at_turn_end(Rc::new(act)),
        7 => event_loop.set_task_factory(Some(Rc::new(|_, _| act()))),
        8 => {
            let toy = Toy::new();
            event_loop.set_exception_handler(Some(Rc::new(move |_, _| toy.act())));
        }
        _ => {
            let handle = event_loop.handle();
            let call = move || handle.call_soon_threadsafe(act).is_ok();
            let _unless_it_is_closed = thread::spawn(call).join().unwrap();
        }
    }
}

fn make_a_loop() {
    let new = event_loop();
    new.set_exception_handler(Some(Rc::new(|_, _| act())));
    give(|w| &mut w.refs, new.loop_ref());
    give(|w| &mut w.loops, new);
}

fn run(event_loop: &LoopRef) {
    let mut turns = 0;
    let main = poll_fn(|cx| {
        cx.waker().wake_by_ref();
        act();
        if one_in(30) {
            event_loop.stop();
        }
        turns += 1;
        if turns > 5 { Poll::Ready(()) } else { Poll::Pending }
    });
    let _unless_one_runs = event_loop.run_until_complete(main);
}

fn make_a_task() {
    let Some(event_loop) = copy(|w| &mut w.refs) else { return };
    if let Ok(handle) = event_loop.spawn(Busy::new(), options()) {
        give(|w| &mut w.tasks, handle.task().clone());
        give(|w| &mut w.handles, handle);
    }
}

fn work_on_sets() {
    if one_in(6) {
        if let Some(event_loop) = copy(|w| &mut w.refs) {
            give(|w| &mut w.sets, Rc::new(Children::new(&event_loop)));
        }
    }
    let Some(set) = copy(|w| &mut w.sets) else { return };
    match random(6) {
        0 | 1 => {
            let handle = set.spawn(Busy::new(), options());
            give(|w| &mut w.tasks, handle.task().clone());
            give(|w| &mut w.handles, handle);
        }
        2 | 3 => while set.step() && !one_in(3) {},
        4 => set.set_waker(&Context::from_waker(&foreign_waker())),
        _ => drop(take(|w| &mut w.sets)),
    }
    assert!(set.live() >= set.tasks().len());
}

fn work_on_handles() {
    let Some(mut handle) = take(|w| &mut w.handles) else { return };
    match random(4) {
        0 => drop(handle.take()),
        1 => return drop(handle),
        2 => {
            if let Some(Outcome::Value(toy)) = handle.peek() {
                toy.act();
            }
        }
        _ => await_it(&mut handle),
    }
    give(|w| &mut w.handles, handle);
}

/// Awaits a task of the running loop. (Awaiting a task of another loop panics.)
fn await_it(handle: &mut RawTask<Toy>) {
    let own = handle.task().event_loop();
    let is_here = with_running(|running| own.as_ref() == Some(running)).unwrap_or(true);
    if is_here && !handle.task().is_done() {
        drop(handle.poll_join(&Context::from_waker(&foreign_waker())));
    }
}

fn work_on_tasks() {
    let Some(task) = copy(|w| &mut w.tasks) else { return };
    match random(5) {
        0 => task.wake(),
        1 => {
            task.request_cancel();
            task.add_request(CancelReason::new("chaos"));
        }
        2 => {
            let boss = Rc::new(Boss(Toy::new()));
            drop(task.set_supervisor((!one_in(3)).then_some(boss)));
        }
        3 => {
            if let Some(callback) = copy(|w| &mut w.callbacks) {
                task.on_done(callback);
            }
        }
        _ => {
            assert!(!format!("{task:?}").is_empty());
            drop((task.awaited(), task.stepper(), task.context(), task.event_loop()));
        }
    }
}

fn work_on_wakers() {
    if let Some(waker) = take(|w| &mut w.wakers) {
        match random(4) {
            0 => waker.wake(),
            1 => drop(waker),
            2 => thread::spawn(move || waker.wake()).join().unwrap(),
            _ => {
                waker.wake_by_ref();
                give(|w| &mut w.wakers, waker);
            }
        }
    }
    if let Some(waker) = take(|w| &mut w.local_wakers) {
        match random(3) {
            0 => waker.wake(),
            1 => drop(waker),
            _ => {
                waker.wake_by_ref();
                give(|w| &mut w.local_wakers, waker);
            }
        }
    }
}

fn work_on_callbacks() {
    let Some(event_loop) = copy(|w| &mut w.refs) else { return };
    let toy = Toy::new();
    let call = move || toy.act();
    match random(5) {
        0 => drop(event_loop.call_soon(call)),
        1 => give(|w| &mut w.timers, event_loop.call_later(delay(), call)),
        2 => give(|w| &mut w.callbacks, event_loop.callback(call)),
        3 => {
            if let Some(timer) = take(|w| &mut w.timers) {
                timer.cancel();
            }
        }
        _ => {
            if let Some(callback) = copy(|w| &mut w.callbacks) {
                if one_in(2) { callback.schedule() } else { callback.cancel() }
            }
        }
    }
}

fn work_on_deadlines() {
    if let Some(deadline) = take(|w| &mut w.deadlines).filter(|_| one_in(2)) {
        deadline.set_waker(&Context::from_waker(&foreign_waker()));
        give(|w| &mut w.deadlines, deadline);
    }
    let Some(event_loop) = copy(|w| &mut w.refs) else { return };
    let waker = match copy(|w| &mut w.local_wakers) {
        Some(waker) if one_in(2) => waker,
        _ => LoopWaker::from_waker(&foreign_waker()),
    };
    give(|w| &mut w.deadlines, event_loop.wake_at(event_loop.time() + delay(), waker));
    let context = Variables::new();
    context.run(|| drop(VALUE.set(Rc::new(Toy::new()))));
    give(|w| &mut w.contexts, context);
}

/// Calls `f`, and catches the panics that this test makes on purpose.
fn quietly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        if payload.downcast_ref() != Some(&"chaos") {
            resume_unwind(payload);
        }
    }
}

/// Drops all objects, one by one.
fn clear() {
    fn drop_each<T>(list: List<T>) -> bool {
        let things = WORLD.with_borrow_mut(|world| std::mem::take(list(world)));
        let any = !things.is_empty();
        things.into_iter().for_each(|thing| quietly(|| drop(thing)));
        any
    }
    while drop_each(|w| &mut w.wakers)
        | drop_each(|w| &mut w.handles)
        | drop_each(|w| &mut w.local_wakers)
        | drop_each(|w| &mut w.deadlines)
        | drop_each(|w| &mut w.callbacks)
        | drop_each(|w| &mut w.timers)
        | drop_each(|w| &mut w.loops)
        | drop_each(|w| &mut w.sets)
        | drop_each(|w| &mut w.refs)
        | drop_each(|w| &mut w.tasks)
        | drop_each(|w| &mut w.contexts)
    {}
}

fn program(seed: u64, panics: bool) {
    WORLD.with_borrow_mut(|world| {
        world.random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        world.budget = BUDGET;
    });
    PANICS.set(panics);
    quietly(make_a_loop);
    while WORLD.with_borrow(|world| world.budget) > 0 {
        quietly(act);
    }
    PANICS.set(false);
    clear();
    TALLY.with(Tally::expect_all_dropped);
}

/// Runs each program on a thread of its own.
fn programs(panics: bool) {
    for seed in 1..=PROGRAMS {
        let result = thread::spawn(move || program(seed, panics)).join();
        assert!(result.is_ok(), "program {seed}");
    }
}

#[test]
fn programs_of_random_calls_come_to_no_harm() {
    programs(false);
}

#[test]
fn programs_of_random_calls_and_panics_come_to_no_harm() {
    programs(true);
}
