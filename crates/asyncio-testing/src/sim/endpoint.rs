//! One end of a connection.
//!
//! Bytes are sent in segments, in order. If a segment is lost, because its link is cut when it
//! leaves or arrives, or if its answer is lost, the sender retries after a pause that doubles, as
//! TCP does, and gives up after a quarter of an hour. The receiver returns credit for the bytes
//! that it has read, so a peer that does not read stalls the writer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{LoopTime, LoopWaker};
use asyncio_net::{Address, ByteSource, ByteStream};

use super::link::Link;
use super::wire::{HostId, Wire};

/// The first pause before a segment is sent again, and the longest, as in Linux.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// When Linux gives up (`tcp_retries2` is 15).
const RETRANSMIT_LIMIT: Duration = Duration::from_millis(924_600);
/// How long a closed socket still accepts bytes: see asyncio-net's `lingering`.
const LINGERS: Duration = Duration::from_secs(30);
/// The most bytes of a segment.
const SEGMENT: usize = 16 * 1024;

/// One end, with its outgoing link.
pub(super) struct Endpoint {
    wire: Rc<Wire>,
    host: HostId,
    remote_host: HostId,
    local: Address,
    remote: Address,
    /// `None` after the connection has failed or both directions have ended.
    peer: RefCell<Option<Rc<Endpoint>>>,
    way: Rc<Link>,
    way_back: Rc<Link>,

    under_way: RefCell<VecDeque<Segment>>,
    /// The lost segments, and the ones after them.
    waiting: RefCell<VecDeque<Segment>>,
    /// Changes when the segments in transit are lost.
    generation: Cell<u32>,
    last_arrival: Cell<LoopTime>,
    /// Bytes that were accepted here and, as far as this end knows, not read by the peer.
    outstanding: Cell<usize>,
    /// Bytes that the peer has read, and when this end learns of it.
    credits: RefCell<VecDeque<(LoopTime, usize)>>,
    /// Credit whose message was lost.
    owed: Cell<usize>,
    trouble: Cell<Option<Trouble>>,
    troubles: Cell<u64>,

    inbox: RefCell<VecDeque<u8>>,
    heard_end: Cell<bool>,
    said_end: Cell<bool>,
    wrote: Cell<bool>,
    /// Until when this end accepts bytes although it is closed.
    closed: Cell<Option<LoopTime>>,
    failure: Cell<Option<ErrorKind>>,
    /// Called when the first segment arrives: the connection enters the queue of its server.
    enter: Cell<Option<Enter>>,

    reader: Cell<Option<LoopWaker>>,
    writer: Cell<Option<LoopWaker>>,
    watcher: Cell<Option<LoopWaker>>,
}

/// Accepts a new connection; false refuses it.
pub(super) type Enter = Box<dyn FnOnce(Rc<Endpoint>) -> bool>;

enum Segment {
    Begin,
    Bytes(Vec<u8>),
    End,
}

impl Segment {
    fn len(&self) -> usize {
        if let Self::Bytes(bytes) = self { bytes.len() } else { 0 }
    }
}

/// Whether a segment was lost.
#[derive(Clone, Copy)]
struct Trouble {
    number: u64,
    since: LoopTime,
    pause: Duration,
}

impl Endpoint {
    /// Both ends of a new connection. The second one calls `enter` when the first segment arrives.
    pub(super) fn pair(
        wire: &Rc<Wire>,
        (one, one_address): (HostId, Address),
        (two, two_address): (HostId, Address),
        enter: Enter,
    ) -> (Rc<Self>, Rc<Self>) {
        let (there, back) = (wire.link(one, two), wire.link(two, one));
        let addresses = (one_address.clone(), two_address.clone());
        let links = (Rc::clone(&there), Rc::clone(&back));
        let first = Self::new(wire, (one, two), addresses, links);
        let second = Self::new(wire, (two, one), (two_address, one_address), (back, there));
        first.peer.replace(Some(Rc::clone(&second)));
        second.peer.replace(Some(Rc::clone(&first)));
        second.enter.set(Some(enter));
        (first, second)
    }

    fn new(
        wire: &Rc<Wire>,
        (host, remote_host): (HostId, HostId),
        (local, remote): (Address, Address),
        (way, way_back): (Rc<Link>, Rc<Link>),
    ) -> Rc<Self> {
        Rc::new(Self {
            wire: Rc::clone(wire),
            host,
            remote_host,
            local,
            remote,
            peer: RefCell::default(),
            way,
            way_back,
            under_way: RefCell::default(),
            waiting: RefCell::default(),
            generation: Cell::default(),
            last_arrival: Cell::default(),
            outstanding: Cell::default(),
            credits: RefCell::default(),
            owed: Cell::default(),
            trouble: Cell::default(),
            troubles: Cell::default(),
            inbox: RefCell::default(),
            heard_end: Cell::default(),
            said_end: Cell::default(),
            wrote: Cell::default(),
            closed: Cell::default(),
            failure: Cell::default(),
            enter: Cell::default(),
            reader: Cell::default(),
            writer: Cell::default(),
            watcher: Cell::default(),
        })
    }

