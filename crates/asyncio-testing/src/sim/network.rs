//! The public interface of the network, its hosts and links.

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::Location;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::{LoopTime, LoopWaker, running_loop};
use asyncio_net::machinery::set_sockets;

use super::fleet::Fleet;
use super::link::Traits;
use super::machine::{Machine, Program};
use super::sockets::{HostSockets, Net};
use super::wire::{HostId, Wire};
use crate::conductor::Conductor;
use crate::outcome::TestOutcome;

/// A simulated network, in a test with seeds.
///
/// Once it is created, `open_connection`, `start_server`, datagram endpoints, Unix sockets,
/// `getaddrinfo` and everything built on them use it instead of the system's sockets, on the loop
/// of the test and on the loops of its [hosts](Self::host). The programs need no changes for that.
///
/// The body of the test is also the program of a host, with the name `test`. All hosts run on one
/// thread and one virtual clock, each with a loop of its own. The seed decides the delays of
/// packets, and which host runs first. The hosts have the addresses 10.0.0.1, 10.0.0.2 and so on,
/// in order of creation, and their names resolve to these addresses.
///
/// A host that panics or returns an error fails the test.
///
/// # Examples
///
/// ```
/// use asyncio_net::{open_connection, start_server};
/// use asyncio_testing::{Network, Simulation};
///
/// Simulation::new().seeds(20).run(async || {
///     let net = Network::new();
///     net.host("server", async || {
///         let server = start_server(":80", async |mut reader, writer| {
///             writer.write(reader.read_line().await?.to_ascii_uppercase());
///             writer.close().await
///         });
///         server.await?.serve_forever().await
///     });
///     let (mut reader, writer) = open_connection("server:80").await?;
///     writer.write("hello\n");
///     assert_eq!(reader.read_line().await?, "HELLO\n");
///     std::io::Result::Ok(())
/// });
/// ```
#[derive(Clone)]
pub struct Network(Rc<Inner>);

struct Inner {
    net: Net,
    fleet: Rc<Fleet>,
}

impl Network {
    /// Creates a network whose only host so far is the test.
    ///
    /// # Panics
    ///
    /// Outside of a simulation, or if this run already has a network.
    #[must_use = "it has the hosts"]
    #[allow(clippy::new_without_default, reason = "it has an effect")]
    #[track_caller]
    pub fn new() -> Self {
        let text =
            "a network is made in a simulation, such as `#[asyncio::testing::test(seeds = 9)]`";
        let conductor = Conductor::current().expect(text);
        assert!(conductor.companions().is_none(), "this run has a network already");
        let main = running_loop();
        let wire = Wire::new(Rc::clone(&conductor), main.clone(), conductor.seed());
        let test = wire.add_host("test");
        let net = Net::new(wire);
        let fleet = Fleet::new(net.clone());
        set_sockets(&main, HostSockets::new(&net, test));
        conductor.set_companions(Rc::clone(&fleet) as _);
        Self(Rc::new(Inner { net, fleet }))
    }

