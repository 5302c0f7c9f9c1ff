use std::{
    fmt,
    ops::{Add, Sub},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A point in time on one [`Clock`], in nanoseconds from that clock's origin.
///
/// Moments of different clocks must not be compared. Arithmetic saturates: a moment never wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The clock's origin; every deadline at it has passed.
    pub const ORIGIN: Self = Self(0);

    /// Later than every moment a clock shows.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// What time it is, for deadlines: a clock that never goes back.
///
/// Cheap to clone; [`now`](Self::now) does no allocation and takes no lock (the tokio clock under paused time excepted).
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Boot,
    Tokio(tokio::time::Instant),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The clock that goes on while the machine is suspended, because the ensemble's clock does.
    ///
    /// | system | source |
    /// |---|---|
    /// | Linux, Android | `CLOCK_BOOTTIME` |
    /// | macOS, iOS | `CLOCK_MONOTONIC`, which counts sleep there |
    /// | other Unix | `CLOCK_MONOTONIC`; whether it counts suspend is the system's choice |
    /// | Windows | [`std::time::Instant`], the performance counter, which counts sleep |
    ///
    /// A hypervisor that pauses, snapshots or migrates the guest may hide that time from every clock of the guest; only
    /// fencing tokens cover that.
    #[must_use]
    pub const fn boot() -> Self {
        Self(Source::Boot)
    }

    /// tokio's clock, which `tokio::time::pause` stops and `advance` moves: for tests and in-process ensembles.
    ///
    /// Paused time belongs to a runtime; read this clock from inside it.
    #[must_use]
    pub fn tokio() -> Self {
        Self(Source::Tokio(tokio::time::Instant::now()))
    }

    /// A clock that stands still until its [`ManualClock`] moves it.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        // Not at the origin: a deadline of ORIGIN must have passed.
        let nanos = Arc::new(AtomicU64::new(1));
        (Self(Source::Manual(Arc::clone(&nanos))), ManualClock(nanos))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::Boot => boot_now(),
            // The second keeps "a little before now" representable.
            Source::Tokio(origin) => Moment(nanos(origin.elapsed() + Duration::from_secs(1))),
            Source::Manual(nanos) => Moment(nanos.load(Ordering::Acquire)),
        }
    }

    /// Waits until this clock shows `moment`.
    ///
    /// Timers may stand still while the machine is suspended; this looks at the clock at least every `LOOK_AGAIN`.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait and nothing else.
    pub async fn sleep_until(&self, moment: Moment) {
        loop {
            let left = moment.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }
}

/// The longest sleep before the clock is read again: bounds how late a deadline is noticed after a suspend.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Boot => "Clock::boot",
            Source::Tokio(_) => "Clock::tokio",
            Source::Manual(_) => "Clock::manual",
        })
    }
}

/// Moves a clock made by [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(nanos(span), Ordering::AcqRel);
    }
}

#[cfg(unix)]
fn boot_now() -> Moment {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let time = clock_gettime(CLOCK);
    // Neither part is negative on these clocks.
    Moment((time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(not(unix))]
fn boot_now() -> Moment {
    use std::{sync::OnceLock, time::Instant};
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    Moment(nanos(ORIGIN.get_or_init(Instant::now).elapsed() + Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_saturate() {
        let second = Duration::from_secs(1);
        assert_eq!(Moment::NEVER + second, Moment::NEVER);
        assert_eq!(Moment::ORIGIN - second, Moment::ORIGIN);
        assert_eq!(Moment::ORIGIN.since(Moment::NEVER), Duration::ZERO);
        assert_eq!((Moment::ORIGIN + second).since(Moment::ORIGIN), second);
    }

    #[test]
    fn the_boot_clock_goes_forward() {
        let clock = Clock::boot();
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now().since(before) >= Duration::from_millis(2));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_boot_clock_counts_suspend() {
        // The kernel's uptime does.
        let uptime = || std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds = |uptime: String| uptime.split(' ').next().unwrap().parse::<f64>().unwrap();
        let (before, now, after) = (seconds(uptime()), Clock::boot().now(), seconds(uptime()));
        let now = now.since(Moment::ORIGIN).as_secs_f64();
        // It shows hundredths.
        assert!((before - 0.01..=after + 0.01).contains(&now), "{before} {now} {after}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_tokio_clock_follows_paused_time() {
        let clock = Clock::tokio();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(3600));
        clock.sleep_until(before + Duration::from_secs(7200)).await;
        assert!(clock.now().since(before) >= Duration::from_secs(7200));
    }
}
