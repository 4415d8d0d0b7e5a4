//! One request: find its route, pass it on, stream the answer back.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, EXPECT, HOST, STRICT_TRANSPORT_SECURITY, UPGRADE},
    response,
};
use hyper::body::{Body, Incoming};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    access_log::Entry,
    activity::lock,
    body::{Download, Downloading, Exchange, Gate, Never, Upload},
    budget::{self, Seat, Turn},
    chp::Rewrite,
    dial,
    error_page::{self, Asked, Fault, PATIENCE},
    headers::{self, Origin},
    http2,
    keep_alive::{self, Between},
    metrics::count,
    path::{host_key, key},
    pool::Lease,
    reach::{self, Patience},
    rewound::Rewound,
    room::Place,
    route::{Class, Route},
    short::{Begun, Opened},
    sibling,
    silence::{Pulse, Silence},
    splice::Ends,
    state::Shared,
    upgrade,
    workers::Load,
};

/// For an upstream that takes longer to answer than it may.
pub(crate) const LATE: Fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, "The server did not answer in time.");

/// For a client that goes silent in the middle of an upload, or leaves there.
pub(crate) const STOPPED: Fault = Fault::new(StatusCode::REQUEST_TIMEOUT, "The upload stopped before its end.");

/// For an upstream whose answer is none.
pub(crate) const NO_ANSWER: Fault = Fault::new(StatusCode::BAD_GATEWAY, "The server gave no valid answer.");

/// A client that stops in the middle of an upload is found out by its own bound, whose answer says more.
const LAST_WORD: Duration = Duration::from_millis(250);

/// One client connection, shared with the tunnel it may become.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) origin: Origin,
    /// Counts against the bound on connections until connection and tunnel are gone.
    pub(crate) _place: Option<Place>,
    /// Counts against the bound of its address.
    pub(crate) _seat: Option<Seat>,
    /// Counts for the worker that serves it.
    pub(crate) _load: Option<Load>,
    /// None at a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// Told of requests, where the wait for the next one has a bound of its own.
    pub(crate) between: Option<Arc<Between>>,
    /// Where a pipe may be put before its connection.
    pub(crate) ends: Option<Arc<Ends>>,
    /// What the short way has begun of the next request.
    pub(crate) begun: Mutex<Option<Box<Begun>>>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>, origin: Origin, peer: Option<IpAddr>) -> Self {
        let begun = Mutex::default();
        Self { shared, origin, peer, between: None, ends: None, begun, _place: None, _seat: None, _load: None }
    }
}

