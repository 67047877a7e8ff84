//! Queues against simple models, and nothing lost when futures are dropped at random.

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use asyncio_sync::{BaseQueue, LifoQueue, Order, PriorityQueue, Queue, TryGetError, TryPutError};
use common::{Id, Turns};
use proptest::prelude::*;

/// The order of a queue, without waiting.
trait Model {
    fn push(&mut self, item: u8);
    fn pop(&mut self) -> Option<u8>;
    fn len(&self) -> usize;
}

impl Model for VecDeque<u8> {
    fn push(&mut self, item: u8) {
        self.push_back(item);
    }
    fn pop(&mut self) -> Option<u8> {
        self.pop_front()
    }
    fn len(&self) -> usize {
        self.len()
    }
}

impl Model for Vec<u8> {
    fn push(&mut self, item: u8) {
        self.push(item);
    }
    fn pop(&mut self) -> Option<u8> {
        self.pop()
    }
    fn len(&self) -> usize {
        self.len()
    }
}

/// A model of a priority queue: the count of each item, smallest first.
#[derive(Default)]
struct Sorted(BTreeMap<u8, usize>);

impl Model for Sorted {
    fn push(&mut self, item: u8) {
        *self.0.entry(item).or_default() += 1;
    }
    fn pop(&mut self) -> Option<u8> {
        let mut smallest = self.0.first_entry()?;
        let item = *smallest.key();
        *smallest.get_mut() -= 1;
        if *smallest.get() == 0 {
            smallest.remove();
        }
        Some(item)
    }
    fn len(&self) -> usize {
        self.0.values().sum()
    }
}

fn follows(queue: &BaseQueue<u8, impl Order<u8>>, mut model: impl Model, steps: &[Option<u8>]) {
    let maxsize = queue.maxsize().expect("bounded");
    for &step in steps {
        match step {
            Some(item) if model.len() == maxsize => {
                assert_eq!(queue.put_nowait(item), Err(TryPutError::Full(item)));
            }
            Some(item) => {
                model.push(item);
                assert_eq!(queue.put_nowait(item), Ok(()));
            }
            None => {
                assert_eq!(queue.get_nowait(), model.pop().ok_or(TryGetError::Empty));
            }
        }
        assert_eq!(queue.len(), model.len());
        assert_eq!(queue.is_full(), model.len() == maxsize);
    }
}

proptest! {
    #[test]
    fn orders_are_those_of_the_models(
        maxsize in 1_usize..20,
        steps in prop::collection::vec(prop::option::weighted(0.6, any::<u8>()), 0..200),
    ) {
        follows(&Queue::bounded(maxsize), VecDeque::new(), &steps);
        follows(&LifoQueue::bounded(maxsize), Vec::new(), &steps);
        follows(&PriorityQueue::bounded(maxsize), Sorted::default(), &steps);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A task that puts the next number.
    Put,
    /// A task that gets one.
    Get,
    PutNowait,
    GetNowait,
    /// Cancels the n-th task.
    Cancel(usize),
    /// Polls the ready tasks.
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Put),
        3 => Just(Step::Get),
        1 => Just(Step::PutNowait),
        1 => Just(Step::GetNowait),
        3 => any::<usize>().prop_map(Step::Cancel),
        3 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 0..80)
}

/// A queue, its tasks, and a record of every item.
struct World<O> {
    turns: Turns,
    queue: Rc<BaseQueue<u32, O>>,
    tasks: Vec<Id>,
    items: u32,
    put: Rc<RefCell<Vec<u32>>>,
    got: Rc<RefCell<Vec<u32>>>,
}

impl<O: Order<u32> + 'static> World<O> {
    fn new(maxsize: usize) -> Self {
        Self {
            turns: Turns::new(),
            queue: Rc::new(BaseQueue::bounded(maxsize)),
            tasks: vec![],
            items: 0,
            put: Rc::default(),
            got: Rc::default(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Put => {
                let (queue, put, item) = (self.queue.clone(), self.put.clone(), self.next_item());
                self.tasks.push(self.turns.spawn(async move {
                    queue.put(item).await.expect("open");
                    put.borrow_mut().push(item);
                }));
            }
            Step::Get => {
                let (queue, got) = (self.queue.clone(), self.got.clone());
                self.tasks.push(self.turns.spawn(async move {
                    let item = queue.get().await.expect("open");
                    got.borrow_mut().push(item);
                }));
            }
            Step::PutNowait => {
                let item = self.next_item();
                if self.queue.put_nowait(item).is_ok() {
                    self.put.borrow_mut().push(item);
                }
            }
            Step::GetNowait => self.got.borrow_mut().extend(self.queue.get_nowait().ok()),
            Step::Cancel(n) if !self.tasks.is_empty() => {
                self.turns.cancel(self.tasks[n % self.tasks.len()]);
            }
            Step::Cancel(_) => {}
            Step::Turn => drop(self.turns.turn()),
        }
    }

    fn next_item(&mut self) -> u32 {
        self.items += 1;
        self.items
    }

    /// Once no task is ready, no task waits for an item that is there, and no item is lost.
    fn check(self) {
        self.turns.run();
        let state = format!("{:?}", self.queue);
        assert!(self.queue.is_empty() || state.contains("getters: 0"), "{state}");
        assert!(self.queue.is_full() || state.contains("putters: 0"), "{state}");
        assert_eq!(self.queue.unfinished(), self.put.borrow().len());
        let left = std::iter::from_fn(|| self.queue.get_nowait().ok());
        let mut out: Vec<_> = self.got.borrow().iter().copied().chain(left).collect();
        let mut put = self.put.borrow().clone();
        out.sort_unstable();
        put.sort_unstable();
        assert_eq!(out, put);
    }
}

fn conserves<O: Order<u32> + 'static>(maxsize: usize, steps: &[Step]) {
    let mut world = World::<O>::new(maxsize);
    for &step in steps {
        world.step(step);
    }
    world.check();
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_or_kept_from_anybody(
        maxsize in 1_usize..4,
        steps in steps(),
    ) {
        conserves::<asyncio_sync::Fifo<u32>>(maxsize, &steps);
        conserves::<asyncio_sync::Lifo<u32>>(maxsize, &steps);
        conserves::<asyncio_sync::Priority<u32>>(maxsize, &steps);
    }

    /// Tasks that are not cancelled are served in the order in which they were made. The queue has
    /// one slot, so that each item is reserved for a waiter at once.
    #[test]
    fn those_who_stay_are_served_in_order(
        steps in prop::collection::vec(prop_oneof![
            Just(Step::Put), Just(Step::Get), Just(Step::Turn),
        ], 0..80),
    ) {
        let mut world = World::<asyncio_sync::Fifo<u32>>::new(1);
        for step in steps {
            world.step(step);
        }
        world.turns.run();
        let got = world.got.borrow();
        prop_assert!(got.is_sorted(), "{got:?}");
    }
}
