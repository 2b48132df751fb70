//! Requests and answers: connections, proxies, TLS. Knows no registries.

mod address;
mod body;
mod connect;
mod fail;
mod proxy;
mod tls;
mod wire;

pub use self::fail::WireError;
pub(crate) use self::{
    address::{Address, host_and_port},
    body::{Payload, Pieces},
    wire::{Ask, Reply, Wire},
};

/// A method as Go's errors name it: `Get`, `Head`, ….
pub(crate) fn verb(method: &hyper::Method) -> &'static str {
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
