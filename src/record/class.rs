//! The classes in which backends are ranked: one worker never beside several, but where that is what is asked.

use serde::{Deserialize, Serialize};

use crate::backend::Threading;

/// How many threads the arms of a contest run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// One worker each.
    Single,
    /// The same number of workers each, more than one; or as many threads as there are connections.
    Multi,
    /// Each with several numbers of workers, on as many processors: what more of them are worth.
    Scaling,
    /// Each as it comes, one beside several: as records had it before there were classes.
    #[default]
    Mixed,
}

impl Class {
    /// The class of contests in which every contender that can has so many workers.
    pub fn of_workers(workers: usize) -> Self {
        if workers == 1 { Self::Single } else { Self::Multi }
    }

    /// Its name, as records and command lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Multi => "multi",
            Self::Scaling => "scaling",
            Self::Mixed => "mixed",
        }
    }

    /// Whether a backend of this kind can be in it, where so many workers were asked for: shared workers are one thread
    /// only where one was.
    pub fn admits(self, threading: Threading, asked: Option<usize>) -> bool {
        match self {
            Self::Single => match threading {
                Threading::Single | Threading::Loops => true,
                Threading::Multi | Threading::PerCore => asked == Some(1),
                Threading::PerConnection | Threading::Pool => false,
            },
            Self::Multi => threading != Threading::Single,
            Self::Scaling => threading.has_free_workers(),
            Self::Mixed => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_is_never_beside_several() {
        let kinds = [
            Threading::Single,
            Threading::Loops,
            Threading::Multi,
            Threading::PerCore,
            Threading::PerConnection,
            Threading::Pool,
        ];
        let admitted = |class: Class, asked| kinds.map(|kind| class.admits(kind, asked));
        assert_eq!(admitted(Class::Single, None), [true, true, false, false, false, false]);
        assert_eq!(admitted(Class::Single, Some(1)), [true, true, true, true, false, false]);
        assert_eq!(admitted(Class::Multi, None), [false, true, true, true, true, true]);
        assert_eq!(admitted(Class::Scaling, None), [false, true, true, true, false, false]);
        assert_eq!((Class::of_workers(1), Class::of_workers(2)), (Class::Single, Class::Multi));
    }
}
