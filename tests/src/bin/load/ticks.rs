use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Moments at which something is due, from a timer of the kernel: tokio's own come up to two milliseconds late, which is
/// more than what is measured.
pub struct Ticks {
    timer: AsyncFd<OwnedFd>,
    due: Instant,
    period: Duration,
    /// That have come and were not asked for yet.
    come: u64,
}

impl Ticks {
    pub fn new(first: Instant, period: Duration) -> Result<Self> {
        ensure!(!period.is_zero(), "some time between two");
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // No time at all would be never.
        let wait = first.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let each = Expiration::IntervalDelayed(TimeSpec::from_duration(wait), TimeSpec::from_duration(period));
        timer.set(each, TimerSetTimeFlags::empty())?;
        // SAFETY: the descriptor is its own, and open for as long as it is registered.
        let timer = unsafe { AsyncFd::register_with_interest(OwnedFd::from(timer), Interest::READABLE) }?;
        Ok(Self { timer, due: first, period, come: 0 })
    }

    /// Waits for the next one, and gives when it was due. Those that were missed come one after the other.
    pub async fn tick(&mut self) -> Result<Instant> {
        while self.come == 0 {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            if nix::unistd::read(self.timer.get_ref(), &mut count) == Ok(count.len()) {
                self.come = u64::from_ne_bytes(count);
            }
            ready.clear_ready();
        }
        self.come -= 1;
        let due = self.due;
        self.due += self.period;
        Ok(due)
    }
}
