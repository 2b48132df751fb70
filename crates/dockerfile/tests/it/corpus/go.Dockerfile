# syntax=docker/dockerfile:1
# check=skip=StageNameCasing;error=true

ARG GO_VERSION=1.22
ARG VARIANT=bookworm

# build compiles the server
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-${VARIANT} AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    # the sums are checked here, once
    go mod download
COPY --exclude=*_test.go . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build,sharing=locked \
    --mount=type=bind,from=assets,source=/out,target=/src/assets \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /out/server ./cmd/server

FROM node:20-slim AS assets
WORKDIR /web
COPY --link package.json package-lock.json ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc,required npm ci
COPY web/ .
RUN npm run build -- --out /out

FROM scratch
COPY --from=build --chown=65532:65532 /out/server /server
COPY --from=assets /out /assets
USER 65532:65532
EXPOSE 8080 9090/tcp
HEALTHCHECK --interval=30s --timeout=3s --retries=3 CMD ["/server", "-health"]
ENTRYPOINT ["/server"]
CMD ["-listen", ":8080"]
