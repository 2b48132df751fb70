//! HTTP to servers elsewhere: addresses, proxies, TLS, pooled connections. Knows neither registries
//! nor builds; what a server that fails is called are the words of Go's `net` and `crypto/tls`,
//! which Docker's users know.

#![forbid(unsafe_code)]

mod address;
mod body;
mod connect;
mod fail;
mod network;
mod proxy;
mod secret;
mod tls;
mod trust;
mod wire;

pub use self::{
    address::{Address, host_and_port},
    body::{Payload, Pieces},
    fail::WireError,
    network::Network,
    proxy::Proxies,
    secret::Secret,
    tls::{TlsError, any_certificate},
    trust::Trust,
    wire::{Ask, Reply, Waits, Wire},
};

/// A method as Go's errors name it: `Get`, `Head`, ….
#[must_use]
pub fn verb(method: &hyper::Method) -> &'static str {
    match method.as_str() {
        "GET" => "Get",
        "HEAD" => "Head",
        "POST" => "Post",
        "PUT" => "Put",
        "PATCH" => "Patch",
        "DELETE" => "Delete",
        _ => "Request",
    }
}
