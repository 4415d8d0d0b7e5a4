//! `/user/lab-status`: what a running lab tells of itself, by the agent in it. The home page shows it.
//!
//! Only the token that a server was started with is taken, and it tells of that server alone.

use actix_web::{HttpResponse, web};

use crate::app::App;
use crate::http::guard::Anyone;
use crate::http::{Answer, Problem};
use crate::labs::Status;
use crate::upstream::lab::lab_of;

/// Agents have no more to tell, in bytes.
const LARGEST: usize = 64 << 10;

/// `PUT /user/lab-status`
pub async fn put(app: web::Data<App>, who: Anyone, bytes: web::Bytes) -> Answer {
    let lab = lab_of(&app, &who.0).await?;
    let lab = lab.ok_or_else(|| Problem::forbidden("Only a running server tells how it is"))?;
    if bytes.len() > LARGEST {
        return Err(Problem::bad(format!("The status of a lab has {LARGEST} bytes at most")));
    }
    let status = Status::read(&bytes).map_err(Problem::bad)?;
    app.labs.tell(&app.store, &lab, status, app.now()).await?;
    Ok(HttpResponse::NoContent().finish())
}
