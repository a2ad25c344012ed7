//! Habits: which tuples' habits one moved order touches. The habit itself is counted anew from the
//! kept images under the pair's row lock, so that it never depends on the order in which two
//! instances commit.

use super::order::{Contribution, Moved};
use super::sequence::Stamp;
use super::touched::Touched;

/// Notes the pairs and tuples of an order that moved, on both sides.
pub(super) fn touch(moved: &Moved, stamp: &Stamp, touched: &mut Touched) {
    for side in [moved.before, moved.after].into_iter().flatten() {
        let Contribution {
            customer_id, pair, ..
        } = side;
        touched.order(customer_id, pair, stamp.position, stamp.at);
    }
}