/// Answers one request, whatever happens. What few requests need is boxed on the way, for hyper copies the whole of what
/// this returns.
pub(crate) async fn answer(client: Arc<Client>, mut request: Request<Incoming>) -> Result<Response<Download>, Never> {
    let begun = lock(&client.begun).take();
    if begun.is_none() {
        client.shared.counts.requests.fetch_add(1, Ordering::Relaxed);
    }
    let open = client.between.as_ref().map(Between::open);
    if request.uri().path() == "/_chp_healthz" && request.uri().query().is_none() {
        return Ok(keep_alive::held(open, error_page::healthy()));
    }
    let begin = begun.as_ref().map_or_else(Instant::now, |begun| begun.begin);
    let passed_on = sibling::admit(&client.shared, &mut request);
    let asked = Asked::new(&request);
    let multiplexed = request.version() == Version::HTTP_2;
    let socket = match multiplexed {
        true => request.method() == Method::CONNECT,
        false => request.headers().contains_key(UPGRADE) && upgrade::wanted(&request).is_some(),
    };
    let entry = client.shared.access_log.as_ref().map(|_| {
        Entry::new(&client.shared, &client.origin.address, asked.method(), request.uri().path(), request.headers())
    });
    let mut found = None;
    let mut response = match pass(&client, Box::new(request), passed_on, begun, &mut found).await {
        Ok(response) => response,
        Err(fault) if fault.status.is_server_error() || client.shared.chp.is_some() => {
            Box::pin(error_page::told(&client.shared, fault, &asked)).await
        }
        Err(fault) => error_page::own(fault, asked.api()),
    };
    let class = found.as_ref().map_or(Class::Other, |route| route.class());
    sibling::mark(&mut response, passed_on, class, found.as_ref().is_some_and(|route| route.is_elsewhere()));
    client.shared.meter.answered(class, socket, response.status(), begin.elapsed());
    // Another proxy accepts now: the next request of this client goes to that one.
    if client.shared.leaving.is_set() && !multiplexed && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(hsts) = client.shared.secure.as_ref().and_then(|secure| secure.hsts.as_ref()) {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    if let Some(entry) = entry {
        let (status, route) = (response.status(), found.map(|route| route.prefix()));
        response = response.map(|body| entry.around(status, route, class, body));
    }
    Ok(keep_alive::held(open, response))
}

/// Finds the route, which `found` then tells, and passes the request on.
async fn pass(
    client: &Arc<Client>,
    mut request: Box<Request<Incoming>>,
    passed_on: bool,
    begun: Option<Box<Begun>>,
    found: &mut Option<Arc<Route>>,
) -> Result<Response<Download>, Fault> {
    let shared = &client.shared;
    if request.version() == Version::HTTP_2 {
        http2::adapt(&mut request)?;
    }
    normal(&mut request)?;
    if let Some(Begun { route, turn, way, .. }) = begun.map(|begun| *begun) {
        *found = Some(Arc::clone(&route));
        let way = way.opened(shared, &route).await?;
        return forward(client, request, route, turn, way).await;
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (route, took) = find(shared, host, request.uri().path());
    took.into_iter().for_each(|took| shared.meter.find.add(took));
    // Who passes a request on has counted it.
    if !passed_on && !route.as_ref().is_ok_and(|route| is_health(route, request.uri().path())) {
        budget::may_ask(client, || headers::last_address(request.headers()))?;
    }
    let route = route?;
    *found = Some(Arc::clone(&route));
    if passed_on && route.is_elsewhere() {
        tracing::warn!(prefix = route.prefix(), "another site sent a request here, and its server is not here either");
        return Err(sibling::ASTRAY);
    }
    let turn = budget::turn(shared, &route)?;
    match &shared.chp {
        None => pass_on(client, request, route, turn).await,
        Some(chp) => Box::pin(rewritten(client, request, route, turn, &chp.rewrite)).await,
    }
}

/// What load balancers and clusters ask for, from few addresses and again and again.
pub(crate) fn is_health(route: &Route, path: &str) -> bool {
    route.is_hub()
        && path.strip_suffix("hub/health").is_some_and(|base| {
            let prefix = route.prefix();
            let prefix = prefix.find('/').and_then(|at| prefix.get(at..)).unwrap_or_default();
            base == prefix || Some(base) == prefix.strip_suffix("hub/")
        })
}

async fn pass_on(
    client: &Arc<Client>,
    request: Box<Request<Incoming>>,
    route: Arc<Route>,
    turn: Option<Turn>,
) -> Result<Response<Download>, Fault> {
    match upgrade::wanted(&request) {
        Some(key) => Box::pin(upgrade::pass(client, *request, route, key, turn)).await,
        None => forward(client, request, route, turn, None).await,
    }
}

/// The same with the changes that configurable-http-proxy makes.
async fn rewritten(
    client: &Arc<Client>,
    mut request: Box<Request<Incoming>>,
    route: Arc<Route>,
    turn: Option<Turn>,
    rewrite: &Rewrite,
) -> Result<Response<Download>, Fault> {
    const URL: Fault = Fault::new(StatusCode::BAD_REQUEST, "The address of the request is not valid.");
    *request.uri_mut() = rewrite.uri(request.uri(), &route.prefix(), route.target()).ok_or(URL)?;
    let host = request.headers().get(HOST).cloned();
    let to = Arc::clone(&route);
    let mut response = Box::pin(pass_on(client, request, route, turn)).await?;
    if let Some(host) = host.as_ref().and_then(|host| host.to_str().ok()) {
        rewrite.location(response.status(), response.headers_mut(), to.target(), host);
    }
    Ok(response)
}

/// Checks method and host, and turns absolute form into origin form with the right `Host`.
fn normal(request: &mut Request<Incoming>) -> Result<(), Fault> {
    const METHOD: Fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "This method is not served here.");
    const BAD_HOST: Fault = Fault::new(StatusCode::BAD_REQUEST, "The request does not name exactly one valid host.");
    const URL: Fault = Fault::new(StatusCode::BAD_REQUEST, "The address of the request is not valid.");
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(METHOD);
    }
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| URL)?;
        let path = request.uri().path_and_query().cloned().ok_or(URL)?;
        *request.uri_mut() = Uri::builder().path_and_query(path).build().map_err(|_| URL)?;
        request.headers_mut().insert(HOST, host);
    }
    let old = request.version() == Version::HTTP_10 && !request.headers().contains_key(HOST);
    if !old && headers::only_host(request.headers()).is_none() {
        return Err(BAD_HOST);
    }
    Ok(())
}