    pub(super) fn host(&self) -> HostId {
        self.host
    }

    pub(super) fn local(&self) -> &Address {
        &self.local
    }

    /// Whether the program has dropped this end.
    pub(super) fn is_gone(&self) -> bool {
        self.closed.get().is_some() || self.failure.get().is_some()
    }

    fn peer(&self) -> Option<Rc<Self>> {
        self.peer.borrow().clone()
    }
}

/// Sending.
impl Endpoint {
    /// Makes the peer's end enter the queue of its server.
    pub(super) fn begin(self: &Rc<Self>) {
        self.send(Segment::Begin);
    }

    fn send(self: &Rc<Self>, segment: Segment) {
        let waits = !self.waiting.borrow().is_empty();
        if waits {
            self.waiting.borrow_mut().push_back(segment);
        } else {
            self.transmit(segment);
        }
    }

    fn transmit(self: &Rc<Self>, segment: Segment) {
        if self.way.is_loopback() {
            return self.deliver(segment);
        }
        if !self.way.carries() {
            self.waiting.borrow_mut().push_back(segment);
            return self.begin_trouble();
        }
        let mut arrival = self.way.arrival(self.wire.now(), segment.len());
        let loss = self.way.traits().loss;
        let (from, to) = (&self.local, &self.remote);
        if self.wire.conductor().fault(loss, || format!("a segment {from} -> {to} is lost")) {
            arrival += FIRST_PAUSE;
        }
        let arrival = arrival.max(self.last_arrival.get());
        self.last_arrival.set(arrival);
        self.under_way.borrow_mut().push_back(segment);
        let (this, generation) = (Rc::clone(self), self.generation.get());
        self.wire.agenda().at(arrival, move || this.arrive(generation));
    }

    fn arrive(self: &Rc<Self>, generation: u32) {
        if generation != self.generation.get() {
            return;
        }
        let Some(segment) = self.under_way.borrow_mut().pop_front() else { return };
        if self.reaches_peer() {
            return self.deliver(segment);
        }
        // Later segments are lost as well, or arrive too early and are dropped.
        self.generation.set(generation + 1);
        let mut lost = VecDeque::from([segment]);
        lost.append(&mut self.under_way.borrow_mut());
        lost.append(&mut self.waiting.borrow_mut());
        self.waiting.replace(lost);
        self.begin_trouble();
    }

    fn reaches_peer(&self) -> bool {
        self.way.carries() && !self.wire.is_off(self.remote_host)
    }

    /// A segment has arrived at the peer's host.
    fn deliver(self: &Rc<Self>, segment: Segment) {
        let taken = self.peer().is_some_and(|peer| peer.receive(segment));
        if !self.way_back.carries() {
            return self.begin_trouble();
        }
        if !taken {
            return self.hear_reset();
        }
        self.trouble.set(None);
        self.settle();
    }

    /// The peer's host knows no such connection.
    fn hear_reset(self: &Rc<Self>) {
        let this = Rc::clone(self);
        let arrival = self.way_back.arrival(self.wire.now(), 0);
        self.wire.agenda().at(arrival, move || {
            if this.way_back.carries() {
                this.fail(ErrorKind::ConnectionReset);
            }
        });
    }

    /// Takes credit whose message was lost before.
    fn settle(&self) {
        let owed = self.owed.take();
        if owed > 0 {
            self.outstanding.set(self.outstanding.get() - owed);
            wake(&self.writer);
        }
    }

    fn begin_trouble(self: &Rc<Self>) {
        if self.trouble.get().is_some() || self.failure.get().is_some() {
            return;
        }
        let number = self.troubles.get() + 1;
        self.troubles.set(number);
        self.retry_later(Trouble { number, since: self.wire.now(), pause: FIRST_PAUSE });
    }

    fn retry_later(self: &Rc<Self>, trouble: Trouble) {
        self.trouble.set(Some(trouble));
        let this = Rc::clone(self);
        let when = self.wire.now() + trouble.pause;
        self.wire.agenda().at(when, move || {
            if this.trouble.get().is_some_and(|now| now.number == trouble.number) {
                this.retry(trouble);
            }
        });
    }

