//! Claims of every dialect, read.
