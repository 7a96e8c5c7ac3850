//! Corners that once were sharp: each test tells what must hold in a place where it did not.

mod support;

mod blocking;
mod borrowed;
mod dropped_loop;
mod leaks;
mod reused;
mod sending_files;
mod small;
mod spinning;
