//! The one error edge: what a client is told when a request fails.
//!
//! Internal text stays in the log. For REST paths the body is JupyterHub's `{"status", "message"}`; page paths get
//! the same `Problem` rendered as HTML by `http::dress`.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use hub_store::StoreError;

/// A refusal or failure, with the text chosen for people.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    message: Option<String>,
    advice: Option<String>,
    coded: Option<Box<Coded>>,
    retry_after: Option<u64>,
    reference: Option<String>,
}

/// What programs are told beside the sentence.
#[derive(Debug)]
struct Coded {
    code: &'static str,
    /// Empty when it is about no option in particular.
    field: String,
}

/// The result of every handler.
pub type Answer<T = HttpResponse> = Result<T, Problem>;

/// What somebody quotes when they ask for help, beside which the cause is in the log.
pub fn reference() -> String {
    uuid::Uuid::new_v4().simple().to_string().chars().take(8).collect()
}

impl Problem {
    /// A refusal with a sentence.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::bare(status) }
    }

    /// A refusal without text, as JupyterHub's bare errors (`message` is null).
    pub fn bare(status: StatusCode) -> Self {
        Self { status, message: None, advice: None, coded: None, retry_after: None, reference: None }
    }

    /// 400 with a sentence.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 403 with a sentence.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404 without text.
    pub fn not_found() -> Self {
        Self::bare(StatusCode::NOT_FOUND)
    }

    /// 409 with a sentence.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// A fault of ours: logged here with its cause, told to the client without it.
    pub fn internal(context: &str, cause: impl std::fmt::Display) -> Self {
        let reference = reference();
        tracing::error!(reference, "{context}: {cause}");
        let message = format!("Something went wrong in the hub. Reference: {reference}");
        Self { reference: Some(reference), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, message) }
    }

    /// Adds what the reader can do about it; shown on pages.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds a word for programs, and the option it is about, if it is about one.
    pub fn coded(mut self, code: &'static str, field: &str) -> Self {
        self.coded = Some(Box::new(Coded { code, field: field.to_owned() }));
        self
    }

    /// The option that it is about.
    pub fn field(&self) -> Option<&str> {
        self.coded.as_ref().map(|coded| coded.field.as_str()).filter(|field| !field.is_empty())
    }

    /// Adds `Retry-After`, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The status, for those who decide by it.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence for people, if there is one.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// What to quote when asking for help.
    pub fn reference(&self) -> Option<String> {
        self.reference.clone()
    }

    /// What the reader can do about it.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.message.as_deref().unwrap_or_default())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = serde_json::json!({ "status": self.status.as_u16(), "message": self.message });
        if let Some(coded) = &self.coded {
            body["code"] = coded.code.into();
        }
        if let Some(field) = self.field() {
            body["field"] = field.into();
        }
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((HeaderName::from_static("retry-after"), HeaderValue::from(seconds)));
        }
        response.json(body)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) | StoreError::Unreachable(_) => {
                tracing::warn!("database: {error}");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The database does not answer at the moment. Try again.")
                    .retry_after(2)
            }
            StoreError::ReadOnly(_) => {
                tracing::error!("database: {error}");
                let told = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The hub's database cannot be written, so nothing can be saved.",
                )
                .advise("Tell the people who run this hub. Your files and running servers are not affected.");
                // A server that is replaced by another is read-only for a while; a file is until somebody does something.
                if error.may_pass() { told.retry_after(10) } else { told }
            }
            StoreError::Full(_) => {
                tracing::error!("database: {error}");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "The hub's disk is full, so nothing can be saved.")
                    .advise("Tell the people who run this hub. Your files and running servers are not affected.")
            }
            // Too long, out of range, a NUL: nobody else but the one who asks can have brought it.
            StoreError::Invalid(_) => {
                tracing::warn!("database: {error}");
                Self::bad("The request holds a value that cannot be saved: too long, out of range, or with a NUL")
            }
            other => Self::internal("database", other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_will_be_back_is_told_with_when_to_come_again() {
        let context = |source| hub_store::Context { doing: "INSERT".to_owned(), source };
        let standby = || sqlx::Error::Io(std::io::ErrorKind::ReadOnlyFilesystem.into());
        for error in [
            StoreError::Busy(context(sqlx::Error::PoolTimedOut)),
            StoreError::Unreachable(context(sqlx::Error::BeginFailed)),
            StoreError::ReadOnly(context(standby())),
        ] {
            let answer = Problem::from(error).error_response();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        }
    }
}
