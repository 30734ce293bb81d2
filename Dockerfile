# Two stages: a build with the toolchain, and an image with nothing but the binary and root certificates. No shell,
# no C library, no package that could need an update.
#
# To pin the toolchain by content and not by name, look its digest up where a registry is reachable
#     docker buildx imagetools inspect rust:1.95.0-slim-bookworm --format '{{.Manifest.Digest}}'
# and build with --build-arg RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:…
# For an image that is the same byte by byte, give its files the time of the commit as well:
#     docker buildx build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
#         --output type=docker,name=mana-ai,rewrite-timestamp=true .
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY ops/release.sh ops/release.sh

# Dependencies first, on their own layer: they change less often than the code.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs && ops/release.sh && rm -r src

COPY src src
COPY migrations migrations
# The mtime of a COPY may be older than the stand-ins just built.
RUN touch src/main.rs src/lib.rs && ops/release.sh && cp target/*/release/mana-ai /mana-ai

FROM scratch
# For mana-llm and Postgres over TLS; time zones come with the binary.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /mana-ai /usr/local/bin/mana-ai
# So that `docker exec … mana-ai inspect …` finds it.
ENV PATH=/usr/local/bin
# By number: there is no file that could give it a name. It writes no file, so the root may be read-only.
USER 10001:10001
EXPOSE 3066
# The binary asks itself: there is no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["mana-ai", "healthcheck"]
# It drains for DRAIN_TIMEOUT_MS, 25 s; docker's own patience is 10 s, so: docker run --stop-timeout 30.
STOPSIGNAL SIGTERM
ENTRYPOINT ["mana-ai"]