    fn retry(self: &Rc<Self>, trouble: Trouble) {
        if self.failure.get().is_some() {
            return self.trouble.set(None);
        }
        if self.wire.now() - trouble.since >= RETRANSMIT_LIMIT {
            return self.fail(ErrorKind::TimedOut);
        }
        let pause = (2 * trouble.pause).min(LONGEST_PAUSE);
        self.retry_later(Trouble { pause, ..trouble });
        if !self.reaches_peer() {
            return;
        }
        let lost = self.waiting.take();
        if lost.is_empty() {
            self.probe();
        }
        lost.into_iter().for_each(|segment| self.transmit(segment));
    }

    /// All bytes have reached the peer, but no answer has arrived.
    fn probe(self: &Rc<Self>) {
        if !self.way_back.carries() {
            return;
        }
        if self.peer().is_none() {
            return self.hear_reset();
        }
        self.trouble.set(None);
        self.settle();
    }

    /// The peer has read this many bytes.
    fn credit(self: &Rc<Self>, count: usize) {
        if count == 0 {
            return;
        }
        if self.way_back.is_loopback() {
            self.outstanding.set(self.outstanding.get() - count);
            return wake(&self.writer);
        }
        if !self.way_back.carries() {
            self.owed.set(self.owed.get() + count);
            if self.room() == 0 {
                self.begin_trouble();
            }
            return;
        }
        let now = self.wire.now();
        let mut known = self.way_back.arrival(now, 0);
        let mut credits = self.credits.borrow_mut();
        if let Some((last, _)) = credits.back() {
            known = known.max(*last);
        }
        credits.push_back((known, count));
        drop(credits);
        self.wake_writer_at(known);
    }

    /// Takes the credit that has arrived by now.
    fn take_credits(&self) {
        let now = self.wire.now();
        let mut credits = self.credits.borrow_mut();
        while let Some((_, count)) = credits.front().filter(|(known, _)| *known <= now) {
            self.outstanding.set(self.outstanding.get() - count);
            credits.pop_front();
        }
    }

    /// Wakes a writer that waits for room.
    fn wake_writer_at(self: &Rc<Self>, when: LoopTime) {
        let waits = self.writer.take();
        if waits.is_some() {
            self.writer.set(waits);
            let this = Rc::clone(self);
            self.wire.agenda().at(when, move || wake(&this.writer));
        }
    }

    /// If a credit message may have been lost, a writer that waits for room asks for credit.
    pub(super) fn look_after_writer(self: &Rc<Self>) {
        let waiter = self.writer.take();
        let waits = waiter.is_some();
        self.writer.set(waiter);
        if waits && self.room() == 0 && !self.is_gone() && self.is_unsure() {
            self.begin_trouble();
        }
    }

    /// Whether the peer may be gone or unreachable.
    fn is_unsure(&self) -> bool {
        self.peer.borrow().is_none() || !self.reaches_peer() || !self.way_back.carries()
    }

    fn room(&self) -> usize {
        self.take_credits();
        self.wire.window().saturating_sub(self.outstanding.get())
    }
}

/// Receiving.
impl Endpoint {
    /// Receives a segment. Returns false if there is no such connection.
    fn receive(self: &Rc<Self>, segment: Segment) -> bool {
        if self.failure.get().is_some() {
            return false;
        }
        if let Some(until) = self.closed.get() {
            return self.receive_late(&segment, until);
        }
        match segment {
            Segment::Begin => return self.enter.take().is_none_or(|enter| enter(Rc::clone(self))),
            Segment::Bytes(bytes) => self.inbox.borrow_mut().extend(bytes),
            Segment::End => self.heard_end.set(true),
        }
        wake(&self.reader);
        true
    }

    /// Receives a segment after the close.
    fn receive_late(self: &Rc<Self>, segment: &Segment, until: LoopTime) -> bool {
        match segment {
            Segment::Begin => true,
            Segment::End => {
                self.heard_end.set(true);
                self.part_if_done();
                true
            }
            Segment::Bytes(bytes) if self.wire.now() < until => {
                if let Some(peer) = self.peer() {
                    peer.credit(bytes.len());
                }
                true
            }
            Segment::Bytes(_) => {
                self.fail(ErrorKind::ConnectionReset);
                false
            }
        }
    }
}

/// The end.
impl Endpoint {
    fn say_end(self: &Rc<Self>) {
        if !self.said_end.replace(true) && self.failure.get().is_none() {
            self.send(Segment::End);
        }
    }

    pub(super) fn close(self: &Rc<Self>) {
        if self.is_gone() {
            return;
        }
        let unread = self.inbox.take().len();
        let lingers = !self.heard_end.get() && (unread > 0 || self.wrote.get());
        let now = self.wire.now();
        self.closed.set(Some(if lingers { now + LINGERS } else { now }));
        if let Some(peer) = self.peer() {
            peer.credit(unread);
        }
        self.say_end();
        self.wake_all();
        self.part_if_done();
    }

