# Two stages: a build with the toolchain, and an image with the binary alone.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src

# Dependencies first, on their own layer: they change less often than the code.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked --no-default-features && rm -r src

COPY src src
COPY migrations migrations
# The mtime of a COPY may be older than the stand-ins just built.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked --no-default-features

FROM debian:bookworm-slim
# Root certificates for mana-llm over https; time zones come with the binary.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* && useradd --system --no-create-home --uid 10001 mana
COPY --from=build /src/target/release/mana-ai /usr/local/bin/mana-ai
USER 10001
EXPOSE 3066
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["mana-ai", "healthcheck"]
# Docker sends SIGTERM; DRAIN_TIMEOUT_MS should stay below the grace period given to `docker stop`.
ENTRYPOINT ["mana-ai"]
