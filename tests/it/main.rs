//! Integration tests: the sandbox tenant over real HTTP, the rooms against it, the real binary.

#[cfg(test)]
mod layering;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod support;
