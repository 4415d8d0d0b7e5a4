//! The API server itself: one request, one answer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fault::{Faults, How};
use crate::kubelet::{Pace, image};
use crate::lab::Labs;
use crate::question::Question;
use crate::store::{Key, Store, merge, now};

pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What all requests have in common.
pub(crate) struct Server {
    pub store: Store,
    pub faults: Faults,
    /// What the servers are allowed to ask.
    rights: Value,
    /// The hub's own namespace, and the role that it has to bind in all others.
    pub role: Mutex<Option<(String, String)>>,
    asked: Mutex<Count>,
    pub pace: Pace,
    /// Without it all pods are at 127.0.0.1, and nothing answers there.
    pub labs: Option<Arc<Labs>>,
    /// Goes up when all watches are cut.
    pub cut: watch::Sender<u64>,
    /// Watches say nothing while it is set.
    pub silent: watch::Sender<bool>,
    /// Nobody is answered while it is set.
    pub away: watch::Sender<bool>,
    /// Nothing happens to pods while it is set.
    pub idle: watch::Sender<bool>,
    pub stop: CancellationToken,
}

/// How often something was asked.
#[derive(Default)]
struct Count {
    by_line: BTreeMap<String, usize>,
    by_right: BTreeMap<String, usize>,
}

impl Server {
    pub fn new(rights: Value, pace: Pace, labs: Option<Arc<Labs>>, stop: CancellationToken) -> Self {
        Self {
            store: Store::default(),
            faults: Faults::default(),
            rights,
            role: Mutex::default(),
            asked: Mutex::default(),
            pace,
            labs,
            cut: watch::Sender::new(0),
            silent: watch::Sender::new(false),
            away: watch::Sender::new(false),
            idle: watch::Sender::new(false),
            stop,
        }
    }

