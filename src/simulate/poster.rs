//! A poster: acts that are due become requests to the gateway, each sent until it is dealt with.
//!
//! Posters share one queue that holds nothing: an act is drawn when there is a poster to send it. So no more
//! waits than each of them has in hand, however slow the gateway is, and what is late shows as lateness.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::gateway::{Answer, Client, Ids, Settled, body};
use super::report::Report;
use super::shoppers::{Act, Shoppers};
use super::worker::{LATE_MAX, Start};

/// Requests under way at once.
pub(super) const POSTERS: usize = 4;
/// Most events of one request.
const EVENTS_MAX: usize = 100;
/// How long the first event of a request waits for more.
const LINGER: Duration = Duration::from_millis(10);
/// A key that was just made is not known at once: the gateway reads its keys every second.
const KEY_KNOWN_WITHIN: Duration = Duration::from_secs(5);
const KEY_PAUSE: Duration = Duration::from_millis(500);

/// The end, which all posters heed.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) start: Start,
    pub(super) duration: Option<Duration>,
    pub(super) stop: CancellationToken,
}

impl End {
    /// Whether nothing more is begun.
    pub(super) fn is_near(&self) -> bool {
        let over = |duration| self.start.instant.elapsed() >= duration + LATE_MAX;
        self.stop.is_cancelled() || self.duration.is_some_and(over)
    }

    /// Returns when what is under way has had its time.
    async fn comes(&self) {
        let end = async {
            match self.duration {
                Some(duration) => tokio::time::sleep_until(self.start.instant + duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = end => {}
        }
        tokio::time::sleep(LATE_MAX).await;
    }
}

/// Acts as they fall due.
#[derive(Debug)]
pub(super) struct Queue {
    shoppers: Shoppers,
    pending: Act,
    end: End,
}

impl Queue {
    pub(super) fn new(mut shoppers: Shoppers, end: End) -> Queue {
        Queue {
            pending: shoppers.next(),
            shoppers,
            end,
        }
    }

    /// Waits for acts that are due; `None` at the end.
    async fn take(&mut self) -> Option<Vec<Act>> {
        let start = self.end.start;
        if self.is_beyond_the_end() {
            return None;
        }
        let due = start.instant + Duration::from_micros(self.pending.due_us);
        tokio::select! {
            biased;
            () = self.end.stop.cancelled() => return None,
            () = tokio::time::sleep_until(due + LINGER) => {}
        }
        if self.end.is_near() {
            return None;
        }
        let now_us = start.elapsed_us();
        let mut acts = Vec::new();
        while acts.len() < EVENTS_MAX && self.pending.due_us <= now_us && !self.is_beyond_the_end()
        {
            acts.push(std::mem::replace(&mut self.pending, self.shoppers.next()));
        }
        Some(acts)
    }

    fn is_beyond_the_end(&self) -> bool {
        let due = Duration::from_micros(self.pending.due_us);
        self.end.duration.is_some_and(|duration| due >= duration)
    }
}

/// How the gateway has answered of late; posters share it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// It does not take events at the moment.
    away: bool,
    /// Since when it has not known the key.
    key_unknown: Option<Instant>,
}

/// What one request came to.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) settled: Settled,
    /// Neither accepted nor refused when the time was up.
    pub(super) unanswered: u64,
    /// How often it was put off before.
    pub(super) put_off: u64,
    /// From due to acknowledged, microseconds, of each event; none where it was not dealt with.
    pub(super) lateness_us: Vec<u64>,
}

/// Sends acts.
pub(super) struct Poster {
    pub(super) client: Arc<Client>,
    pub(super) ids: Ids,
    pub(super) queue: Arc<tokio::sync::Mutex<Queue>>,
    pub(super) standing: Arc<Mutex<Standing>>,
    pub(super) end: End,
    pub(super) reports: mpsc::Sender<Report>,
}

impl Poster {
    /// Sends what is due until the end. A gateway that is away is waited for, as the source is.
    pub(super) async fn run(self) -> Result<(), Error> {
        loop {
            let taken = self.queue.lock().await.take().await;
            let Some(acts) = taken else { return Ok(()) };
            match self.deliver(&acts).await {
                // The collector outlives the posters.
                Ok(posted) => drop(self.reports.send(Report::Posted(posted)).await),
                Err(error) => {
                    self.end.stop.cancel();
                    return Err(error);
                }
            }
        }
    }

