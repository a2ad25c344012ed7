//! The ids of the newest events, so that one that comes again makes no second record. Pure.
//!
//! Bounded by a number of events, not by time: what is promised is that a repeat is known while no more than
//! so many events have come since. An id is forgotten when its record has failed, so that it can be sent again.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use uuid::Uuid;

/// What became of an id before. `F`: the records under way that one of them may be among.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen<F> {
    /// It is new, and remembered from now on.
    New,
    /// Its record has been acknowledged.
    Acknowledged,
    /// Its record, of this number, is under way among these.
    UnderWay(Arc<F>, u32),
    /// It names another event.
    Other,
}

#[derive(Debug)]
struct Known<F> {
    fingerprint: u64,
    /// Where its record is under way; `None` once it has been acknowledged.
    under_way: Option<(Arc<F>, u32)>,
}

/// The newest ids.
#[derive(Debug)]
pub(super) struct Recent<F> {
    /// `None`: none are remembered.
    known: Option<LruCache<Uuid, Known<F>>>,
}

impl<F> Recent<F> {
    pub(super) fn new(events_max: usize) -> Self {
        Recent {
            // Grows as it fills.
            known: NonZeroUsize::new(events_max).map(|most| {
                let mut known = LruCache::unbounded();
                known.resize(most);
                known
            }),
        }
    }

    /// Looks an event up; a new one is under way as number `index` of `flight` from now on.
    pub(super) fn enter(
        &mut self,
        id: Uuid,
        fingerprint: u64,
        flight: &Arc<F>,
        index: u32,
    ) -> Seen<F> {
        let Some(cache) = &mut self.known else {
            return Seen::New;
        };
        // Looking does not make it newer: the oldest goes first, whoever asks for it.
        match cache.peek(&id) {
            Some(known) if known.fingerprint != fingerprint => Seen::Other,
            Some(Known {
                under_way: Some((flight, index)),
                ..
            }) => Seen::UnderWay(Arc::clone(flight), *index),
            Some(_) => Seen::Acknowledged,
            None => {
                let under_way = Some((Arc::clone(flight), index));
                cache.put(
                    id,
                    Known {
                        fingerprint,
                        under_way,
                    },
                );
                Seen::New
            }
        }
    }

    /// Its record among those of `flight` has been acknowledged, or has failed.
    pub(super) fn settle(&mut self, id: &Uuid, flight: &F, acknowledged: bool) {
        let Some(cache) = &mut self.known else { return };
        let Some(known) = cache.peek_mut(id) else {
            return;
        };
        // It may have been pushed out and come again since.
        let ours = known
            .under_way
            .as_ref()
            .is_some_and(|(of, _)| std::ptr::eq(Arc::as_ptr(of), flight));
        if ours && acknowledged {
            known.under_way = None;
        } else if ours {
            cache.pop(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_until_so_many_others_have_come() {
        let mut recent = Recent::new(2);
        let flight = Arc::new(());
        let id = Uuid::from_u128;
        assert_eq!(recent.enter(id(1), 7, &flight, 0), Seen::New);
        let under_way = Seen::UnderWay(Arc::clone(&flight), 0);
        assert_eq!(recent.enter(id(1), 7, &flight, 9), under_way);
        assert_eq!(recent.enter(id(1), 8, &flight, 9), Seen::Other);
        recent.settle(&id(1), &flight, true);
        assert_eq!(recent.enter(id(2), 7, &flight, 1), Seen::New);
        assert_eq!(recent.enter(id(1), 7, &flight, 9), Seen::Acknowledged);
        assert_eq!(recent.enter(id(3), 7, &flight, 2), Seen::New);
        assert_eq!(recent.enter(id(1), 7, &flight, 3), Seen::New);
        assert_eq!(Recent::new(0).enter(id(1), 7, &flight, 0), Seen::New);
    }

    #[test]
    fn an_id_whose_record_failed_is_free_again() {
        let mut recent = Recent::new(2);
        let flight = Arc::new(1);
        let id = Uuid::from_u128(1);
        assert_eq!(recent.enter(id, 7, &flight, 0), Seen::New);
        recent.settle(&id, &2, false);
        assert!(matches!(
            recent.enter(id, 7, &flight, 0),
            Seen::UnderWay(..)
        ));
        recent.settle(&id, &flight, false);
        assert_eq!(recent.enter(id, 8, &flight, 0), Seen::New);
    }
}