    /// Runs something until the server ends.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(work));
    }

    /// How many requests there were that begin so.
    pub fn asked(&self, of: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.by_line.range(of.to_owned()..).take_while(|(line, _)| line.starts_with(of)).map(|(_, count)| count).sum()
    }

    /// How many requests there were, by verb and resource.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).by_right.clone()
    }

    fn count(&self, line: &str, question: &Question) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked.by_line.entry(line.to_owned()).or_default() += 1;
        if question.number("resourceVersion") == Some(0) && !question.watches {
            *asked.by_line.entry(format!("CACHED {line}")).or_default() += 1;
        }
        *asked.by_right.entry(format!("{} {}", question.verb(), question.resource())).or_default() += 1;
    }

    pub async fn serve(self: &Arc<Self>, request: Request<Incoming>) -> Answer {
        let method = request.method().clone();
        let Some(question) = Question::of(&request) else { return status(404, "NotFound", "no such path") };
        let line = format!("{}{method} {}", if question.watches { "WATCH " } else { "" }, request.uri().path());
        self.count(&line, &question);
        if !question.is_allowed(&self.rights, self.is_bound(&question)) {
            eprintln!("not among the rights of deploy/helm: {line}");
            return status(403, "Forbidden", &question.lacking());
        }
        let fault = self.faults.take(&line);
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        match fault {
            How::Says(code, reason, message) => return status(code, &reason, &message),
            How::Hangs => std::future::pending().await,
            How::Loses => {
                self.act(&method, &question, body);
                return status(500, "InternalError", "etcdserver: request timed out");
            }
            How::Late(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            How::Stale => return self.list(&question, true),
            How::Passes => {}
        }
        if question.watches { self.watch(question) } else { self.act(&method, &question, body) }
    }

    /// Whether the hub has its rights where it asks: anywhere, unless it has to bind them first.
    fn is_bound(&self, question: &Question) -> bool {
        let role = self.role.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((home, role)), Some(namespace)) = (&*role, &question.namespace) else { return role.is_none() };
        let here =
            |object: &Value| object["metadata"]["namespace"] == **namespace && object["roleRef"]["name"] == **role;
        namespace == home || !self.store.list("rolebindings", here).0.is_empty()
    }

    fn act(self: &Arc<Self>, method: &Method, question: &Question, body: Value) -> Answer {
        match (method, &question.name) {
            (&Method::GET, None) => self.list(question, false),
            (&Method::GET, Some(name)) if question.log => self.log(&question.key(name)),
            (&Method::GET, Some(name)) => self.shown(&question.key(name), self.store.get(&question.key(name))),
            (&Method::POST, None) => self.create(question, body),
            (&Method::PATCH, Some(name)) => {
                let key = question.key(name);
                let version = &body["metadata"]["resourceVersion"];
                let mut late = false;
                let changed = self.change_if(&key, |object| {
                    late = !version.is_null() && object["metadata"]["resourceVersion"] != *version;
                    if !late {
                        merge(object, &body);
                    }
                    !late
                });
                if late {
                    return status(
                        409,
                        "Conflict",
                        "the object has been modified; please apply your changes to the latest version and try again",
                    );
                }
                self.shown(&key, changed)
            }
            (&Method::DELETE, Some(name)) => self.delete(&question.key(name), &body),
            (&Method::DELETE, None) => {
                let (all, _) = self.store.list(&question.kind, |object| question.takes(&question.kind, object));
                for name in all.iter().filter_map(|object| object["metadata"]["name"].as_str()) {
                    self.delete(&question.key(name), &body);
                }
                answer(200, &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            _ => status(405, "MethodNotAllowed", "the server does not allow this method"),
        }
    }

    fn shown(&self, key: &Key, object: Option<Arc<Value>>) -> Answer {
        match object {
            Some(object) => answer(200, &object),
            None => status(404, "NotFound", &format!("{} {:?} not found", key.0, key.2)),
        }
    }

    fn list(&self, question: &Question, stale: bool) -> Answer {
        let number = |name: &str| question.number(name).and_then(|number| usize::try_from(number).ok());
        let (first, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
        let takes = |object: &Value| question.takes(&question.kind, object);
        let (all, version) = if stale {
            self.store.list_of_before(&question.kind, takes)
        } else {
            self.store.list(&question.kind, takes)
        };
        let items: Vec<&Value> = all.iter().skip(first).take(limit).map(AsRef::as_ref).collect();
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        let next = first + items.len();
        if next < all.len() {
            metadata["continue"] = json!(next.to_string());
        }
        answer(200, &json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }))
    }

    fn log(&self, key: &Key) -> Answer {
        match self.store.get(key) {
            None => status(404, "NotFound", "pods not found"),
            Some(pod) if pod["status"]["phase"] == "Pending" => {
                status(400, "BadRequest", "container \"notebook\" in pod is waiting to start: ContainerCreating")
            }
            Some(_) => Response::new(Full::new(Bytes::from(self.store.written(&key.2))).boxed()),
        }
    }

    fn create(self: &Arc<Self>, question: &Question, object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = question.key(&name);
        if let Some(namespace) = &question.namespace
            && namespace.starts_with("absent")
        {
            return status(404, "NotFound", &format!("namespaces {namespace:?} not found"));
        }
        let Some(object) = self.store.create(&key, object) else {
            return status(409, "AlreadyExists", &format!("{} {name:?} already exists", question.kind));
        };
        if question.kind == "pods" {
            let (server, uid) = (Arc::clone(self), object["metadata"]["uid"].clone());
            self.spawn(async move { server.raise(&key, &uid).await });
        }
        answer(201, &object)
    }

    fn delete(self: &Arc<Self>, key: &Key, options: &Value) -> Answer {
        let Some(object) = self.store.get(key) else { return self.shown(key, None) };
        let uid = object["metadata"]["uid"].clone();
        let wanted = &options["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != uid {
            return status(409, "Conflict", "the UID in the precondition does not match");
        }
        let ended = matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        if key.0 != "pods" || options["gracePeriodSeconds"] == 0 || ended {
            self.remove(key, Some(&uid));
            return answer(200, &object);
        }
        let fresh = self.change_if(key, |pod| {
            let first = pod["metadata"]["uid"] == uid && pod["metadata"]["deletionTimestamp"].is_null();
            pod["metadata"]["deletionTimestamp"] = json!(now());
            first
        });
        let Some(fresh) = fresh else { return answer(200, &object) };
        if image(&fresh) != "stubborn" {
            let (server, key) = (Arc::clone(self), key.clone());
            self.spawn(async move { server.lower(&key, &uid).await });
        }
        answer(200, &fresh)
    }

    /// Changes something. A pod that has ended does not answer any more.
    pub fn change(&self, key: &Key, change: impl FnOnce(&mut Value)) -> Option<Arc<Value>> {
        self.change_if(key, |object| {
            change(object);
            true
        })
    }

    /// The same, if it is still what is to be changed.
    pub fn change_if(&self, key: &Key, change: impl FnOnce(&mut Value) -> bool) -> Option<Arc<Value>> {
        let object = self.store.change(key, change)?;
        if key.0 == "pods" && matches!(object["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
            self.close(&object);
        }
        Some(object)
    }

    /// Takes something away, if it is that of this number.
    pub fn remove(&self, key: &Key, uid: Option<&Value>) {
        self.store.remove(key, uid).iter().for_each(|gone| self.close(gone));
    }

    fn close(&self, object: &Value) {
        if let (Some(labs), Some(uid)) = (&self.labs, object["metadata"]["uid"].as_str()) {
            labs.close(uid);
        }
    }
}

/// A status, as the API server writes it.
fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    answer(code, &body)
}

pub(crate) fn answer(code: u16, body: &Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_of(response)
}

pub(crate) fn json_of(mut response: Answer) -> Answer {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
