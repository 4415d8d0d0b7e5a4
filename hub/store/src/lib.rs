//! JupyterHub 6.1's database and Specola's own tables in it, on SQLite and PostgreSQL.
//!
//! One file a table group, each adding functions to [`Store`]. What is stored is decided elsewhere: no function here
//! reads the clock, makes a token or knows a scope. Datetimes are naive UTC, JSON is text, tokens are hashes, exactly
//! as JupyterHub 6.1 writes and reads them.
//!
//! Look-ups return `Option`; guarded writes tell whether they changed the row. A write that must hold together is one
//! transaction, and no transaction is open across anything but the database.

mod activity;
mod adopt;
mod after_stop;
mod announcement;
mod audit;
mod backup;
mod candidate;
mod census;
mod claim;
mod cull;
mod database;
mod device;
mod error;
mod event;
mod group;
mod hub;
mod identity;
mod intent;
mod inventory;
mod invite;
mod lab;
mod membership;
mod meta;
mod migration;
mod oauth;
mod password;
mod postgres;
mod primary;
mod purge;
mod reservation;
mod role;
mod role_origin;
mod role_sync;
mod route;
mod row;
mod schema;
mod server;
mod service;
mod service_run;
mod session;
mod share;
mod share_code;
mod site;
mod start;
mod stop;
mod store;
mod throttle;
mod token;
mod trash;
mod upgrade;
mod upstream;
mod upstream_other;
mod url;
mod usage;
mod user;
mod value;
mod version;
mod writer;

pub use after_stop::AfterStop;
pub use announcement::StoredAnnouncement;
pub use audit::{AuditQuery, NewAudit};
pub use backup::Backup;
pub use candidate::{Candidate, Connected};
pub use cull::Judged;
pub use device::{DevicePlace, DeviceUse, Devices, Leased, Taker};
pub use error::{Context, OpenError, Result, StoreError};
pub use event::{Event, NewEvent};
pub use group::{Group, GroupQuery};
pub use hub::Hub;
pub use identity::{Identity, Refusal};
pub use intent::{StartLimits, WantRunning, WantStopped};
pub use inventory::{AuthState, Inventory, RunningServer};
pub use oauth::{CODE_SECONDS, Code, HUB_CLIENT, NewCode, OAuthClient};
pub use password::Password;
pub use purge::Purged;
pub use reservation::{Over, Reservation};
pub use role::{Holder, NewRole, Role};
pub use role_origin::{Held, HeldRole};
pub use role_sync::Holders;
pub use route::{Changes, Proxy, Route};
pub use server::{Address, MemoryFull, Running, Server};
pub use service::{Existing, Put, Service, ServiceAddress, ServiceSpec};
pub use service_run::ServiceState;
pub use session::{NewSession, Session};
pub use share::{Share, ShareQuery, ShareWith, SharedServer, Shares};
pub use share_code::{NewShareCode, ShareCode};
pub use site::StoredSite;
pub use start::{Arrived, Prepared, StartPlace, Step};
pub use store::{Alone, Leases, OpenOptions, Store};
pub use throttle::Throttle;
pub use token::{NewToken, Token, TokenOwner};
pub use trash::TrashedVolume;
pub use upgrade::Upgraded;
pub use upstream::Upstream;
pub use upstream_other::NewUpstreamOther;
pub use usage::{Share as UsageShare, Usage, UsageOf};
pub use user::{Only, Page, Sort, SortKey, User, UserQuery, UserState};
pub use version::Version;