    /// Adds a host and starts its program, on a loop of its own.
    ///
    /// The host ends with its program: its loop and its sockets are closed. [`Host::restart`] calls
    /// the program again. The program's variables are lost then, but the variables that the closure
    /// captured persist, like data on a disk.
    ///
    /// # Panics
    ///
    /// If there is a host with that name, or if there are 254 hosts.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_testing::{Network, Simulation};
    ///
    /// Simulation::new().run(async || {
    ///     let net = Network::new();
    ///     let starts = Rc::new(Cell::new(0));
    ///     let disk = Rc::clone(&starts);
    ///     let host = net.host("a", async move || disk.set(disk.get() + 1));
    ///     host.ended().await;
    ///     host.restart();
    ///     host.ended().await;
    ///     assert_eq!(starts.get(), 2);
    /// });
    /// ```
    #[track_caller]
    pub fn host<R: TestOutcome + 'static>(
        &self,
        name: &str,
        program: impl AsyncFn() -> R + 'static,
    ) -> Host {
        let wire = &self.0.net.wire;
        assert!(wire.host_named(name).is_none(), "there is a host {name:?} already");
        let id = wire.add_host(name);
        let program = Rc::new(program);
        let program: Program = Rc::new(move || {
            let program = Rc::clone(&program);
            Box::pin(async move { program().await.failure() })
        });
        let machine = Machine::new(&self.0.net, id, program, Location::caller());
        self.0.fleet.add(&machine);
        Host { machine, net: self.0.net.clone() }
    }

    /// The address of a host.
    ///
    /// # Panics
    ///
    /// If there is no host with that name.
    #[must_use]
    pub fn ip(&self, name: &str) -> IpAddr {
        self.0.net.wire.host(self.find(name)).ip.into()
    }

    /// The link between two hosts, in both directions.
    ///
    /// # Panics
    ///
    /// If there is no host with one of the names.
    pub fn link(&self, one: &str, other: &str) -> Link {
        let (one, other) = (self.find(one), self.find(other));
        Link { net: self.0.net.clone(), ways: Ways::Some(vec![(one, other), (other, one)]) }
    }

    /// The link in one direction.
    ///
    /// # Panics
    ///
    /// If there is no host with one of the names.
    pub fn link_one_way(&self, from: &str, to: &str) -> Link {
        let ways = Ways::Some(vec![(self.find(from), self.find(to))]);
        Link { net: self.0.net.clone(), ways }
    }

    /// All links, including the ones of later hosts.
    pub fn links(&self) -> Link {
        Link { net: self.0.net.clone(), ways: Ways::All }
    }

    /// Drops all packets between the hosts of the two sides until [`heal`](Self::heal). Packets in
    /// transit are lost as well.
    ///
    /// Connections get no error at first. They send lost segments again, after pauses of 0.2, 0.4,
    /// 0.8 seconds and so on up to two minutes, and give up after a quarter of an hour
    /// ([`TimedOut`](std::io::ErrorKind::TimedOut)). Connecting gives up after 127 seconds.
    ///
    /// # Panics
    ///
    /// If there is no host with one of the names.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use asyncio_net::open_connection;
    /// use asyncio_testing::{Network, Simulation};
    ///
    /// Simulation::new().run(async || {
    ///     let net = Network::new();
    ///     net.host("a", async || ());
    ///     net.partition(["test"], ["a"]);
    ///     let error = open_connection("a:80").await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::TimedOut);
    ///     net.heal();
    ///     let error = open_connection("a:80").await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "nobody listens");
    /// });
    /// ```
    pub fn partition<'a, A, B>(&self, one: A, other: B)
    where
        A: IntoIterator<Item = &'a str>,
        B: IntoIterator<Item = &'a str>,
    {
        let (one, other) = (self.find_all(one), self.find_all(other));
        self.say(&one, "|", &other);
        self.cut(&one, &other);
        self.cut(&other, &one);
    }

    /// As [`partition`](Self::partition), but only for packets from one side to the other.
    ///
    /// # Panics
    ///
    /// If there is no host with one of the names.
    pub fn partition_one_way<'a, A, B>(&self, from: A, to: B)
    where
        A: IntoIterator<Item = &'a str>,
        B: IntoIterator<Item = &'a str>,
    {
        let (from, to) = (self.find_all(from), self.find_all(to));
        self.say(&from, "-|>", &to);
        self.cut(&from, &to);
    }

    /// Isolates a host from all others.
    ///
    /// # Panics
    ///
    /// If there is no host with that name.
    pub fn isolate(&self, name: &str) {
        let host = self.find(name);
        let others: Vec<_> =
            (0..self.0.net.wire.host_count()).filter(|other| *other != host).collect();
        self.say(&[host], "|", &others);
        self.cut(&[host], &others);
        self.cut(&others, &[host]);
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        self.0.net.wire.conductor().note("the network is whole");
        self.0.net.wire.heal();
    }

    /// How many bytes of a connection may be in transit or unread, in each direction. At this limit
    /// a writer waits. Default: 256 KiB.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn window(&self, bytes: usize) {
        assert!(bytes > 0, "a connection without room carries nothing");
        self.0.net.wire.set_window(bytes);
    }

    #[track_caller]
    fn find(&self, name: &str) -> HostId {
        let found = self.0.net.wire.host_named(name);
        found.unwrap_or_else(|| panic!("the network has no host {name:?}"))
    }

    #[track_caller]
    fn find_all<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<HostId> {
        names.into_iter().map(|name| self.find(name)).collect()
    }

    fn cut(&self, from: &[HostId], to: &[HostId]) {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            self.0.net.wire.link(from, to).set_cut(true);
        }
        self.0.net.tcp.look_after_writers();
    }

    /// Records a partition in the trace.
    fn say(&self, one: &[HostId], sign: &str, other: &[HostId]) {
        let names = |hosts: &[HostId]| {
            let names: Vec<_> =
                hosts.iter().map(|host| self.0.net.wire.host(*host).name.to_string()).collect();
            names.join(", ")
        };
        let words = format!("partition: {} {sign} {}", names(one), names(other));
        self.0.net.wire.conductor().note(&words);
    }
}

/// A host of a [`Network`].
///
/// Clones refer to the same host, and dropping them has no effect.
///
/// # Examples
///
/// See [`Network::host`].
#[derive(Clone)]
pub struct Host {
    machine: Rc<Machine>,
    net: Net,
}

