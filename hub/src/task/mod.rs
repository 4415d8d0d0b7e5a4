//! What goes on beside requests: the proxy's process, routes, the survey of servers, times of
//! activity, clean-up, servers to be deleted, usage, sites under maintenance, images that are fetched beforehand.

pub mod after_stop;
pub mod cleanup;
pub mod cull;
pub mod front;
pub mod images;
pub mod measure;
pub mod providers;
pub mod proxy_process;
pub mod removal;
pub mod replicas;
pub mod routes;
pub mod seen;
pub mod sites;
pub mod survey;
pub mod upstream;
pub mod usage;
