//! The keyword arguments of a connection.

use std::net::SocketAddr;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::resolve::Family;
use crate::stream::DEFAULT_LIMIT;

/// The options that the methods of [`Connect`](super::Connect) set.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) local: Option<Endpoint>,
    pub(super) family: Option<Family>,
    pub(super) delay: Option<Duration>,
    pub(super) interleave: Option<usize>,
    pub(super) limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { local: None, family: None, delay: None, interleave: None, limit: DEFAULT_LIMIT }
    }
}

impl Options {
    /// Whether an option for internet addresses is set.
    pub(super) fn has_internet_ones(&self) -> bool {
        self.local.is_some()
            || self.family.is_some()
            || self.delay.is_some()
            || self.interleave.is_some()
    }

    /// The addresses in the order of the attempts.
    pub(super) fn order(&self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let fitting = addresses
            .into_iter()
            .filter(|address| self.family.is_none_or(|family| Family::of(address) == family));
        let count = self.interleave.unwrap_or(usize::from(self.delay.is_some()));
        if count == 0 { fitting.collect() } else { interleave(fitting.collect(), count) }
    }
}

/// Puts `count` addresses of the first one's family first, and then alternates between the
/// families.
fn interleave(addresses: Vec<SocketAddr>, count: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(Family::of) else { return addresses };
    let (firsts, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Family::of(address) == first);
    let mut firsts = firsts.into_iter();
    let mut order: Vec<_> = firsts.by_ref().take(count - 1).collect();
    let mut others = others.into_iter();
    loop {
        let pair = [firsts.next(), others.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(count: usize) -> String {
        let addresses = ["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:4", "1.1.1.1:5"];
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let options = Options { interleave: Some(count), ..Options::default() };
        let ports = options.order(addresses).into_iter().map(|address| address.port());
        ports.map(|port| port.to_string()).collect()
    }

    // T-036
    #[test]
    fn families_alternate_after_the_first_ones() {
        assert_eq!(order(0), "12345");
        assert_eq!(order(1), "14253");
        assert_eq!(order(2), "12435");
        assert_eq!(order(9), "12345");
    }
}
