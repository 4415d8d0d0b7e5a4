//! The time of each request, by method, handler and status.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::Histogram;

use super::METRICS;

/// The address of a handler's name, a method by its place in `METHODS`, a status.
type Key = (usize, usize, u16);

/// What may be told of a method: clients invent others, and each would be a series.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"];

thread_local! {
    /// The histograms this thread has met. Bounded: handlers, methods and statuses are ours.
    static MET: RefCell<HashMap<Key, Histogram>> = RefCell::default();
}

/// A request was answered.
pub fn request(method: &Method, handler: &'static str, status: StatusCode, took: Duration) {
    let Some(metrics) = METRICS.get() else { return };
    let known = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
    let key = (handler.as_ptr() as usize, known, status.as_u16());
    MET.with_borrow_mut(|met| {
        let histogram = met.entry(key).or_insert_with(|| {
            let method = METHODS.get(known).copied().unwrap_or_default();
            metrics.requests.with_label_values(&[method, handler, status.as_str()])
        });
        histogram.observe(took.as_secs_f64());
    });
}
