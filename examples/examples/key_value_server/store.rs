//! The data of the server: values by key, some of which expire.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use asyncio::{Bytes, TimerHandle, running_loop};

/// All keys. The tasks of one loop share it without a lock, since no method awaits, and so no other
/// task runs in the middle of one.
#[derive(Default)]
pub struct Store {
    entries: RefCell<HashMap<Bytes, Entry>>,
    /// A reference to itself, for timers.
    this: Weak<Self>,
}

struct Entry {
    value: Bytes,
    /// Removes the entry when it expires.
    expiry: Option<Expiry>,
}

/// The loop's timer, which is dropped with the entry.
struct Expiry(TimerHandle);

impl Drop for Expiry {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The time to live of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum TimeToLive {
    NoSuchKey,
    Forever,
    For(Duration),
}

impl Store {
    pub fn new() -> Rc<Self> {
        Rc::new_cyclic(|this| Self { this: this.clone(), ..Self::default() })
    }

    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.entries.borrow().get(key).map(|entry| entry.value.clone())
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.entries.borrow().contains_key(key)
    }

    /// Sets a value, with or without an expiry.
    pub fn set(&self, key: Bytes, value: Bytes, ttl: Option<Duration>) {
        let expiry = ttl.map(|ttl| self.expire_later(&key, ttl));
        self.entries.borrow_mut().insert(key, Entry { value, expiry });
    }

    /// Changes a value, and keeps its expiry.
    pub fn replace(&self, key: Bytes, value: Bytes) {
        let mut entries = self.entries.borrow_mut();
        entries.entry(key).or_insert_with(|| Entry { value: Bytes::new(), expiry: None }).value =
            value;
    }

    /// Removes a key. Returns whether it existed.
    pub fn remove(&self, key: &[u8]) -> bool {
        self.entries.borrow_mut().remove(key).is_some()
    }

    /// Sets or removes the expiry of a key. Returns whether the key exists.
    pub fn expire(&self, key: &Bytes, ttl: Option<Duration>) -> bool {
        let expiry = ttl.map(|ttl| self.expire_later(key, ttl));
        match self.entries.borrow_mut().get_mut(key) {
            Some(entry) => {
                entry.expiry = expiry;
                true
            }
            None => false,
        }
    }

    pub fn time_to_live(&self, key: &[u8]) -> TimeToLive {
        match self.entries.borrow().get(key) {
            None => TimeToLive::NoSuchKey,
            Some(Entry { expiry: None, .. }) => TimeToLive::Forever,
            Some(Entry { expiry: Some(Expiry(timer)), .. }) => {
                TimeToLive::For(timer.when() - running_loop().time())
            }
        }
    }

    /// The keys that match a pattern, in order.
    pub fn keys(&self, pattern: &[u8]) -> Vec<Bytes> {
        let entries = self.entries.borrow();
        let mut keys: Vec<_> = entries.keys().filter(|key| fits(pattern, key)).cloned().collect();
        keys.sort();
        keys
    }

    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub fn clear(&self) {
        self.entries.borrow_mut().clear();
    }

    fn expire_later(&self, key: &Bytes, ttl: Duration) -> Expiry {
        let (store, key) = (self.this.clone(), key.clone());
        Expiry(running_loop().call_later(ttl, move || {
            if let Some(store) = store.upgrade() {
                store.remove(&key);
            }
        }))
    }
}

/// Whether `text` matches a pattern, in which `*` stands for any bytes and `?` for any one byte.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // The last `*`, and the end of the text that it matches.
    let mut star = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(expected) if *expected == b'?' || *expected == text[position] => {
                at += 1;
                position += 1;
            }
            // It has to match one byte more.
            _ => match &mut star {
                Some((star, end)) => {
                    *end += 1;
                    (at, position) = (*star + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}