/// The route of a request, and how long it took to find it, where somebody expects that to be measured: asking for the time
/// costs as much as finding.
pub(crate) fn find(shared: &Shared, host: &str, path: &str) -> (Result<Arc<Route>, Fault>, Option<Duration>) {
    let begin = shared.chp.as_ref().map(|_| Instant::now());
    let found = look_up(shared, host, path);
    (found, begin.map(|begin| begin.elapsed()))
}

/// The route of a host and a raw path.
fn look_up(shared: &Shared, host: &str, path: &str) -> Result<Arc<Route>, Fault> {
    const PATH: Fault = Fault::new(StatusCode::BAD_REQUEST, "The address of the request is not valid.");
    const UNKNOWN: Fault = Fault::new(StatusCode::NOT_FOUND, "There is nothing at this address.");
    const UNREADY: Fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, "The service is starting. Try again shortly.");
    let raw = match path {
        "*" => "/",
        path => path,
    };
    let key = key(raw).map_err(|problem| {
        tracing::debug!(%problem, "request refused");
        PATH
    })?;
    let routes = shared.routes.load();
    let by_host =
        if routes.table.has_hosts() { routes.table.find(&[host_key(host).as_bytes(), &key].concat()) } else { None };
    match by_host.or_else(|| routes.table.find(&key)).or(shared.fallback.as_ref()) {
        Some(route) => Ok(Arc::clone(route)),
        None if routes.epoch.is_empty() => Err(UNREADY),
        None => Err(UNKNOWN),
    }
}

async fn forward(
    client: &Client,
    request: Box<Request<Incoming>>,
    route: Arc<Route>,
    turn: Option<Turn>,
    way: Option<Opened>,
) -> Result<Response<Download>, Fault> {
    let shared = &client.shared;
    let (mut parts, incoming) = request.into_parts();
    let (gate, wanted) = match parts.headers.contains_key(EXPECT) && !incoming.is_end_stream() {
        true => {
            let (opener, opened) = oneshot::channel();
            (Some(Gate::new(opened, PATIENCE)), Some(opener))
        }
        false => (None, None),
    };
    let limits = shared.limits();
    let (answer, silence) = (limits.answer, limits.download_idle);
    let pulse = answer.or(silence).map(|_| Pulse::start());
    let quiet = Silence::new(limits.upload_idle, pulse.clone());
    // What the short way has left of a body may lie where no pipe begins.
    let from = client.ends.as_ref().filter(|_| way.is_none());
    let (upload, uploaded) = Upload::new(incoming, &route, quiet, gate, from);
    drop(limits);
    let size = (!upload.is_empty()).then(|| upload.size_hint());
    let origin = sibling::origin(&client.origin, &parts.extensions);
    let trailers = headers::clean_request(&mut parts.headers, &origin, size).map_err(refused_head)?;
    headers::name_host(&mut parts.headers, route.target());
    guard_cookies(shared, &route, &mut parts.headers);
    sibling::show(shared, &route, &mut parts.headers);
    if let Some(chp) = &shared.chp {
        chp.rewrite.request(&mut parts.headers, route.target());
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let mut outgoing = Box::new(Request::from_parts(parts, upload));
    if let Some(opener) = wanted {
        open_on_continue(&mut outgoing, opener);
    }
    let bound = answer.into_iter().chain(silence.map(|time| time + LAST_WORD)).min();
    let silence = silence.map(|time| Box::new(Silence::new(time, pulse.clone())));
    let exchange = Exchange { route, lease: None, uploaded, counts: false, silence, _turn: turn };
    let (response, exchange) = match bound {
        None => send(shared, outgoing, exchange, way).await?,
        Some(bound) => {
            let sending = Box::pin(send(shared, outgoing, exchange, way));
            Silence::new(bound, pulse).until(sending).await.unwrap_or(Err(LATE))?
        }
    };
    let (parts, body) = response.into_parts();
    deliver(client, parts, body, exchange, trailers)
}

/// The hub's cookies are not for other servers.
pub(crate) fn guard_cookies(shared: &Shared, route: &Route, headers: &mut HeaderMap) {
    if let Some(firewall) = shared.cookie_firewall.as_ref().filter(|_| !route.is_hub()) {
        firewall.request(headers);
    }
}

/// And theirs are not for the hub, nor for one another.
pub(crate) fn confine_cookies(shared: &Shared, route: &Route, headers: &mut HeaderMap) {
    if let Some(firewall) = shared.cookie_firewall.as_ref().filter(|_| !route.is_hub()) {
        firewall.response(headers, &route.prefix());
    }
}

pub(crate) fn refused_head(status: StatusCode) -> Fault {
    Fault::new(status, "The head of the request is not valid.")
}

fn open_on_continue(request: &mut Request<Upload>, opener: oneshot::Sender<()>) {
    let opener = std::sync::Mutex::new(Some(opener));
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE
            && let Some(opener) = lock(&opener).take()
        {
            // The receiver is gone when the body is no longer wanted.
            let _ = opener.send(());
        }
    });
}

