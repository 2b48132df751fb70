//! The ports that a container publishes.

use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::{HostConfig, PortBinding};
use gantry_api_types::port::{PortSpec, parse_port_range};
use gantry_network::PortRequest;

use crate::error::Invalid;

/// The ports to publish: the bindings, and with `-P` every exposed port that has none.
///
/// # Errors
/// Docker's words for a port that cannot be read.
pub(crate) fn requests(
    config: &ContainerConfig,
    host: &HostConfig,
) -> Result<Vec<PortRequest>, Invalid> {
    let mut requests = Vec::new();
    let any = [PortBinding::default()];
    for (key, bindings) in &host.port_bindings {
        let bindings = match bindings.as_deref() {
            None | Some([]) => &any,
            Some(bindings) => bindings,
        };
        for port in port_keys(key)? {
            for binding in bindings {
                requests.push(request(port, binding)?);
            }
        }
    }
    if host.publish_all_ports {
        for key in config.exposed_ports.keys() {
            for port in port_keys(key)? {
                let bound = requests.iter().any(|request| {
                    request.container_port == port.port
                        && request.proto.to_string() == port.protocol.as_str()
                });
                if !bound {
                    requests.push(request(port, &any[0])?);
                }
            }
        }
    }
    Ok(requests)
}

fn request(port: PortSpec, binding: &PortBinding) -> Result<PortRequest, Invalid> {
    PortRequest::parse(&port.to_string(), &binding.host_ip, &binding.host_port)
        .map_err(|error| Invalid(format!("invalid port specification: {error}")))
}

pub(super) fn port_keys(key: &str) -> Result<Vec<PortSpec>, Invalid> {
    parse_port_range(key)
        .map_err(|error| Invalid(format!("invalid port specification: \"{key}\": {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api_types::Empty;
    use gantry_network::PortChoice;

    #[test]
    fn bindings_and_exposed_ports_become_requests() {
        let config = ContainerConfig {
            exposed_ports: [("80/tcp".to_owned(), Empty), ("53/udp".into(), Empty)].into(),
            ..Default::default()
        };
        let binding = PortBinding { host_ip: "127.0.0.1".into(), host_port: "8080".into() };
        let mut host = HostConfig {
            port_bindings: [("80/tcp".to_owned(), Some(vec![binding]))].into(),
            ..Default::default()
        };
        let got = requests(&config, &host).unwrap();
        assert_eq!((got.len(), got[0].host_port), (1, PortChoice::Exact(8080)));
        host.publish_all_ports = true;
        let got = requests(&config, &host).unwrap();
        assert_eq!((got.len(), got[1].container_port), (2, 53));
        host.port_bindings.insert("0-x".into(), None);
        assert!(requests(&config, &host).is_err());
    }
}
