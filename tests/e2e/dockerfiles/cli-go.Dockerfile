FROM --platform=linux/amd64 golang:1.22 AS compile
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -o /out/tool ./cmd/tool

FROM alpine:3.20 AS compile
RUN apk add --no-cache ca-certificates
COPY --from=compile /out/tool /usr/local/bin/tool
ENTRYPOINT ["tool"]
