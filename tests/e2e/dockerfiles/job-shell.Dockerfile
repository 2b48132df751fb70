FROM debian:12
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN set -e; curl -fsS https://example.invalid/list | sort > /list
WORKDIR /job
COPY run.sh .
HEALTHCHECK NONE
ENTRYPOINT ["./run.sh"]
