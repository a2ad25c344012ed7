//! What all open pages show, asked for once, and sent to each as server-sent events.
//!
//! Each kind of event has a value that is replaced: a page that is slow skips, and nothing queues. While no page
//! is open nobody asks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::codes::{self, Code, ToldCodes, WORTH};
use super::cover::COVER;
use super::pipeline::Pipeline;
use super::routes::Api;
use crate::config::settings::Settings;
use crate::http::{Problem, SinkReader};

/// Pauses between two looks.
const PIPELINE_PAUSE: Duration = Duration::from_millis(500);
const CODES_PAUSE: Duration = Duration::from_millis(500);
const COVER_PAUSE: Duration = Duration::from_secs(5);
const WORTH_PAUSE: Duration = Duration::from_secs(30);
/// A look may take at most this part of the time.
const BUSY_PART: u32 = 4;
/// How soon it is seen that a page was opened.
const IDLE_PAUSE: Duration = Duration::from_millis(100);

type Latest<T> = watch::Receiver<Option<Arc<T>>>;

/// What pages follow. Clones share it.
#[derive(Clone)]
pub(super) struct Live {
    pipeline: Latest<String>,
    cover: Latest<String>,
    worth: Latest<String>,
    codes: Latest<Vec<Code>>,
    /// One for each open page.
    pages: Arc<()>,
}

/// The other end.
pub(super) struct Feed {
    pipeline: watch::Sender<Option<Arc<String>>>,
    cover: watch::Sender<Option<Arc<String>>>,
    worth: watch::Sender<Option<Arc<String>>>,
    codes: watch::Sender<Option<Arc<Vec<Code>>>>,
    pages: Pages,
}

/// Whether anybody looks.
#[derive(Clone)]
struct Pages(std::sync::Weak<()>);

impl Pages {
    fn are_open(&self) -> bool {
        // The one that requests are made from is no page.
        self.0.strong_count() > 1
    }
}

/// Both ends.
pub(super) fn live() -> (Live, Feed) {
    let (pipeline, pipelines) = watch::channel(None);
    let (cover, covers) = watch::channel(None);
    let (worth, worths) = watch::channel(None);
    let (codes, all_codes) = watch::channel(None);
    let pages = Arc::new(());
    let feed = Feed {
        pipeline,
        cover,
        worth,
        codes,
        pages: Pages(Arc::downgrade(&pages)),
    };
    let live = Live {
        pipeline: pipelines,
        cover: covers,
        worth: worths,
        codes: all_codes,
        pages,
    };
    (live, feed)
}

impl Feed {
    /// Looks again and again, each kind by itself, until the tasks are aborted.
    pub(super) fn spawn(self, settings: &Settings, reader: &SinkReader, tasks: &mut JoinSet<()>) {
        let Feed {
            pipeline,
            cover,
            worth,
            codes,
            pages,
        } = self;
        let state = Pipeline::start(
            settings,
            reader.clone(),
            {
                let pages = pages.clone();
                move || pages.are_open()
            },
            tasks,
        );
        tasks.spawn(look(pages.clone(), PIPELINE_PAUSE, pipeline, move || {
            let state = state.clone();
            async move { Ok(state.text()) }
        }));
        let statements = [(COVER, COVER_PAUSE, cover), (WORTH, WORTH_PAUSE, worth)];
        for (sql, pause, sender) in statements {
            let reader = reader.clone();
            tasks.spawn(look(pages.clone(), pause, sender, move || {
                let reader = reader.clone();
                async move { reader.ask(sql, &[]).await }
            }));
        }
        let reader = reader.clone();
        tasks.spawn(look(pages, CODES_PAUSE, codes, move || {
            let reader = reader.clone();
            async move { codes::newest(&reader).await }
        }));
    }
}

/// Looks while pages are open. What cannot be had stays as it was: the pipeline says who does not answer.
async fn look<T, F>(
    pages: Pages,
    pause: Duration,
    sender: watch::Sender<Option<Arc<T>>>,
    mut ask: impl FnMut() -> F,
) where
    F: Future<Output = Result<T, Problem>>,
{
    loop {
        if !pages.are_open() {
            tokio::time::sleep(IDLE_PAUSE).await;
            continue;
        }
        let began = Instant::now();
        if let Ok(found) = ask().await {
            sender.send_replace(Some(Arc::new(found)));
        }
        tokio::time::sleep(pause.max(began.elapsed() * BUSY_PART)).await;
    }
}

/// A page that follows.
struct Page {
    live: Live,
    codes: ToldCodes,
    /// Told of once, each.
    begun: bool,
    _open: Arc<()>,
}

/// `GET /api/live`.
pub(super) async fn follow(State(api): State<Api>) -> impl IntoResponse {
    let page = Page::open(&api.live);
    let stopped = api.stop.clone().cancelled_owned();
    let events = Box::pin(page.events());
    // A stream that went on would hold up the drain.
    let events = stream::unfold(
        (events, Box::pin(stopped)),
        |(mut events, mut stopped)| async {
            use futures_util::StreamExt as _;
            tokio::select! {
                biased;
                () = &mut stopped => None,
                event = events.next() => event.map(|event| (event, (events, stopped))),
            }
        },
    );
    // A proxy that gathers answers would hold events up.
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    ([unbuffered], Sse::new(events))
}

impl Page {
    fn open(live: &Live) -> Page {
        let mut live = live.clone();
        // What is known from before is shown at once.
        live.pipeline.mark_changed();
        live.cover.mark_changed();
        live.worth.mark_changed();
        live.codes.mark_changed();
        Page {
            _open: Arc::clone(&live.pages),
            live,
            codes: ToldCodes::default(),
            begun: false,
        }
    }

    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut page| async move {
            let event = page.next().await?;
            Some((Ok(event), page))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.begun, true) {
            // The answer's head goes out with its first byte.
            return Some(Event::default().comment("tidewater"));
        }
        loop {
            let event = tokio::select! {
                changed = self.live.pipeline.changed() => {
                    changed.ok()?;
                    text("pipeline", &mut self.live.pipeline)
                }
                changed = self.live.cover.changed() => {
                    changed.ok()?;
                    text("cover", &mut self.live.cover)
                }
                changed = self.live.worth.changed() => {
                    changed.ok()?;
                    text("worth", &mut self.live.worth)
                }
                changed = self.live.codes.changed() => {
                    changed.ok()?;
                    let codes = self.live.codes.borrow_and_update().clone();
                    let news = codes.and_then(|codes| self.codes.news(&codes));
                    news.map(|news| Event::default().event("codes").data(news))
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }
}

fn text(name: &str, latest: &mut Latest<String>) -> Option<Event> {
    let text = latest.borrow_and_update().clone()?;
    Some(Event::default().event(name).data(text.as_str()))
}
