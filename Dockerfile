FROM rust:1-slim-bookworm AS build
WORKDIR /build

# The dependencies, in a layer that stays valid until Cargo.toml or Cargo.lock changes. Cargo wants all files to
# be there that Cargo.toml names, also those that it does not build.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/load && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && touch tests/load/kill.rs tests/load/renewals.rs tests/load/speed.rs tests/load/neighbours.rs \
    && cargo build --release --locked \
    && rm -r src

# The service. Migrations and guides are compiled in.
COPY migrations migrations
COPY openapi/guides openapi/guides
COPY src src
# COPY keeps modification times, and Cargo would take files older than the stand-ins for built.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked


FROM debian:bookworm-slim
# The authorities that vouch for the database's certificate; apart from these the binary needs only glibc.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /build/target/release/partner-platform /usr/local/bin/

# A number, so that an orchestrator can tell that it is not root.
USER 65532:65532
ENV LISTEN=0.0.0.0:8080
EXPOSE 8080

# Bash is in the image anyway and can speak TCP; curl would bring a dozen libraries to keep up to date.
# It asks whether the service lives, not whether it is ready: without its database it is to wait, not to
# be started again.
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD \
    exec 3<>"/dev/tcp/127.0.0.1/${LISTEN##*:}" \
    && printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3 \
    && read -r _ status _ <&3 && [ "$status" = 200 ]

# Needs DATABASE_URL: there is no PostgreSQL in here to run.
ENTRYPOINT ["partner-platform"]
CMD ["serve"]
