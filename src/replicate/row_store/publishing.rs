//! `Publishing`: whether a table has been in the publication all the time, so that no change of it was missed. Pure.
//!
//! ```text
//!  table published through 11 │ 11 taken out │ put in again through 12 │
//!      rows as of 11          │ not streamed │ rows from before may be other ones by now
//! ```
//!
//! What puts a table into the publication is another row of the catalog each time, so one that has been out shows
//! nothing of what it showed before. The catalog is looked at as it is now, and the stream may be behind: a way
//! that is met for the first time may be in force from later on than the change that is read, with the table out in
//! between. Whatever alters the publication has the server announce the table anew before its next change. So a
//! new way is settled once the stream has passed the look without another announcement; one that is announced
//! before that may have been out.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::event::Lsn;

/// What puts a table into the publication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Publishing {
    /// As it was seen last; none: it was never looked for.
    through: Option<BTreeSet<String>>,
    /// It is settled when the stream has come there; none: it is.
    settled_at: Option<Lsn>,
}

/// Column lists that were altered: what had put a table into the publication before, and what does since. No change
/// was missed in between.
pub(crate) type Relisted = HashMap<String, String>;

impl Publishing {
    /// Takes in what puts the table into the publication now; `looked_at`: where the stream has to come for that to be
    /// settled, none if it is there. Whether the table has been in the publication since it was met last.
    pub(super) fn meet(&mut self, now: &[String], looked_at: Option<Lsn>) -> bool {
        let now: BTreeSet<String> = now.iter().cloned().collect();
        let known = self.through.as_ref();
        let shares = |before: &BTreeSet<String>| !before.is_disjoint(&now);
        // What is out now was not yet, perhaps, where the stream is. Coming back it shows something else.
        let is_out = now.is_empty() && known.is_some_and(|before| !before.is_empty());
        let stayed =
            known.is_none_or(|before| is_out || shares(before)) && self.settled_at.is_none();
        if stayed && known.is_some() {
            if !is_out {
                self.through = Some(now);
            }
            return true;
        }
        // All tables are in it for as long as there is the publication.
        let always = now.iter().any(|way| way.starts_with("all "));
        self.settled_at = looked_at.filter(|_| !always);
        self.through = Some(now);
        stayed
    }

    /// Where the stream has to come for it to be settled, if it is not.
    pub(super) fn settled_at(&self) -> Option<Lsn> {
        self.settled_at
    }

    /// The stream has come there.
    pub(super) fn settle(&mut self) {
        self.settled_at = None;
    }

    /// Whether it has been in the publication all the time if these are all of its ways now.
    pub(super) fn knows(&self, now: &[String]) -> bool {
        let known = self.through.as_ref();
        known.is_none_or(|before| now.iter().any(|way| before.contains(way)))
    }

    /// Follows altered column lists. Whether there were any of this table.
    pub(super) fn follow(&mut self, relisted: &Relisted) -> bool {
        let Some(through) = &self.through else {
            return false;
        };
        let follow = |way: &String| {
            let mut way = way;
            while let Some(next) = relisted.get(way) {
                way = next;
            }
            way.clone()
        };
        let after: BTreeSet<String> = through.iter().map(follow).collect();
        let altered = after != *through;
        self.through = Some(after);
        altered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// Met for the first time where the stream is.
    fn met(names: &[&str]) -> Publishing {
        let mut publishing = Publishing::default();
        assert!(publishing.meet(&ways(names), None));
        publishing
    }

    #[test]
    fn a_table_stays_as_long_as_it_shares_a_way() {
        let mut publishing = met(&["table 11"]);
        for now in [&["schema 5", "table 11"][..], &["schema 5"], &["schema 5"]] {
            assert!(publishing.meet(&ways(now), Some(Lsn(9))), "{now:?}");
        }
        assert!(!publishing.meet(&ways(&["table 12"]), None));
        assert!(publishing.meet(&ways(&["table 12"]), None));
    }

    #[test]
    fn one_that_is_out_stays_until_it_comes_back() {
        let mut publishing = met(&["table 11"]);
        assert!(publishing.meet(&[], Some(Lsn(9))));
        assert!(publishing.clone().meet(&ways(&["table 11"]), Some(Lsn(9))));
        assert!(!publishing.meet(&ways(&["table 12"]), Some(Lsn(9))));
    }

    #[test]
    fn a_new_way_is_settled_behind_the_look() {
        let mut publishing = Publishing::default();
        assert!(publishing.meet(&ways(&["table 11"]), Some(Lsn(9))));
        assert_eq!(publishing.settled_at(), Some(Lsn(9)));
        let mut settled = publishing.clone();
        settled.settle();
        assert!(settled.meet(&ways(&["table 11"]), Some(Lsn(20))));
        assert!(
            !publishing.meet(&ways(&["table 11"]), Some(Lsn(20))),
            "it may have been out"
        );
        let mut all = Publishing::default();
        assert!(all.meet(&ways(&["all 3"]), Some(Lsn(9))));
        assert!(all.meet(&ways(&["all 3"]), Some(Lsn(20))));
    }

    #[test]
    fn a_table_that_nothing_was_seen_of_may_have_been_out() {
        let mut publishing = Publishing::default();
        assert!(publishing.meet(&[], Some(Lsn(9))));
        publishing.settle();
        assert!(!publishing.meet(&ways(&["table 12"]), Some(Lsn(20))));
    }

    #[test]
    fn another_column_list_is_followed() {
        let relisted = [
            ("table 11", "table 12"),
            ("table 12", "table 13"),
            ("table 4", "table 5"),
        ];
        let relisted: Relisted = relisted
            .map(|(before, after)| (before.to_owned(), after.to_owned()))
            .into();
        let mut publishing = met(&["schema 5", "table 11"]);
        assert!(!publishing.knows(&ways(&["table 13"])) && publishing.follow(&relisted));
        assert!(publishing.knows(&ways(&["table 13"])) && !publishing.follow(&relisted));
        assert!(publishing.meet(&ways(&["table 13"]), Some(Lsn(9))));
        let mut again = met(&["table 11"]);
        again.follow(&relisted);
        assert!(
            !again.meet(&ways(&["table 14"]), None),
            "it was out behind that"
        );
    }
}
