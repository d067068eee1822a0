# Builds the image of etcd-gateway: the binary, the shared libraries it links to, and
# the few files that glibc and TLS read. No shell, no package manager, no root.
#
#   docker build --build-arg VERSION=0.2.0 --tag etcd-gateway .
#
# scripts/image builds it without network access, from base images that it makes
# itself, and tests the result.

ARG BUILD_IMAGE=oven/bun:1.4.5-debian
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json bun.lock bunfig.toml tsconfig.json ./
COPY scripts/need scripts/build scripts/
COPY src src
RUN scripts/build

# Assembles the root of the final image, in a stage that has a shell.
FROM ${BASE_IMAGE} AS rootfs
# Debian's slim image has no CA certificates.
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    || { apt-get update -q && apt-get install -q -y --no-install-recommends ca-certificates; }
# Since 2.34, glibc resolves names from /etc/hosts and DNS without plug-ins
# (libnss_*), but nsswitch.conf must still enable both.
RUN mkdir -p /rootfs/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/ \
    && echo 'hosts: files dns' >/rootfs/etc/nsswitch.conf \
    && echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/usr/sbin/nologin' >/rootfs/etc/passwd \
    && echo 'nonroot:x:65532:' >/rootfs/etc/group
COPY --from=build /src/dist/etcd-gateway /rootfs/
# Copies the libraries and the dynamic loader, each to the path that ldd reports.
RUN linked=$(ldd /rootfs/etcd-gateway) \
    && if echo "$linked" | grep 'not found'; then exit 1; fi \
    && cp --parents --dereference $(echo "$linked" | grep -o '/[^ ]*') /rootfs

FROM scratch
ARG VERSION=unknown
LABEL org.opencontainers.image.title="etcd-gateway" \
      org.opencontainers.image.description="L4 gateway for etcd in one binary" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.documentation="README.md, docs/"
COPY --from=rootfs /rootfs/ /
# The default, 127.0.0.1:23790, is unreachable from outside the container.
# The flag --listen-addr takes precedence over this variable.
ENV ETCD_GATEWAY_LISTEN_ADDR=0.0.0.0:23790
# The address that the health check below uses; reachable only inside the container by default.
ENV ETCD_GATEWAY_METRICS_ADDR=127.0.0.1:9379
EXPOSE 23790
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/etcd-gateway", "healthcheck"]
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/etcd-gateway"]
CMD ["start"]
