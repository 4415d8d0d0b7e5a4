//! specola-proxy
