//! Integration tests: the sandbox tenant over real HTTP, the rooms against it, the real binary.

// By way of LD_PRELOAD.
#[cfg(test)]
#[cfg(target_os = "linux")]
mod crash;
#[cfg(test)]
mod front;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod place;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod unfit;
#[cfg(test)]
mod zia;
