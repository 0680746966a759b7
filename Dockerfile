FROM rust:1-slim-bookworm AS build
WORKDIR /build

# The dependencies, in a layer that stays valid until Cargo.toml or Cargo.lock changes. All files that Cargo.toml
# names must exist, even if Cargo does not build them.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/load && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && touch tests/load/kill.rs tests/load/renewals.rs tests/load/speed.rs tests/load/neighbours.rs \
    && cargo build --release --locked \
    && rm -r src

# The service. Migrations and guides are compiled in.
COPY migrations migrations
COPY openapi/guides openapi/guides
COPY src src
# COPY keeps modification times, and Cargo would not rebuild files that are older than the placeholders.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked


FROM debian:bookworm-slim
# The authorities for the certificate of the database. Otherwise the binary needs only glibc.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /build/target/release/partner-platform /usr/local/bin/

# A number, so that an orchestrator can verify that it is not root.
USER 65532:65532
ENV LISTEN=0.0.0.0:8080
EXPOSE 8080

# Bash is in the image anyway and supports TCP. curl would add a dozen libraries that need updates.
# Checks whether the service is alive, not whether it is ready: without its database it should wait, not be restarted.
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD \
    exec 3<>"/dev/tcp/127.0.0.1/${LISTEN##*:}" \
    && printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3 \
    && read -r _ status _ <&3 && [ "$status" = 200 ]

# Requires DATABASE_URL, because the image contains no PostgreSQL.
ENTRYPOINT ["partner-platform"]
CMD ["serve"]
