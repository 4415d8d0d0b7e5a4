//! Black-box tests, one module a way through the house.

mod flow;
mod reference;
