//! The link from one host to another.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use asyncio_loop::LoopTime;

use crate::rng::Rng;

/// The properties of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) latency: Duration,
    /// The maximum additional latency, chosen for each packet.
    pub(super) spread: Duration,
    /// Bytes per second; `None` for no limit.
    pub(super) bandwidth: Option<u64>,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    pub(super) reorder: f64,
}

impl Default for Traits {
    /// A local network.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            spread: Duration::from_millis(1),
            bandwidth: None,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
        }
    }
}

/// One direction between two hosts.
#[derive(Debug)]
pub(super) struct Link {
    traits: Cell<Traits>,
    is_cut: Cell<bool>,
    /// Whether the link is from a host to itself, and takes no time.
    is_loopback: bool,
    /// When the last byte so far leaves.
    busy_until: Cell<LoopTime>,
    /// The link's own generator, so that traffic on other links does not change its delays.
    rng: RefCell<Rng>,
}

impl Link {
    pub(super) fn new(traits: Traits, seed: u64) -> Self {
        Self {
            traits: Cell::new(traits),
            is_cut: Cell::new(false),
            is_loopback: false,
            busy_until: Cell::default(),
            rng: RefCell::new(Rng::new(seed)),
        }
    }

    pub(super) fn loopback() -> Self {
        let none = Duration::ZERO;
        let traits = Traits { latency: none, spread: none, ..Traits::default() };
        Self { is_loopback: true, ..Self::new(traits, 0) }
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    pub(super) fn traits(&self) -> Traits {
        self.traits.get()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Traits)) {
        let mut traits = self.traits.get();
        change(&mut traits);
        self.traits.set(traits);
    }

    /// Whether packets get through.
    pub(super) fn carries(&self) -> bool {
        !self.is_cut.get()
    }

    pub(super) fn set_cut(&self, yes: bool) {
        self.is_cut.set(yes && !self.is_loopback);
    }

    /// When a packet that is sent now arrives. It waits until all earlier bytes have left.
    pub(super) fn arrival(&self, now: LoopTime, length: usize) -> LoopTime {
        let traits = self.traits.get();
        let mut left = now.max(self.busy_until.get());
        if let Some(bandwidth) = traits.bandwidth {
            let nanos = length as u128 * 1_000_000_000 / u128::from(bandwidth);
            left += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.busy_until.set(left);
        }
        left + traits.latency + self.draw(traits.spread)
    }

    /// A duration up to `most`.
    pub(super) fn draw(&self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        self.rng.borrow_mut().duration(Duration::ZERO, most)
    }
}
