//! The hub's pages and REST API in process: the whole application on a real SQLite file, without a socket. No keeper
//! runs, so that a server that is wanted stays wanted.

mod admin;
mod announcements;
mod audit;
mod contract;
mod cull;
mod defects;
mod groups;
mod hostile;
mod house;
mod lab_status;
mod metrics;
mod oauth;
mod page_rights;
mod password;
mod readmit;
mod rename;
mod rights;
mod services;
mod session;
mod share_codes;
mod shares;
mod sites;
mod subdomains;
mod trash;
mod xsrf;
