//! Marks in a target: who is at work there.
//!
//! Both sides put their own mark before they look for the other's, so of two that begin at one time at least one sees
//! the other and gives way. A mark that was left by a crash counts for a while; whoever is at work ends before its own
//! has ceased to count.

use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use ochre_store::object::create;
use ochre_types::size::format_duration;

use super::{BackupError, BackupId, Target, layout};

/// Which work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Backup,
    Prune,
}

impl Work {
    fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Prune => "prune",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Self::Backup => "a backup",
            Self::Prune => "a prune",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Backup => Self::Prune,
            Self::Prune => Self::Backup,
        }
    }

    /// How long its mark counts.
    fn counts_for(self) -> Duration {
        match self {
            Self::Backup => Duration::from_secs(24 * 3_600),
            Self::Prune => Duration::from_secs(3_600),
        }
    }

    /// How long it may take: less by what two machines' clocks may differ.
    fn may_take(self) -> (Duration, &'static str) {
        match self {
            Self::Backup => (Duration::from_secs(23 * 3_600), "23 hours"),
            Self::Prune => (Duration::from_secs(1_800), "half an hour"),
        }
    }
}

/// A mark of ours.
#[derive(Debug)]
pub(super) struct Mark<'a> {
    target: &'a Target,
    path: Path,
    work: Work,
    begun: Duration,
}

impl<'a> Mark<'a> {
    /// Leaves a mark, unless the other kind of work has left one.
    pub(super) async fn leave(target: &'a Target, work: Work, id: BackupId) -> Result<Self, BackupError> {
        let clock = &target.env.clock;
        let path = layout::marks().join(format!("{}-{id}", work.word()));
        let body = format!("{} {}\n", work.word(), id.begun_millis).into();
        match create::create(&target.objects, clock, &path, &body).await {
            create::Created::Made | create::Created::Taken => {}
            create::Created::Unknown(source) => return Err(BackupError::store("putting", &path)(source)),
        }
        let mark = Self { target, path, work, begun: clock.monotonic() };
        match mark.look_for(work.other()).await {
            Ok(()) => Ok(mark),
            Err(error) => {
                mark.wipe().await;
                Err(error)
            }
        }
    }

    async fn look_for(&self, other: Work) -> Result<(), BackupError> {
        let (objects, clock) = (&self.target.objects, &self.target.env.clock);
        let marks = create::list_folder(objects, clock, &layout::marks())
            .await
            .map_err(BackupError::store("listing", &layout::marks()))?;
        let prefix = format!("{}-", other.word());
        for path in marks {
            let id = path.filename().and_then(|name| name.strip_prefix(&prefix)?.parse::<BackupId>().ok());
            let Some(id) = id else { continue };
            let age = Duration::from_millis(clock.wall_millis().saturating_sub(id.begun_millis));
            if let Some(left) = other.counts_for().checked_sub(age).filter(|left| !left.is_zero()) {
                return Err(BackupError::Busy {
                    other: other.says(),
                    since_seconds: age.as_secs(),
                    mark: path.to_string(),
                    lives: format_duration(Duration::from_secs(left.as_secs().max(1))),
                });
            }
        }
        Ok(())
    }

    /// Fails once the work has taken so long that its mark might not count any more.
    pub(super) fn still_counts(&self) -> Result<(), BackupError> {
        let (limit, said) = self.work.may_take();
        let took = self.target.env.clock.monotonic().saturating_sub(self.begun);
        if took > limit { Err(BackupError::TooLong(said)) } else { Ok(()) }
    }

    /// Takes the mark away. One that stays ceases to count by itself.
    pub(super) async fn wipe(self) {
        if let Err(error) = self.target.objects.delete(&self.path).await {
            tracing::warn!(mark = %self.path, %error, "the mark of this work could not be removed: it ceases to count by itself");
        }
    }
}
