# The studio with its weights: while it runs, nothing is downloaded. Started by compose.yaml.
FROM python:3.11-slim-bookworm

# Where pip also looks for torch: its builds for CPUs, which are smaller. Empty: those of the registry, for NVIDIA GPUs.
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu/torch/

ENV HF_HUB_OFFLINE=1 OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 studio
WORKDIR /studio

COPY requirements.txt requirements-broker.txt ./
RUN PIP_FIND_LINKS="$TORCH_WHEELS" pip install -r requirements.txt -r requirements-broker.txt
COPY --chown=studio . .
RUN pip install --no-deps --editable .

USER studio
EXPOSE 8501 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=5)"]
CMD ["xray-studio", "app", "--server.address", "0.0.0.0"]
