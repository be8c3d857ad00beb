# The command line, and an image to build services on: `docker build -t peft .`, then
#   docker run --rm -v "$PWD:/work" -v peft-cache:/cache peft train --data tickets.csv --text body --label team
# Debian, not Alpine: ONNX Runtime's binaries want glibc.
FROM node:22-bookworm-slim AS build
WORKDIR /build
COPY . .
RUN npm ci && npm run build && npm pack --ignore-scripts --pack-destination /tmp

FROM node:22-bookworm-slim
COPY --from=build /tmp/peft.js-*.tgz /tmp/
# Binaries of other systems stay out: of 288 MB, one processor's are left.
RUN npm install --global --ignore-scripts --no-audit --no-fund /tmp/peft.js-*.tgz \
  && rm -rf /tmp/*.tgz /root/.npm \
  && cd /usr/local/lib/node_modules/peft.js/node_modules/onnxruntime-node/bin/napi-v* \
  && rm -rf darwin win32 \
  && find linux -mindepth 1 -maxdepth 1 ! -name "$(node -p process.arch)" -exec rm -rf {} + \
  && mkdir -p /cache /work && chown node:node /cache /work
# Downloads, and what is quantized of them, outlive the container where /cache is a volume.
ENV HF_HOME=/cache/huggingface PEFT_QUANTIZED_CACHE=/cache/quantized
USER node
WORKDIR /work
# `docker stop -t 120` saves a checkpoint after the step; the same command goes on from there.
STOPSIGNAL SIGTERM
ENTRYPOINT ["peft"]
CMD ["--help"]
