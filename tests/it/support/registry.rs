//! A registry in this process, for what a real one does not do on request: refusing, failing, being slow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// 503 to everything.
    Failing,
    /// Nothing is answered for as long as this lasts.
    Silent,
    /// 409 to every new schema.
    Incompatible,
}

/// What it holds, and what it was asked.
#[derive(Debug, Default)]
struct Content {
    schemas: Vec<String>,
    subjects: BTreeMap<String, Vec<usize>>,
    asked: Vec<String>,
    authorization: Option<String>,
}

/// A registry on a free port; ended when dropped.
pub(crate) struct FakeRegistry {
    port: u16,
    mood: watch::Sender<Mood>,
    content: Arc<Mutex<Content>>,
    /// The server; it ends with this.
    _task: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    mood: watch::Receiver<Mood>,
    content: Arc<Mutex<Content>>,
}

type Answer = (StatusCode, Json<Value>);

impl FakeRegistry {
    pub(crate) async fn start(mood: Mood) -> FakeRegistry {
        let (sender, receiver) = watch::channel(mood);
        let content = Arc::new(Mutex::new(Content::default()));
        let shared = Shared {
            mood: receiver,
            content: Arc::clone(&content),
        };
        let router = Router::new()
            .route("/subjects", get(subjects))
            .route("/subjects/{subject}", post(look_up))
            .route("/subjects/{subject}/versions", post(register))
            .route("/config/{subject}", get(rule))
            .route("/schemas/ids/{id}", get(schema))
            .with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        FakeRegistry {
            port,
            mood: sender,
            content,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send(mood).unwrap();
    }

    /// Requests so far, each `what subject`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.content.lock().unwrap().asked.clone()
    }

    /// The last `Authorization` header.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.content.lock().unwrap().authorization.clone()
    }

    /// Puts a schema there, as somebody else would.
    pub(crate) fn put(&self, subject: &str, schema: &str) {
        let mut content = self.content.lock().unwrap();
        content.insert(subject, schema);
    }

    /// The schemas of a subject.
    pub(crate) fn schemas(&self, subject: &str) -> Vec<String> {
        let content = self.content.lock().unwrap();
        let places = content.subjects.get(subject).cloned().unwrap_or_default();
        places
            .into_iter()
            .map(|place| content.schemas[place].clone())
            .collect()
    }
}

impl Content {
    fn insert(&mut self, subject: &str, schema: &str) -> usize {
        let known = self.schemas.iter().position(|known| known == schema);
        let place = known.unwrap_or_else(|| {
            self.schemas.push(schema.to_owned());
            self.schemas.len() - 1
        });
        self.subjects
            .entry(subject.to_owned())
            .or_default()
            .push(place);
        place + 1
    }
}

impl Shared {
    /// Notes the question; an error where it is not answered well.
    async fn hear(&self, what: &str, subject: &str, headers: &HeaderMap) -> Result<Mood, Answer> {
        {
            let mut content = self.content.lock().unwrap();
            content.asked.push(format!("{what} {subject}"));
            let header = headers.get("authorization");
            content.authorization = header.map(|value| value.to_str().unwrap().to_owned());
        }
        let mut mood = self.mood.clone();
        let _ = mood.wait_for(|mood| *mood != Mood::Silent).await;
        let mood = *mood.borrow();
        if mood == Mood::Failing {
            return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "not now"));
        }
        Ok(mood)
    }
}

fn refusal(status: StatusCode, message: &str) -> Answer {
    let body = json!({"error_code": status.as_u16(), "message": message});
    (status, Json(body))
}

fn text(body: &Value) -> &str {
    body["schema"].as_str().unwrap()
}

async fn subjects(State(shared): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Answer> {
    shared.hear("list", "", &headers).await?;
    let content = shared.content.lock().unwrap();
    let subjects: Vec<&String> = content.subjects.keys().collect();
    Ok(Json(json!(subjects)))
}

async fn look_up(
    State(shared): State<Shared>,
    Path(subject): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Answer> {
    shared.hear("look-up", &subject, &headers).await?;
    let content = shared.content.lock().unwrap();
    let places = content.subjects.get(&subject);
    let found = places
        .into_iter()
        .flatten()
        .find(|place| content.schemas[**place] == text(&body));
    match found {
        Some(place) => Ok(Json(
            json!({"id": place + 1, "subject": subject, "version": 1}),
        )),
        None => Err(refusal(StatusCode::NOT_FOUND, "schema not found")),
    }
}

async fn register(
    State(shared): State<Shared>,
    Path(subject): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Answer> {
    let mood = shared.hear("register", &subject, &headers).await?;
    if mood == Mood::Incompatible {
        return Err(refusal(StatusCode::CONFLICT, "a field is missing"));
    }
    let id = shared.content.lock().unwrap().insert(&subject, text(&body));
    Ok(Json(json!({ "id": id })))
}

async fn rule(
    State(shared): State<Shared>,
    Path(subject): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Answer> {
    shared.hear("rule", &subject, &headers).await?;
    Ok(Json(json!({"compatibilityLevel": "FULL_TRANSITIVE"})))
}

async fn schema(
    State(shared): State<Shared>,
    Path(id): Path<usize>,
    headers: HeaderMap,
) -> Result<Json<Value>, Answer> {
    shared.hear("schema", &id.to_string(), &headers).await?;
    let content = shared.content.lock().unwrap();
    match content.schemas.get(id - 1) {
        Some(schema) => Ok(Json(json!({ "schema": schema }))),
        None => Err(refusal(StatusCode::NOT_FOUND, "schema not found")),
    }
}
