//! The topics that rows of outboxes are routed to: made while the stream waits, before the first row that names one.

use tokio_util::sync::CancellationToken;

use super::{Found, LookUp, Stream};
use crate::event::{Plan, Target};
use crate::replicate::Error;

impl Stream {
    /// The topic that rows of that plan name so, created when missing. `None` when the shutdown came first.
    pub(super) async fn route(
        &mut self,
        plan: Option<Plan>,
        value: &[u8],
        shutdown: &CancellationToken,
    ) -> Result<Option<Target>, Error> {
        let Some(plan) = plan else { return Ok(None) };
        let position = self.capture.next_position();
        let wanted = LookUp::Route(&plan, value);
        let found = self.look_up(wanted, position, shutdown).await?;
        self.steps.at("outbox.topic-created");
        Ok(found.and_then(|found| match found {
            Found::Route(target) => Some(target),
            Found::Table(_) => None,
        }))
    }

    /// Makes the topics known that rows that are held beside the stream are routed to. `false` when the shutdown
    /// came first.
    pub(super) async fn route_beside(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Result<bool, Error> {
        while let Some((plan, value)) = self.ad_hoc.unrouted(self.capture.window()) {
            let Some(target) = self.route(Some(plan), &value, shutdown).await? else {
                return Ok(false);
            };
            self.ad_hoc.meet(&value, target);
        }
        Ok(true)
    }
}
