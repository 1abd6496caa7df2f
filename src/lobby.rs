//! Where peers wait that nobody has vouched for yet: bounded, and fair between addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::authn::network;

/// The unauthenticated peers of one listener.
///
/// A newcomer always comes in. When the lobby is full, whoever has waited longest from the address
/// that holds the most places has to go, so a crowd from one address crowds out only itself.
pub(crate) struct Lobby {
    state: Mutex<State>,
}

/// A peer's place in the lobby, given back when it is dropped.
pub(crate) struct Guest {
    lobby: Arc<Lobby>,
    address: IpAddr,
    number: u64,
    ousted: CancellationToken,
}

#[derive(Default)]
struct State {
    most: usize,
    /// Fewer than `most`, for a while.
    squeezed: Option<usize>,
    next: u64,
    count: usize,
    addresses: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

impl Lobby {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let state = State { most: most.max(1), ..State::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Changes how many there may be. Who is in stays, until a newcomer needs the place.
    pub(crate) fn resize(&self, most: usize) {
        self.lock().most = most.max(1);
    }

    /// Lets in no more than `most`, however many there may be otherwise, until it is `None` again.
    /// Who is too many goes at once.
    pub(crate) fn squeeze(&self, most: Option<usize>) {
        let mut state = self.lock();
        state.squeezed = most.map(|most| most.max(1));
        while state.count > state.most() && state.oust_greediest() {}
    }

    /// Has the peer go whose turn it is, for a newcomer's sake; `false`: there is none.
    pub(crate) fn make_room(&self) -> bool {
        self.lock().oust_greediest()
    }

    /// How many are in.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Guest {
        let address = network(from);
        let ousted = CancellationToken::new();
        let mut state = self.lock();
        let own = state.addresses.get(&address).map_or(0, BTreeMap::len);
        if own >= state.most().div_ceil(2) {
            state.oust(address);
        }
        while state.count >= state.most() && state.oust_greediest() {}
        let number = state.next;
        state.next += 1;
        state.count += 1;
        state.addresses.entry(address).or_default().insert(number, ousted.clone());
        Guest { lobby: self.clone(), address, number, ousted }
    }

    /// Whether half of the places are taken.
    pub(crate) fn is_crowded(&self) -> bool {
        let state = self.lock();
        state.count * 2 >= state.most()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn most(&self) -> usize {
        self.squeezed.map_or(self.most, |squeezed| squeezed.min(self.most))
    }

    fn oust_greediest(&mut self) -> bool {
        let greediest = self.greediest();
        if let Some(address) = greediest {
            self.oust(address);
        }
        greediest.is_some()
    }

    /// The address with the most places; of several, the one that has waited longest.
    fn greediest(&self) -> Option<IpAddr> {
        let weight = |places: &BTreeMap<u64, CancellationToken>| {
            let oldest = places.first_key_value().map_or(u64::MAX, |(number, _)| *number);
            (places.len(), std::cmp::Reverse(oldest))
        };
        let most = self.addresses.iter().max_by_key(|(_, places)| weight(places));
        most.map(|(address, _)| *address)
    }

    fn oust(&mut self, address: IpAddr) {
        let Some(places) = self.addresses.get_mut(&address) else { return };
        if let Some((_, ousted)) = places.pop_first() {
            ousted.cancel();
            self.count -= 1;
        }
        if places.is_empty() {
            self.addresses.remove(&address);
        }
    }

    fn leave(&mut self, address: IpAddr, number: u64) {
        let Some(places) = self.addresses.get_mut(&address) else { return };
        // Whoever was ousted has left already.
        if places.remove(&number).is_some() {
            self.count -= 1;
        }
        if places.is_empty() {
            self.addresses.remove(&address);
        }
    }
}

impl Guest {
    /// Completes when this peer has to make room for another.
    pub(crate) async fn ousted(&self) {
        self.ousted.cancelled().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.lobby.lock().leave(self.address, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_from_one_address_crowds_out_only_itself() {
        let lobby = Lobby::new(64);
        let honest = lobby.enter(address(9));
        let crowd: Vec<Guest> = (0..1000).map(|_| lobby.enter(address(1))).collect();
        assert!(!honest.ousted.is_cancelled());
        assert!(crowd[0].ousted.is_cancelled() && !crowd[999].ousted.is_cancelled());
        assert_eq!(lobby.count(), 1 + 32);
    }

    #[test]
    fn a_crowd_from_many_addresses_does_not_crowd_out_a_newcomer() {
        let lobby = Lobby::new(64);
        let crowd: Vec<Guest> = (0..1000).map(|n| lobby.enter(address(n % 20))).collect();
        let honest = lobby.enter(address(99));
        let more: Vec<Guest> = (0..60).map(|n| lobby.enter(address(n % 20))).collect();
        assert!(!honest.ousted.is_cancelled());
        assert_eq!(lobby.count(), 64);
        drop((crowd, more));
        assert_eq!(lobby.count(), 1);
    }

    #[test]
    fn a_smaller_lobby_takes_effect_with_the_next_newcomer() {
        let lobby = Lobby::new(64);
        let crowd: Vec<Guest> = (0..60).map(|n| lobby.enter(address(n % 20))).collect();
        lobby.resize(16);
        assert_eq!(lobby.count(), 60);
        let newcomer = lobby.enter(address(99));
        assert_eq!(lobby.count(), 16);
        assert!(!newcomer.ousted.is_cancelled() && crowd[0].ousted.is_cancelled());
    }

    #[test]
    fn a_squeezed_lobby_sends_a_crowd_away_at_once_and_keeps_who_is_alone() {
        let lobby = Lobby::new(64);
        let honest = lobby.enter(address(99));
        let crowd: Vec<Guest> = (0..32).map(|_| lobby.enter(address(1))).collect();
        lobby.squeeze(Some(4));
        assert_eq!(lobby.count(), 4);
        assert!(!honest.ousted.is_cancelled() && crowd[28].ousted.is_cancelled());
        let newcomer = lobby.enter(address(98));
        assert_eq!(lobby.count(), 4);
        lobby.squeeze(None);
        let more: Vec<Guest> = (0..20).map(|n| lobby.enter(address(n))).collect();
        assert_eq!(lobby.count(), 24);
        assert!(!newcomer.ousted.is_cancelled());
        drop((crowd, more));
    }

    #[test]
    fn room_is_made_by_whoever_has_waited_longest_of_the_greediest() {
        let lobby = Lobby::new(64);
        assert!(!lobby.make_room());
        let alone = lobby.enter(address(9));
        let crowd: Vec<Guest> = (0..2).map(|_| lobby.enter(address(1))).collect();
        assert!(lobby.make_room());
        assert!(crowd[0].ousted.is_cancelled() && !crowd[1].ousted.is_cancelled());
        assert!(!alone.ousted.is_cancelled());
    }

    #[test]
    fn a_place_is_given_back_once() {
        let lobby = Lobby::new(1);
        let first = lobby.enter(address(1));
        let second = lobby.enter(address(2));
        assert!(first.ousted.is_cancelled());
        drop(first);
        assert_eq!(lobby.count(), 1);
        drop(second);
        assert_eq!(lobby.count(), 0);
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }
}