/// Sends a request on a pooled connection, or a new one; or gets its answer over `way`, on which it was sent before. A
/// request is sent again only when nothing of an answer arrived and it either was never written, or is idempotent and has
/// no body.
async fn send(
    shared: &Arc<Shared>,
    mut outgoing: Box<Request<Upload>>,
    mut exchange: Exchange,
    way: Option<Opened>,
) -> Result<(Response<Incoming>, Exchange), Fault> {
    let whole = way.as_ref().is_none_or(|way| way.whole);
    let repeatable = whole && outgoing.body().is_empty() && headers::is_idempotent(outgoing.method());
    let patient = exchange.route.is_hub();
    let mut patience = Patience::default();
    // Of what was sent before hyper may think that it was not.
    let mut sent_before = way.is_some();
    let mut way = match way {
        Some(way) => Some((way.lease, way.reused)),
        None => idle(shared, &exchange.route).await?.map(|lease| (lease, true)),
    };
    loop {
        let reused = way.as_ref().is_some_and(|(_, reused)| *reused);
        let lease = match way.take() {
            Some((lease, _)) => lease,
            None => Box::pin(reach::dial(shared, &mut exchange.route, &mut patience)).await?,
        };
        let spare = (repeatable && (reused || patient)).then(|| copy(&outgoing));
        // In the exchange, so that the connection is cut should the client leave while we wait.
        let lease = exchange.lease.insert(lease);
        outgoing.body_mut().leads_to(lease.ends.as_ref());
        let sent = lease.sender.try_send_request(*outgoing);
        let mut failed = match sent.await {
            Ok(response) => return Ok((response, exchange)),
            Err(failed) => Box::new(failed),
        };
        if let Some(lease) = exchange.lease.take() {
            lease.driver.abort();
        }
        let unsent = failed.take_message().filter(|_| !std::mem::take(&mut sent_before)).map(Box::new);
        let again = unsent.or(spare).filter(|_| reused || patient);
        let error = failed.into_error();
        let Some(again) = again else { return Err(no_answer(&error)) };
        if !reused && !patience.pause(shared).await {
            return Err(no_answer(&error));
        }
        count(&shared.meter.retries);
        outgoing = again;
    }
}

/// A connection that waits for a request.
pub(crate) async fn idle(shared: &Shared, route: &Route) -> Result<Option<Lease>, Fault> {
    if let Some(lease) = route.take_idle() {
        return Ok(Some(lease));
    }
    let Some(line) = route.take_line() else { return Ok(None) };
    let driven = dial::drive(shared, route, Rewound::new(line.stream, Bytes::new())).await;
    driven.map(Some).map_err(|error| no_answer(&error))
}

fn copy(request: &Request<Upload>) -> Box<Request<Upload>> {
    let mut copy = Box::new(Request::new(Upload::Empty));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

pub(crate) fn no_answer(error: &hyper::Error) -> Fault {
    tracing::debug!(%error, "upstream gave no valid answer");
    if std::error::Error::source(error).is_some_and(|cause| cause.is::<crate::body::UploadError>()) {
        return STOPPED;
    }
    NO_ANSWER
}

/// Turns the upstream's answer into ours.
pub(crate) fn deliver(
    client: &Client,
    mut parts: response::Parts,
    body: Incoming,
    mut exchange: Exchange,
    trailers: bool,
) -> Result<Response<Download>, Fault> {
    confine_cookies(&client.shared, &exchange.route, &mut parts.headers);
    // A switch that nobody asked for would leave a stranger in charge of the client's connection.
    if parts.status == StatusCode::SWITCHING_PROTOCOLS || !headers::clean_response(&mut parts.headers, trailers) {
        return Err(NO_ANSWER);
    }
    let trailers = if trailers { headers::named_trailers(&parts.headers) } else { Vec::new() };
    parts.version = Version::HTTP_11;
    exchange.counts = parts.status.as_u16() < 300;
    if body.is_end_stream() {
        exchange.finish();
        return Ok(Response::from_parts(parts, Download::Own(None)));
    }
    let streamed = Downloading::new(body, exchange, trailers, client.ends.as_ref());
    Ok(Response::from_parts(parts, Download::Streamed(streamed)))
}
