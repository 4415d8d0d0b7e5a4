//! Those who wish for the same at the same time get the same: the first one asks, and what it was given is handed to all
//! who wait. Taken one after the other, wishes of two kinds would end each other's tokens at every turn.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

type Landed<V> = watch::Receiver<Option<V>>;

/// What is being asked for, by whom it is for and what it is.
pub struct Flights<K: Eq + Hash + Clone, V: Clone>(Arc<Mutex<HashMap<K, Landed<V>>>>);

impl<K: Eq + Hash + Clone, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// The part of whoever asks for something.
pub enum Part<K: Eq + Hash + Clone, V: Clone> {
    /// The first one: it asks, and tells.
    Leads(Lead<K, V>),
    /// Somebody asks already.
    Follows(Follow<V>),
}

/// Whoever asks for all. Given up without a word, the others ask by themselves.
pub struct Lead<K: Eq + Hash + Clone, V: Clone> {
    key: K,
    sender: watch::Sender<Option<V>>,
    all: Arc<Mutex<HashMap<K, Landed<V>>>>,
}

/// Somebody who waits.
pub struct Follow<V>(Landed<V>);

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    /// Joins those who ask for this.
    pub fn join(&self, key: K) -> Part<K, V> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(landed) = all.get(&key) {
            return Part::Follows(Follow(landed.clone()));
        }
        let (sender, landed) = watch::channel(None);
        all.insert(key.clone(), landed);
        Part::Leads(Lead { key, sender, all: self.0.clone() })
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Lead<K, V> {
    /// Hands it to all who wait; whoever comes after asks anew.
    pub fn tell(self, value: V) {
        self.leave();
        self.sender.send_replace(Some(value));
    }

    fn leave(&self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Lead<K, V> {
    fn drop(&mut self) {
        // Told already, there may be another one of this key.
        if self.sender.borrow().is_none() {
            self.leave();
        }
    }
}

impl<V: Clone> Follow<V> {
    /// What the leader was given; `None` where that was nothing.
    pub async fn wait(mut self) -> Option<V> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_get_what_the_first_was_given_and_who_comes_later_asks_anew() {
        let flights = Flights::<u8, &str>::default();
        let Part::Leads(lead) = flights.join(1) else { panic!("the first one") };
        let Part::Follows(one) = flights.join(1) else { panic!("the second") };
        let Part::Follows(two) = flights.join(1) else { panic!("the third") };
        assert!(matches!(flights.join(2), Part::Leads(_)), "of something else");
        lead.tell("given");
        assert_eq!((one.wait().await, two.wait().await), (Some("given"), Some("given")));
        let Part::Leads(lead) = flights.join(1) else { panic!("anew") };
        let Part::Follows(follow) = flights.join(1) else { panic!("the second") };
        drop(lead);
        assert_eq!(follow.wait().await, None);
        assert!(flights.0.lock().unwrap().is_empty(), "nothing is left");
    }
}
