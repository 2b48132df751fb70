FROM --platform=$BUILDPLATFORM rust:1.80 AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry cargo build --release

FROM --platform=linux/arm64 debian:12 AS run
COPY --from=build /src/target/release/tool /usr/bin/tool
CMD ["tool"]
