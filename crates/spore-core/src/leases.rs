//! Addresses for the guests of a node's own access point.

use core::net::Ipv4Addr;

/// A hardware address.
type Mac = [u8; 6];

/// Which of `N` consecutive addresses belongs to which guest. A guest keeps its address until `N` others came after it; time
/// plays no part. An access point has fewer clients at a time than there are addresses, so that one who is there keeps his.
#[derive(Debug)]
pub struct Leases<const N: usize> {
    /// In the order of the addresses; all zero: never given.
    guests: [Mac; N],
    /// The address that a newcomer gets next.
    next: u8,
}

impl<const N: usize> Leases<N> {
    /// None given. All bytes are zero.
    pub const fn new() -> Self {
        Self { guests: [[0; 6]; N], next: 0 }
    }

    /// The guest's address, counted from `first`: the one it has, else one that was never given, else the one that was given
    /// longest ago.
    pub fn assign(&mut self, first: Ipv4Addr, guest: Mac) -> Option<Ipv4Addr> {
        let at = match self.guests.iter().position(|known| *known == guest) {
            Some(at) => at,
            None => {
                let at = usize::from(self.next);
                *self.guests.get_mut(at)? = guest;
                self.next = u8::try_from(at.wrapping_add(1).checked_rem(N)?).ok()?;
                at
            }
        };
        u32::from(first).checked_add(u32::try_from(at).ok()?).map(Ipv4Addr::from)
    }
}

impl<const N: usize> Default for Leases<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 100);

    fn mac(n: u8) -> Mac {
        [2, 0, 0, 0, 1, n]
    }

    #[test]
    fn guests_keep_their_addresses_until_there_are_too_many() {
        let mut leases = Leases::<4>::new();
        for n in 1..=4 {
            assert_eq!(leases.assign(FIRST, mac(n)), Some(Ipv4Addr::new(192, 168, 4, 99 + n)));
        }
        assert_eq!(leases.assign(FIRST, mac(2)), Some(Ipv4Addr::new(192, 168, 4, 101)), "the one it has");
        assert_eq!(leases.assign(FIRST, mac(5)), Some(FIRST), "the oldest");
        assert_eq!(leases.assign(FIRST, mac(1)), Some(Ipv4Addr::new(192, 168, 4, 101)), "the next oldest");
        assert_eq!(leases.assign(FIRST, mac(4)), Some(Ipv4Addr::new(192, 168, 4, 103)));
    }

    #[test]
    fn no_addresses_no_guests() {
        assert_eq!(Leases::<0>::new().assign(FIRST, mac(1)), None);
    }
}