    /// The same events under the same ids until the gateway has dealt with them, or the time is up.
    async fn deliver(&self, acts: &[Act]) -> Result<Posted, Error> {
        let body = body(acts, self.ids, self.end.start.unix_us);
        let mut put_off = 0;
        let unanswered = |put_off| Posted {
            settled: Settled::default(),
            unanswered: acts.len() as u64,
            put_off,
            lateness_us: Vec::new(),
        };
        let end = self.end.comes();
        tokio::pin!(end);
        loop {
            let answer = tokio::select! {
                biased;
                answer = self.client.post(body.clone()) => answer,
                () = &mut end => return Ok(unanswered(put_off)),
            };
            let pause = match answer {
                Answer::Settled(settled) => {
                    self.taken();
                    return Ok(Posted {
                        settled,
                        unanswered: 0,
                        put_off,
                        lateness_us: self.lateness(acts),
                    });
                }
                Answer::Later { reason, after } => {
                    self.away(&reason);
                    after
                }
                Answer::UnknownKey if self.key_may_be_new() => KEY_PAUSE,
                Answer::UnknownKey => return Err(self.client.unknown_key()),
                Answer::Refused { status, detail } => {
                    return Err(self.client.refused(status, detail));
                }
            };
            put_off += 1;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut end => return Ok(unanswered(put_off)),
            }
        }
    }

    fn lateness(&self, acts: &[Act]) -> Vec<u64> {
        let now_us = self.end.start.elapsed_us();
        let late = |act: &Act| now_us.saturating_sub(act.due_us);
        acts.iter().map(late).collect()
    }

    fn taken(&self) {
        let before = std::mem::take(&mut *self.standing());
        if before.away {
            tracing::info!("the gateway takes events again");
        }
    }

    fn away(&self, reason: &str) {
        if !std::mem::replace(&mut self.standing().away, true) {
            tracing::warn!(reason, "the gateway does not take events: trying again");
        }
    }

    fn key_may_be_new(&self) -> bool {
        let mut standing = self.standing();
        let since = standing.key_unknown.get_or_insert_with(Instant::now);
        since.elapsed() < KEY_KNOWN_WITHIN
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        // Nothing that holds it can panic half way.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::shopper::Kind;
    use crate::simulate::gateway::GatewayAddress;
    use crate::simulate::pace::{Pace, Rate};
    use crate::simulate::shoppers::Clientele;

    /// A gateway that is busy at first, and keeps what it is sent.
    async fn busy_gateway(peers: &mut JoinSet<()>) -> (String, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (bodies, received) = mpsc::unbounded_channel();
        let requests = Arc::new(Mutex::new(0));
        let answer = async move |body: String| {
            bodies.send(body).unwrap();
            let mut requests = requests.lock().unwrap();
            *requests += 1;
            if *requests == 1 {
                return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "2")]).into_response();
            }
            let settled = json!({"accepted": 1, "repeated": 1, "rejected": 0, "results": []});
            (StatusCode::ACCEPTED, Json(settled)).into_response()
        };
        let router = Router::new().route("/v1/events", post(answer));
        peers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, received)
    }

    fn poster(url: String, acts: &[Act], end: End) -> Poster {
        let address = GatewayAddress {
            url,
            key: "tw_key".to_owned(),
        };
        let clientele = Clientele {
            stores: vec![1],
            products: vec![1],
            premium: vec![acts[0].customer_id],
            ..Default::default()
        };
        let rate = Rate {
            changes_per_second: 1,
            plans: 1,
            rhythm_from: None,
        };
        let pace = Pace::new(rate, 0);
        let shoppers = Shoppers::new(clientele, pace, 1).unwrap();
        Poster {
            client: Arc::new(Client::new(&address).unwrap()),
            ids: Ids::of(1, 1),
            queue: Arc::new(tokio::sync::Mutex::new(Queue::new(shoppers, end.clone()))),
            standing: Arc::default(),
            end,
            reports: mpsc::channel(1).0,
        }
    }

    #[tokio::test]
    async fn the_same_events_are_sent_again_when_the_gateway_says() {
        let mut peers = JoinSet::new();
        let (url, mut received) = busy_gateway(&mut peers).await;
        let act = |number| Act {
            number,
            due_us: number,
            kind: Kind::StoreEntered,
            customer_id: 7,
            store_id: 1,
            product_id: None,
        };
        let acts = [act(0), act(1)];
        let start = Start {
            instant: Instant::now(),
            unix_us: 1,
        };
        let end = End {
            start,
            duration: None,
            stop: CancellationToken::new(),
        };
        let posted = poster(url, &acts, end).deliver(&acts).await.unwrap();
        let (first, second) = (received.try_recv().unwrap(), received.try_recv().unwrap());
        assert_eq!(first, second);
        assert!(received.try_recv().is_err(), "sent a third time");
        assert_eq!((posted.settled.accepted, posted.settled.repeated), (1, 1));
        assert_eq!((posted.put_off, posted.unanswered), (1, 0));
        let late = Duration::from_micros(posted.lateness_us[0]);
        assert!(late >= Duration::from_secs(2), "{late:?}");
        peers.shutdown().await;
    }
}
