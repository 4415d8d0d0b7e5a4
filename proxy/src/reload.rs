//! The word that files are to be read again, for all who follow some.

use tokio::sync::watch;

/// Tells it.
#[derive(Clone, Debug, Default)]
pub struct Reload(watch::Sender<()>);

impl Reload {
    /// Has certificates read again at once.
    pub fn tell(&self) {
        self.0.send_replace(());
    }

    /// Hears what is told from now on.
    pub(crate) fn follow(&self) -> Follower {
        Follower { told: self.0.subscribe(), _teller: self.clone() }
    }
}

/// Hears each word once, also one that came while nobody listened.
#[derive(Clone)]
pub(crate) struct Follower {
    told: watch::Receiver<()>,
    /// With nobody to tell anything, there would be an error to hear at once.
    _teller: Reload,
}

impl Follower {
    pub(crate) async fn told(&mut self) {
        // An error would be that of a teller that is gone.
        let _ = self.told.changed().await;
    }
}
