//! Broadcast channels: which receiver gets which value, and which values are kept.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use asyncio_sync::broadcast::{self, Receiver, RecvError, Sender, TryRecvError};
use common::{Id, Log, Turns, poll};
use futures::executor::block_on;
use proptest::prelude::*;

#[test]
fn every_receiver_gets_every_value_in_order() {
    let (sender, mut first) = broadcast::channel(8);
    let mut second = sender.subscribe();
    for n in 0..5 {
        assert_eq!(sender.send(n), Ok(2));
    }
    for n in 0..5 {
        assert_eq!(first.try_recv(), Ok(n));
        assert_eq!(second.try_recv(), Ok(n));
    }
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_slow_receiver_is_told_how_many_values_it_missed() {
    let (sender, mut slow) = broadcast::channel(3);
    let mut quick = sender.subscribe();
    for n in 0..10 {
        sender.send(n).unwrap();
        assert_eq!(quick.try_recv(), Ok(n));
    }
    assert_eq!(slow.len(), 10);
    assert_eq!(block_on(slow.recv()), Err(RecvError::Lagged(7)));
    assert_eq!(block_on(slow.recv()), Ok(7));
    assert_eq!(slow.len(), 2);
}

#[test]
fn waiting_receivers_are_all_woken_by_one_value() {
    let (turns, log) = (Turns::new(), Log::new());
    let (sender, _keep) = broadcast::channel(4);
    for name in 0..3 {
        let (mut receiver, log) = (sender.subscribe(), log.clone());
        turns.spawn(async move {
            while let Ok(value) = receiver.recv().await {
                log.push((name, value));
            }
            log.push((name, "closed"));
        });
    }
    turns.run();
    sender.send("a").unwrap();
    turns.run();
    assert_eq!(log.take(), [(0, "a"), (1, "a"), (2, "a")]);
    drop(sender);
    turns.run();
    assert_eq!(log.take(), [(0, "closed"), (1, "closed"), (2, "closed")]);
}

#[test]
fn a_dropped_wait_reads_nothing() {
    let (sender, mut receiver) = broadcast::channel(4);
    let mut waiting = Box::pin(receiver.recv());
    assert!(poll(waiting.as_mut()).is_pending());
    sender.send(1).unwrap();
    drop(waiting);
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn without_receivers_a_value_comes_back() {
    let (sender, receiver) = broadcast::channel(4);
    drop(receiver);
    assert_eq!(sender.send(7).unwrap_err().into_inner(), 7);
    let mut late = sender.subscribe();
    sender.send(8).unwrap();
    assert_eq!(late.try_recv(), Ok(8));
}

/// A value that counts how many of its kind are alive.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(alive: &Rc<Cell<usize>>) -> Self {
        alive.set(alive.get() + 1);
        Self(Rc::clone(alive))
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[test]
fn a_value_is_dropped_once_every_receiver_has_read_it_or_is_gone() {
    let alive = Rc::new(Cell::new(0));
    let (sender, mut first) = broadcast::channel(4);
    let second = sender.subscribe();
    sender.send(Counted::new(&alive)).unwrap();
    sender.send(Counted::new(&alive)).unwrap();
    drop(first.try_recv().ok());
    assert_eq!(alive.get(), 2);
    drop(second);
    assert_eq!(alive.get(), 1, "the second value waits for the first receiver");
    drop(first.try_recv().ok());
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_destructor_may_send() {
    struct Echo(Option<Sender<Option<Rc<Echo>>>>);
    impl Drop for Echo {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.send(None).unwrap();
            }
        }
    }
    let (sender, mut receiver) = broadcast::channel(1);
    sender.send(Some(Rc::new(Echo(Some(sender.clone()))))).unwrap();
    sender.send(None).unwrap();
    // Dropping the first value sent a third one, which evicted the second.
    assert!(matches!(receiver.try_recv(), Err(TryRecvError::Lagged(2))));
    assert!(matches!(receiver.try_recv(), Ok(None)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Subscribe,
    /// Clones the n-th receiver.
    Clone(usize),
    /// Drops the n-th receiver.
    Drop(usize),
    TryRecv(usize),
    /// A task that takes the n-th receiver, reads one value, and gives the receiver back.
    Recv(usize),
    /// Cancels the n-th task.
    Cancel(usize),
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Send),
        1 => Just(Step::Subscribe),
        1 => any::<usize>().prop_map(Step::Clone),
        1 => any::<usize>().prop_map(Step::Drop),
        3 => any::<usize>().prop_map(Step::TryRecv),
        3 => any::<usize>().prop_map(Step::Recv),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 0..60)
}

type Shared<T> = Rc<RefCell<T>>;

/// A receiver, and the number of the value that the model expects it to read next. A slow receiver
/// misses some.
struct Reader {
    receiver: Receiver<Rc<u64>>,
    next: u64,
}

struct World {
    turns: Turns,
    capacity: u64,
    sender: Sender<Rc<u64>>,
    /// Weak references to the sent values, which show the values that the channel keeps.
    sent: VecDeque<std::rc::Weak<u64>>,
    readers: Vec<Shared<Option<Reader>>>,
    tasks: Vec<Id>,
}

impl World {
    fn reader(&self, n: usize) -> Option<Shared<Option<Reader>>> {
        self.readers.get(n % self.readers.len().max(1)).cloned()
    }

    fn end(&self) -> u64 {
        self.sent.len() as u64
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send => {
                let value = Rc::new(self.end());
                let kept = Rc::downgrade(&value);
                if self.sender.send(value).is_ok() {
                    self.sent.push_back(kept);
                } else {
                    assert_eq!(self.sender.receiver_count(), 0);
                }
            }
            Step::Subscribe => {
                let reader = Reader { receiver: self.sender.subscribe(), next: self.end() };
                self.readers.push(Rc::new(RefCell::new(Some(reader))));
            }
            Step::Clone(n) => {
                let Some(reader) = self.reader(n) else { return };
                let copy = reader
                    .borrow()
                    .as_ref()
                    .map(|reader| Reader { receiver: reader.receiver.clone(), next: reader.next });
                self.readers.extend(copy.map(|copy| Rc::new(RefCell::new(Some(copy)))));
            }
            Step::Drop(n) => {
                if let Some(reader) = self.reader(n) {
                    drop(reader.borrow_mut().take());
                }
            }
            Step::TryRecv(n) => {
                let Some(reader) = self.reader(n) else { return };
                if let Some(reader) = &mut *reader.borrow_mut() {
                    let got = reader.receiver.try_recv();
                    let got = match got {
                        Ok(value) => Ok(*value),
                        Err(TryRecvError::Lagged(missed)) => Err(missed),
                        Err(other) => {
                            assert_eq!(other, TryRecvError::Empty);
                            assert_eq!(reader.next, self.end());
                            return;
                        }
                    };
                    check(reader, got, self.end(), self.capacity);
                }
            }
            Step::Recv(n) => self.spawn_recv(n),
            Step::Cancel(n) => {
                if !self.tasks.is_empty() {
                    self.turns.cancel(self.tasks[n % self.tasks.len()]);
                }
            }
            Step::Turn => drop(self.turns.turn()),
        }
        self.check_what_is_kept();
    }

    fn spawn_recv(&mut self, n: usize) {
        let Some(place) = self.reader(n) else { return };
        let Some(mut reader) = place.borrow_mut().take() else { return };
        self.tasks.push(self.turns.spawn(async move {
            let got = reader.receiver.recv().await;
            match got {
                Ok(ref value) => assert_eq!(**value, reader.next),
                Err(RecvError::Lagged(missed)) => reader.next += missed,
                Err(RecvError::Closed) => return,
            }
            reader.next += u64::from(got.is_ok());
            *place.borrow_mut() = Some(reader);
        }));
    }

    /// The channel keeps no more values than its capacity.
    fn check_what_is_kept(&self) {
        let kept = self.sent.iter().filter(|value| value.upgrade().is_some()).count();
        assert!(kept as u64 <= self.capacity);
    }
}