    /// Ends the connection immediately, with a reset.
    pub(super) fn abort(self: &Rc<Self>) {
        if self.failure.get().is_some() {
            return;
        }
        self.fail(ErrorKind::ConnectionAborted);
        let Some(peer) = self.peer().filter(|_| self.way.carries()) else { return };
        let arrival = self.way.arrival(self.wire.now(), 0).max(self.last_arrival.get());
        let this = Rc::clone(self);
        self.wire.agenda().at(arrival, move || {
            if this.reaches_peer() {
                peer.fail(ErrorKind::ConnectionReset);
            }
        });
    }

    /// Ends the connection with its host, without a message to the peer.
    pub(super) fn forget(&self) {
        self.fail(ErrorKind::ConnectionAborted);
    }

    fn fail(&self, kind: ErrorKind) {
        if self.failure.get().is_some() {
            return;
        }
        self.failure.set(Some(kind));
        self.waiting.take();
        self.enter.take();
        self.wake_all();
        if let Some(peer) = self.peer() {
            peer.part();
        }
    }

    fn wake_all(&self) {
        [&self.reader, &self.writer, &self.watcher].into_iter().for_each(wake);
    }

    /// Both directions have ended, so neither end needs the other.
    fn part_if_done(&self) {
        let is_done = |it: &Self| it.is_gone() && it.heard_end.get() && it.said_end.get();
        let Some(peer) = self.peer() else { return };
        if is_done(self) && is_done(&peer) {
            self.part();
            peer.part();
        }
    }

    /// Drops the reference to the peer.
    pub(super) fn part(&self) {
        let peer = self.peer.take();
        drop(peer);
    }
}

fn wake(waiter: &Cell<Option<LoopWaker>>) {
    if let Some(waiter) = waiter.take() {
        waiter.wake();
    }
}

/// The program's handle of an end.
pub(super) struct Stream(pub(super) Rc<Endpoint>);

impl Stream {
    fn check(&self) -> io::Result<()> {
        self.0.failure.get().map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl ByteSource for Stream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.poll_read_ready(cx)?.is_pending() {
            return Poll::Pending;
        }
        let count = self.0.inbox.borrow_mut().read(buffer)?;
        if count == 0 && !self.0.heard_end.get() && self.0.closed.get().is_none() {
            self.check()?;
        }
        if let Some(peer) = self.0.peer() {
            peer.credit(count);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = &self.0;
        let is_over = end.heard_end.get() || end.is_gone();
        if !is_over && end.inbox.borrow().is_empty() {
            end.reader.set(Some(LoopWaker::from_context(cx)));
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl ByteStream for Stream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check()?;
        let end = &self.0;
        if end.said_end.get() || end.closed.get().is_some() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = end.room();
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        end.wrote.set(true);
        let mut left = room;
        let mut segment = Vec::new();
        for slice in slices {
            let mut bytes = &slice[..slice.len().min(left)];
            left -= bytes.len();
            while !bytes.is_empty() {
                let (part, rest) = bytes.split_at(bytes.len().min(SEGMENT - segment.len()));
                segment.extend_from_slice(part);
                bytes = rest;
                if segment.len() == SEGMENT {
                    self.send(std::mem::take(&mut segment));
                }
            }
        }
        if !segment.is_empty() {
            self.send(segment);
        }
        Ok(room - left)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = &self.0;
        if end.is_gone() || end.said_end.get() || end.room() > 0 {
            return Poll::Ready(Ok(()));
        }
        end.writer.set(Some(LoopWaker::from_context(cx)));
        let known = end.credits.borrow().front().map(|(known, _)| *known);
        if let Some(known) = known {
            end.wake_writer_at(known);
        }
        end.look_after_writer();
        Poll::Pending
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(kind) = self.0.failure.get() {
            return Poll::Ready(kind.into());
        }
        self.0.watcher.set(Some(LoopWaker::from_context(cx)));
        Poll::Pending
    }

    fn write_eof(&self) -> io::Result<()> {
        self.check()?;
        self.0.say_end();
        Ok(())
    }

    fn close(&self) {
        self.0.close();
    }

    fn abort(&self) {
        if self.0.closed.get().is_none() {
            self.0.abort();
        }
    }

    fn local_address(&self) -> Address {
        self.0.local.clone()
    }

    fn peer_address(&self) -> Address {
        self.0.remote.clone()
    }
}

impl Stream {
    fn send(&self, bytes: Vec<u8>) {
        self.0.outstanding.set(self.0.outstanding.get() + bytes.len());
        self.0.send(Segment::Bytes(bytes));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local", &format_args!("{}", self.local))
            .field("remote", &format_args!("{}", self.remote))
            .finish_non_exhaustive()
    }
}
