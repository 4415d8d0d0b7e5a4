//! Tells whether HTML is well formed. Only for tests.