impl Host {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.machine.name()
    }

    /// Its address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        let ip: Ipv4Addr = self.net.wire.host(self.machine.id()).ip;
        ip.into()
    }

    /// Whether its program runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.machine.is_running()
    }

    /// Kills the program: its futures are dropped, without async cleanup. The machine keeps
    /// running: peers get resets, and new connections are refused.
    pub fn stop(&self) {
        self.say("stops");
        self.machine.stop(false);
    }

    /// Simulates a power failure: as [`stop`](Self::stop), but the host sends nothing and does not
    /// answer. Peers wait until they give up; after a [`restart`](Self::restart) they get resets.
    pub fn crash(&self) {
        self.say("crashes");
        self.machine.stop(true);
    }

    /// Starts the program again, after its current run has ended.
    pub fn restart(&self) {
        self.say("restarts");
        self.machine.restart();
    }

    /// Waits until the program has ended or was stopped.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has no effect.
    pub async fn ended(&self) {
        let waiter = self.machine.waiter_for_end();
        poll_fn(|cx| {
            if !self.is_running() {
                return Poll::Ready(());
            }
            waiter.set(Some(LoopWaker::from_context(cx)));
            Poll::Pending
        })
        .await;
    }

    /// Sets the host's clock forward: the loop's time and the time of day. Clocks cannot be set
    /// back. For a host that is behind, set the others forward.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::running_loop;
    /// use asyncio_testing::{Network, Simulation};
    ///
    /// Simulation::new().run(async || {
    ///     let net = Network::new();
    ///     let wrong = net.host("wrong", async || {
    ///         assert_eq!(running_loop().time().as_secs_f64(), 3600.0);
    ///     });
    ///     wrong.advance_clock(Duration::from_secs(3600));
    ///     wrong.ended().await;
    ///     assert_eq!(running_loop().time().as_secs_f64(), 0.0);
    /// });
    /// ```
    pub fn advance_clock(&self, by: Duration) {
        self.machine.advance_clock(by);
    }

    /// Makes the host's clock run too fast by this many parts per million from now on, or too slow
    /// if the number is negative.
    ///
    /// # Panics
    ///
    /// If the clock would stop or run backwards.
    pub fn clock_rate(&self, parts_per_million: i32) {
        assert!(parts_per_million > -1_000_000, "a clock goes forward");
        self.machine.set_clock_rate(parts_per_million);
    }

    fn say(&self, what: &str) {
        self.net.wire.conductor().note(&format!("host {} {what}", self.name()));
    }
}

/// Sets the properties of one or more links of a [`Network`].
///
/// By default a packet takes between one and two milliseconds.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_testing::{Network, Simulation};
///
/// Simulation::new().run(async || {
///     let net = Network::new();
///     net.host("far", async || ());
///     net.links().latency(Duration::from_millis(2)).spread(Duration::ZERO);
///     net.link("test", "far").latency(Duration::from_millis(80)).bandwidth(1_000_000);
/// });
/// ```
pub struct Link {
    net: Net,
    ways: Ways,
}

enum Ways {
    All,
    Some(Vec<(HostId, HostId)>),
}

impl Link {
    /// The minimum time that a packet takes.
    pub fn latency(self, latency: Duration) -> Self {
        self.change(|traits| traits.latency = latency)
    }

    /// How much longer a packet may take. The seed decides the additional time. Datagrams can
    /// overtake each other this way; the bytes of connections cannot.
    pub fn spread(self, spread: Duration) -> Self {
        self.change(|traits| traits.spread = spread)
    }

    /// How many bytes of data are sent per second; further bytes wait. Headers do not count.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn bandwidth(self, bytes_per_second: u64) -> Self {
        assert!(bytes_per_second > 0, "a link without bandwidth carries nothing");
        self.change(|traits| traits.bandwidth = Some(bytes_per_second))
    }

    /// The probability that a packet is lost. A lost segment of a connection arrives 0.2 seconds
    /// later, and all later segments wait for it.
    ///
    /// # Panics
    ///
    /// If the value is not between 0 and 1.
    pub fn loss(self, probability: f64) -> Self {
        let loss = checked(probability);
        self.change(|traits| traits.loss = loss)
    }

    /// The probability that a datagram arrives twice.
    ///
    /// # Panics
    ///
    /// If the value is not between 0 and 1.
    pub fn duplicate(self, probability: f64) -> Self {
        let duplicate = checked(probability);
        self.change(|traits| traits.duplicate = duplicate)
    }

    /// The probability that a datagram arrives late, after several later ones.
    ///
    /// # Panics
    ///
    /// If the value is not between 0 and 1.
    pub fn reorder(self, probability: f64) -> Self {
        let reorder = checked(probability);
        self.change(|traits| traits.reorder = reorder)
    }

    fn change(self, change: impl Fn(&mut Traits)) -> Self {
        match &self.ways {
            Ways::All => self.net.wire.change_all(&change),
            Ways::Some(ways) => {
                ways.iter().for_each(|(from, to)| self.net.wire.link(*from, *to).change(&change));
            }
        }
        self
    }
}

fn checked(probability: f64) -> f64 {
    assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
    probability
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = &self.0.net.wire;
        let names: Vec<_> =
            (0..wire.host_count()).map(|host| wire.host(host).name.to_string()).collect();
        let time: LoopTime = wire.now();
        f.debug_struct("Network").field("hosts", &names).field("time", &time).finish()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name())
            .field("ip", &self.ip())
            .field("is_running", &self.is_running())
            .finish()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Link");
        if let Ways::Some(ways) = &self.ways {
            let link = |(from, to): &(HostId, HostId)| self.net.wire.link(*from, *to).traits();
            shown.field("traits", &ways.iter().map(link).collect::<Vec<_>>());
        }
        shown.finish()
    }
}
