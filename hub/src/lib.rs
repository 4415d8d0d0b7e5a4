//! specola
