//! Errors as pages: the same `Problem` as everywhere, dressed for people. Also what the proxy asks for when a lab is gone.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use pages::ErrorPage;

use super::{show, surround};
use crate::app::App;
use crate::http::url::piece;
use crate::http::{Answer, Caller, Problem, caller};

/// Renders what became of a request.
pub async fn refused(request: &HttpRequest, app: &App, status: StatusCode, problem: Option<&Problem>) -> Answer {
    let person = match status {
        // The database does not answer: asking it whose page this is would make the person wait once more.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => None,
        _ => caller::of_page(request, app).await.unwrap_or_default(),
    };
    page(request, app, person.as_ref(), status, problem)
}

fn page(
    request: &HttpRequest,
    app: &App,
    person: Option<&Caller>,
    status: StatusCode,
    problem: Option<&Problem>,
) -> Answer {
    let (frame, cookie) = surround(request, app, person, "error").parts();
    let message = problem.and_then(Problem::message).map(str::to_owned);
    let mut page = ErrorPage::of_status(frame, status.as_u16(), message, problem.and_then(Problem::reference));
    if let Some(advice) = problem.and_then(Problem::advice) {
        page.advice = advice.to_owned();
    }
    show(&page, status, cookie)
}

/// `GET /error/{code}`: the page for a status, itself sent with 200, as proxies of JupyterHub expect.
pub async fn of_proxy(request: HttpRequest, app: web::Data<App>) -> Answer {
    let code = piece(&request, "code")?.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    let code = code.filter(|code| code.is_client_error() || code.is_server_error()).ok_or_else(Problem::not_found)?;
    let problem = match code {
        StatusCode::SERVICE_UNAVAILABLE => Problem::new(code, "Your server does not answer. It may have ended.")
            .advise("Go to your home page and start it again. Your files are where they were."),
        other => Problem::bare(other),
    };
    let person = caller::of_page(&request, &app).await.unwrap_or_default();
    let mut response: HttpResponse = page(&request, &app, person.as_ref(), code, Some(&problem))?;
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

/// So much of a browser's report goes into the log.
const REPORT: usize = 1024;

/// `POST /security/csp-report`: what a browser kept a page from doing.
pub async fn csp_report(bytes: web::Bytes) -> Answer {
    let report = String::from_utf8_lossy(&bytes);
    let report: String = report.chars().filter(|character| !character.is_control()).take(REPORT).collect();
    crate::metrics::csp_report();
    tracing::warn!("content security report: {report}");
    Ok(HttpResponse::Ok().finish())
}
