# Plain instructions only: the legacy builder does as well as BuildKit.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make pkg-config libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies first, against an empty program: this layer stays until the lock file changes.
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --bin tidewater
COPY migrations migrations
COPY src src
# What `--version` names: docker build --build-arg TIDEWATER_COMMIT="$(git describe --always --dirty)" .
ARG TIDEWATER_COMMIT
# Newer than what was built from the empty program.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin tidewater \
    && strip --strip-debug target/release/tidewater

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 tidewater \
    && useradd --system --uid 10001 --gid tidewater --no-create-home tidewater
COPY --from=build /build/target/release/tidewater /usr/local/bin/tidewater
COPY deploy/healthcheck /usr/local/bin/healthcheck
# The configuration is read from here when it is mounted; every key may be a variable instead.
WORKDIR /etc/tidewater
ENV TIDEWATER_HTTP_LISTEN=0.0.0.0:8080
EXPOSE 8080 8081
USER tidewater
# Alive, not ready: a long snapshot or a broker that is away is no reason to restart.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["healthcheck"]
ENTRYPOINT ["tidewater"]
CMD ["run"]
