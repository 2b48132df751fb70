//! Scopes of the transport `docker`: which of them an image is in, the most specific first.

use gantry_oci::Reference;

/// The name that identifies an image: its digest counts where it has one, whatever tag stands beside.
pub(crate) fn identity(image: &Reference) -> Reference {
    match image.digest() {
        Some(digest) => image.with_digest(digest.clone()),
        None => image.clone().or_latest(),
    }
}

/// All scopes that an image is in but the default one, the most specific first: the reference itself,
/// its repository, what is above that, the registry, and `*.domain` for each domain that the
/// registry's host is in.
pub(crate) fn of(image: &Reference) -> Vec<String> {
    let mut scopes = vec![identity(image).canonical()];
    let name = image.name();
    let mut above = name.as_str();
    loop {
        scopes.push(above.to_owned());
        let Some((shorter, _)) = above.rsplit_once('/') else { break };
        above = shorter;
    }
    // Wildcards stand for hosts, whatever their port.
    let mut host = above.split_once(':').map_or(above, |(host, _)| host);
    while let Some((_, domain)) = host.split_once('.') {
        scopes.push(format!("*.{domain}"));
        host = domain;
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_comes_first() {
        let digest = gantry_oci::Digest::of(b"");
        for (image, want) in [
            (
                "busybox",
                "docker.io/library/busybox:latest docker.io/library/busybox docker.io/library \
                 docker.io *.io",
            ),
            (
                "reg.example.com:5000/team/app:1",
                "reg.example.com:5000/team/app:1 reg.example.com:5000/team/app \
                 reg.example.com:5000/team reg.example.com:5000 *.example.com *.com",
            ),
            ("localhost/a:1", "localhost/a:1 localhost/a localhost"),
            (
                &format!("a/b:1@{digest}"),
                &format!("docker.io/a/b@{digest} docker.io/a/b docker.io/a docker.io *.io"),
            ),
        ] {
            assert_eq!(of(&image.parse().unwrap()).join(" "), want, "{image}");
        }
    }
}
