# syntax=docker/dockerfile:1
# docker build -t stele --build-arg COMMIT=$(git rev-parse --short=12 HEAD) . && docker run -p 2379:2379 -v stele:/data stele

FROM denoland/deno:2.9.6 AS build
WORKDIR /stele
COPY deno.json deno.lock mod.ts ./
COPY scripts/bundle.ts scripts/compile.ts scripts/notices.ts scripts/
COPY src/ src/
ARG COMMIT=
RUN STELE_COMMIT=$COMMIT deno task compile && install -d -o 65532 -g 65532 -m 0700 /stele/data

# glibc and certificates, no shell; its user "nonroot" is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /stele/dist/stele /usr/local/bin/stele
COPY --from=build /stele/dist/NOTICES.txt /usr/share/doc/stele/NOTICES.txt
COPY --from=build --chown=65532:65532 /stele/data /data
VOLUME /data
EXPOSE 2379
ENV ETCD_DATA_DIR=/data \
    ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379 \
    ETCD_ADVERTISE_CLIENT_URLS=http://localhost:2379
# With TLS or users, the command line's variables (ETCDCTL_CACERT, …) reach it too.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["stele", "status", "--no-hash"]
ENTRYPOINT ["stele"]
CMD ["serve"]
