FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=off \
    APP_HOME="/srv/my app" \
    GREETING='hello $USER'
LABEL org.opencontainers.image.title="An app" \
      org.opencontainers.image.description='It says "hi"' \
      multi="line \
one"
WORKDIR $APP_HOME

RUN <<EOF
set -eu
apt-get update
apt-get install -y --no-install-recommends \
    gcc libpq-dev
rm -rf /var/lib/apt/lists/*
EOF

COPY requirements*.txt ./
RUN pip install -r requirements.txt

COPY <<-'CONF' <<run.sh /etc/app/
	[server]
	port = ${PORT}
	CONF
#!/bin/sh
exec gunicorn "app:${APP:-main}"
run.sh

ONBUILD COPY . .
ONBUILD RUN <<X
python -m compileall .
X
ARG VERSION=${VERSION:-0.0.0}
ARG SHORT=${VERSION%%.*}
ENV VERSION=${VERSION#v} SAFE=${VERSION//./_}
STOPSIGNAL SIGTERM
VOLUME ["/data", "/var/log/app"]
CMD gunicorn app:main