fn check(reader: &mut Reader, got: Result<u64, u64>, end: u64, capacity: u64) {
    let oldest = end.saturating_sub(capacity);
    match got {
        Ok(value) => {
            assert!(reader.next >= oldest);
            assert_eq!(value, reader.next);
            reader.next += 1;
        }
        Err(missed) => {
            assert_eq!(missed, oldest - reader.next);
            reader.next = oldest;
        }
    }
}

proptest! {
    #[test]
    fn receivers_agree_with_a_model(capacity in 1_u64..6, steps in steps()) {
        let (sender, first) = broadcast::channel(usize::try_from(capacity).unwrap());
        let first = Reader { receiver: first, next: 0 };
        let mut world = World {
            turns: Turns::new(),
            capacity,
            sender,
            sent: VecDeque::new(),
            readers: vec![Rc::new(RefCell::new(Some(first)))],
            tasks: vec![],
        };
        for step in steps {
            world.step(step);
        }
        // Every waiting receiver has got the sent values, and without receivers nothing is kept.
        world.turns.run();
        for task in world.tasks.drain(..) {
            world.turns.cancel(task);
        }
        world.readers.clear();
        prop_assert!(world.sent.iter().all(|value| value.upgrade().is_none()));
        prop_assert_eq!(world.sender.receiver_count(), 0);
    }
}
