//! Places for client connections, and for what they ask for at once, whose number may change while they are taken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often it is looked whether all have left.
const LOOK: Duration = Duration::from_millis(50);

/// The bound on client connections.
pub(crate) struct Room {
    places: Arc<Semaphore>,
    size: AtomicUsize,
    /// Places that are kept for who comes next.
    kept: AtomicUsize,
    /// Places of connections that have one already.
    further: AtomicUsize,
}

/// A place that is kept for who comes next, until this is dropped.
pub(crate) struct Kept<'a>(&'a AtomicUsize);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One place, free again when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// A place for what a connection asks for beside its first request, free again when it is dropped.
pub(crate) struct Further {
    room: Arc<Room>,
    _place: Place,
}

impl Drop for Further {
    fn drop(&mut self) {
        self.room.further.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    pub(crate) fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(size)),
            size: AtomicUsize::new(size),
            kept: AtomicUsize::new(0),
            further: AtomicUsize::new(0),
        }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self) -> Option<Place> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// One more place for a connection that has one. The last quarter of the places is for other connections.
    pub(crate) fn enter_further(self: &Arc<Self>) -> Option<Further> {
        if self.places.available_permits() <= self.size.load(Ordering::Relaxed) / 4 {
            return None;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.further.fetch_add(1, Ordering::Relaxed);
        Some(Further { room: Arc::clone(self), _place: place })
    }

    /// How many of the places are further ones.
    pub(crate) fn further(&self) -> usize {
        self.further.load(Ordering::Relaxed)
    }

    /// Says that the place which the caller has is nobody's yet.
    pub(crate) fn keep(&self) -> Kept<'_> {
        self.kept.fetch_add(1, Ordering::Relaxed);
        Kept(&self.kept)
    }

    /// How many places are somebody's.
    pub(crate) fn taken(&self) -> usize {
        let free = self.places.available_permits().saturating_add(self.kept.load(Ordering::Relaxed));
        self.size.load(Ordering::Relaxed).saturating_sub(free)
    }

    /// Waits until nobody is inside, and no door is open. Looks from time to time: whoever waited for the places themselves
    /// would take them from those who are inside.
    pub(crate) async fn emptied(&self) {
        while self.places.available_permits() < self.size.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Makes the room larger, or smaller as people leave. Must be awaited by one task at a time, and may be dropped: it
    /// is then as small as it has become.
    pub(crate) async fn resize(&self, size: usize) {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        while self.size.load(Ordering::Relaxed) > size {
            let Ok(place) = self.places.acquire().await else { return };
            place.forget();
            self.size.fetch_sub(1, Ordering::Relaxed);
        }
        let before = self.size.swap(size, Ordering::Relaxed);
        self.places.add_permits(size.saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_room_grows_at_once_and_shrinks_as_people_leave() {
        let room = Room::new(1);
        let first = room.enter().await.unwrap();
        room.resize(2).await;
        let second = room.enter().await.unwrap();
        let kept = room.keep();
        assert_eq!(room.taken(), 1, "the second is nobody's yet");
        drop(kept);
        assert_eq!(room.taken(), 2);
        let shrinking = room.resize(1);
        tokio::pin!(shrinking);
        assert!(futures_util::poll!(shrinking.as_mut()).is_pending());
        drop(first);
        shrinking.await;
        assert_eq!(room.taken(), 1);
        // Who no longer waits for people to leave changes nothing for them.
        room.resize(2).await;
        let third = room.enter().await.unwrap();
        assert!(futures_util::poll!(std::pin::pin!(room.resize(1))).is_pending());
        room.resize(3).await;
        drop((third, room.enter().await.unwrap()));
        room.resize(1).await;
        assert_eq!(room.taken(), 1);
        assert!(futures_util::poll!(std::pin::pin!(room.enter())).is_pending());
        drop(second);
        assert!(room.enter().await.is_some());
        room.emptied().await;
    }

    #[tokio::test]
    async fn who_has_a_place_gets_further_ones_but_not_the_last_quarter() {
        let room = Arc::new(Room::new(8));
        let first = room.enter().await;
        let further: Vec<_> = std::iter::from_fn(|| room.enter_further()).collect();
        assert_eq!((further.len(), room.further(), room.taken()), (5, 5, 6));
        let others = [room.enter().await, room.enter().await];
        assert_eq!(room.taken(), 8);
        drop((first, others, further));
        assert_eq!((room.further(), room.taken()), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_until_all_have_left_takes_nobodys_place() {
        let room = Arc::new(Room::new(4));
        let inside = room.enter().await;
        let emptied = room.emptied();
        tokio::pin!(emptied);
        assert!(futures_util::poll!(emptied.as_mut()).is_pending());
        assert!(room.enter_further().is_some(), "who is inside still asks for several things at once");
        // A door that is still open counts too.
        let (place, kept) = (room.enter().await, room.keep());
        drop(inside);
        assert!(futures_util::poll!(emptied.as_mut()).is_pending());
        drop((place, kept));
        assert!(tokio::time::timeout(std::time::Duration::from_secs(30), emptied).await.is_ok());
    }

    #[tokio::test]
    async fn a_room_that_becomes_smaller_is_empty_once_all_have_left() {
        let room = Room::new(3);
        let inside = [room.enter().await, room.enter().await, room.enter().await];
        let (shrinking, emptied) = (room.resize(1), room.emptied());
        tokio::pin!(shrinking, emptied);
        assert!(futures_util::poll!(shrinking.as_mut()).is_pending());
        assert!(futures_util::poll!(emptied.as_mut()).is_pending());
        drop(inside);
        let both = async { tokio::join!(shrinking, emptied) };
        assert!(tokio::time::timeout(std::time::Duration::from_secs(30), both).await.is_ok());
        assert_eq!(room.taken(), 0);
    }
}
