//! A loopback address for each application that stays its own, so that a connection which a program
//! has saved keeps working.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::exit::{Exit, Failure};
use crate::files;
use crate::state::StateDir;

impl StateDir {
    /// The address of the application of this label, which it has from now on. A new login does not
    /// change it.
    pub fn address_of(&self, label: &str) -> Result<Ipv4Addr, Failure> {
        self.prepare()?;
        let file = self.path().join(ADDRESSES);
        let unusable = |error: &dyn Display| unusable(&file, error);
        // Of two programs that begin at once, each sees what the other has given.
        let lock = File::create(self.path().join(LOCK)).map_err(|error| unusable(&error))?;
        lock.lock().map_err(|error| unusable(&error))?;
        let mut numbers = numbers(&file)?;
        if let Some(number) = numbers.get(label) {
            return Ok(address(*number));
        }
        let number = numbers.values().max().map_or(0, |last| last.saturating_add(1));
        numbers.insert(label.to_owned(), number);
        let text = serde_json::to_vec_pretty(&numbers).map_err(std::io::Error::from)?;
        files::replace(&file, &text).map_err(|error| unusable(&error))?;
        Ok(address(number))
    }

    /// The address that the application of this label has, if it ever had one.
    pub fn known_address(&self, label: &str) -> Result<Option<Ipv4Addr>, Failure> {
        let numbers = numbers(&self.path().join(ADDRESSES))?;
        Ok(numbers.get(label).copied().map(address))
    }
}

fn numbers(file: &Path) -> Result<BTreeMap<String, u16>, Failure> {
    let text = files::read(file).map_err(|error| unusable(file, &error))?;
    match text {
        Some(text) => serde_json::from_str(&text).map_err(|error| unusable(file, &error)),
        None => Ok(BTreeMap::new()),
    }
}

fn unusable(file: &Path, error: &dyn Display) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", file.display()))
}

/// 127.77.0.1, 127.77.0.2 and so on; none that ends in 0 or 255.
fn address(number: u16) -> Ipv4Addr {
    let [net, host] = [number / HOSTS, number % HOSTS + 1];
    let byte = |part: u16| u8::try_from(part).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 77, byte(net), byte(host))
}

const ADDRESSES: &str = "addresses.json";
const LOCK: &str = "addresses.lock";
const HOSTS: u16 = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_keeps_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        assert_eq!(state.known_address("db.hq").unwrap(), None);
        let of = |label| state.address_of(label).unwrap().to_string();
        assert_eq!(
            (of("a-hq"), of("b-hq"), of("a-hq")),
            ("127.77.0.1".into(), "127.77.0.2".into(), "127.77.0.1".into())
        );
        state.forget().unwrap();
        assert_eq!((of("c-hq"), of("b-hq")), ("127.77.0.3".into(), "127.77.0.2".into()));
    }

    #[test]
    fn those_that_begin_at_once_get_addresses_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<_> = (0..20)
            .map(|n| {
                let state = StateDir::at(dir.path());
                std::thread::spawn(move || state.address_of(&format!("app-{n}")).unwrap())
            })
            .collect();
        let mut all: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20);
    }

    #[test]
    fn there_are_enough_and_none_is_a_broadcast() {
        let shown = [0, 253, 254, 65_023].map(|number| address(number).to_string());
        assert_eq!(shown, ["127.77.0.1", "127.77.0.254", "127.77.1.1", "127.77.255.254"]);
    }
}
