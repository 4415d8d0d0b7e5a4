//! Places for client connections, whose number may change while they are taken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bound on client connections.
pub(crate) struct Room {
    places: Arc<Semaphore>,
    size: AtomicUsize,
    /// Places that are kept for who comes next.
    kept: AtomicUsize,
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

impl Room {
    pub(crate) fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(size)), size: AtomicUsize::new(size), kept: AtomicUsize::new(0) }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self) -> Option<Place> {
        Arc::clone(&self.places).acquire_owned().await.ok()
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

    /// Waits until nobody is inside. Only for after the doors were closed: who enters meanwhile is not waited for.
    pub(crate) async fn emptied(&self) {
        let all = u32::try_from(self.size.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        // An error would be a closed semaphore, which this one never is.
        let _ = self.places.acquire_many(all).await;
    }

    /// Makes the room larger, or smaller as people leave. Must be awaited by one task at a time.
    pub(crate) async fn resize(&self, size: usize) {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let before = self.size.swap(size, Ordering::Relaxed);
        if size >= before {
            return self.places.add_permits(size - before);
        }
        for _ in size..before {
            if let Ok(place) = self.places.acquire().await {
                place.forget();
            }
        }
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
        assert!(futures_util::poll!(std::pin::pin!(room.enter())).is_pending());
        drop(second);
        assert!(room.enter().await.is_some());
        room.emptied().await;
    }
}
