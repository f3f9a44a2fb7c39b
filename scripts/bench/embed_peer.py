#!/usr/bin/env python3
"""One contestant of embed_vs_peers.sh in a process of its own: pictures of a list to a .npy file of features.

usage: embed_peer.py KIND --weights FILE --list FILE --out FILE --cache DIR [--workers N] [--streams N]
       [--precision auto|f32] [--forward]

KIND: plain, tuned, compile, onnxruntime, openvino. --workers: of the DataLoader, or threads that decode (openvino).
--cache: where converted networks are kept. --precision: of openvino. --forward: the network alone, over one batch of
noise again and again; nothing is written.
Prints one JSON line: seconds from the first picture to the last row, of set-up, pictures a second, peak memory in bytes
(of this process alone, without its workers).
"""

import argparse
import collections
import concurrent.futures
import json
import os
import time

import numpy as np
from PIL import Image

SIZE, BATCH = 299, 32
SHORT_SIDE = round(SIZE / 0.875)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORWARD_SECONDS = 5.0


def has_bf16():
    with open("/proc/cpuinfo") as info:
        return "avx512_bf16" in info.read()


def peak_memory(process="self"):
    """Bytes. Not getrusage's, which has what was resident before exec as well."""
    with open(f"/proc/{process}/status") as status:
        lines = [line for line in status if line.startswith("VmHWM")]
    return 1024 * int(lines[0].split()[1]) if lines else 0


def torch_model(weights):
    import torch
    from torchvision import models

    model = models.inception_v3(weights=None, aux_logits=True, transform_input=True, init_weights=False)
    model.load_state_dict(torch.load(weights))
    model.aux_logits, model.AuxLogits = False, None
    model.Mixed_7b = model.Mixed_7c = model.fc = torch.nn.Identity()  # the average of Mixed_7a's 1,280 channels
    return model.eval()


class Pictures:
    """The torchvision-style data set."""

    def __init__(self, paths, dtype=None):
        from torchvision import transforms

        self.paths, self.dtype = paths, dtype
        self.transform = transforms.Compose([transforms.Resize(SHORT_SIDE), transforms.CenterCrop(SIZE),
                                             transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        pixels = self.transform(Image.open(self.paths[i]).convert("RGB"))
        return pixels if self.dtype is None else pixels.to(self.dtype)


def loader(paths, workers, dtype=None):
    import torch

    return torch.utils.data.DataLoader(Pictures(paths, dtype), batch_size=BATCH, num_workers=workers)


def padded(x):
    """A batch of full size, so that what compiles for a shape compiles once."""
    import torch

    missing = BATCH - x.shape[0]
    return x if missing == 0 else torch.cat([x, torch.zeros((missing, *x.shape[1:]), dtype=x.dtype)])


def torch_peer(kind, options):
    """(features of a batch [B, 3, H, W], what the loader gives)."""
    import torch

    dtype = torch.bfloat16 if kind != "plain" and has_bf16() else torch.float32
    model = torch_model(options.weights)
    if kind == "plain":
        return (lambda x: model(x).numpy()), None
    model = model.to(dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():  # as in the run: torch.compile compiles anew for tensors of another kind
        example = torch.zeros(BATCH, 3, SIZE, SIZE, dtype=dtype).contiguous(memory_format=torch.channels_last)
    if kind == "compile":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        run = torch.compile(model)
    else:
        run = torch.jit.freeze(torch.jit.trace(model, example))
    with torch.inference_mode():
        for _ in range(3):
            run(example)

    def features(x):
        count = x.shape[0]
        x = padded(x).contiguous(memory_format=torch.channels_last)
        return run(x)[:count].float().numpy()

    return features, dtype


def onnx_peer(options):
    import onnxruntime
    import torch

    path = os.path.join(options.cache, "inception.onnx")
    if not os.path.exists(path):
        torch.onnx.export(torch_model(options.weights), (torch.zeros(BATCH, 3, SIZE, SIZE),), path, dynamo=True,
                          input_names=["pictures"], output_names=["features"], external_data=False, verbose=False)
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = os.cpu_count()
    session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, session_options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def features(x):
        count = x.shape[0]
        return session.run(None, {name: padded(x).numpy()})[0][:count]

    features(torch.zeros(BATCH, 3, SIZE, SIZE))
    return features, None


def run_loader(features, dtype, options, paths):
    import torch

    rows = []
    start = time.perf_counter()
    with torch.inference_mode():
        for x in loader(paths, options.workers, dtype):
            rows.append(features(x))
    np.save(options.out, np.concatenate(rows))
    return time.perf_counter() - start


def run_forward(features, dtype):
    import torch

    x = torch.rand(BATCH, 3, SIZE, SIZE).to(dtype or torch.float32)
    with torch.inference_mode():
        features(x)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < FORWARD_SECONDS:
            features(x)
            count += BATCH
    return time.perf_counter() - start, count


def decoded(path):
    """uint8 [H, W, 3], resized and cropped as torchvision does."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    other = int(SHORT_SIDE * long / short)
    picture = picture.resize((SHORT_SIDE, other) if width <= height else (other, SHORT_SIDE), Image.BILINEAR)
    left, top = round((picture.width - SIZE) / 2), round((picture.height - SIZE) / 2)
    return np.asarray(picture.crop((left, top, left + SIZE, top + SIZE)))


def openvino_model(options):
    import openvino as ov
    import torch
    from openvino.preprocess import PrePostProcessor

    path = os.path.join(options.cache, "inception.xml")
    core = ov.Core()
    if not os.path.exists(path):
        model = ov.convert_model(torch_model(options.weights), example_input=torch.zeros(1, 3, SIZE, SIZE),
                                 input=[BATCH, 3, SIZE, SIZE])
        ov.save_model(model, path, compress_to_fp16=False)
    steps = PrePostProcessor(core.read_model(path))
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    values = steps.input().preprocess().convert_element_type(ov.Type.f32)
    values.mean([255 * m for m in MEAN]).scale([255 * s for s in STD])
    precision = "bf16" if options.precision == "auto" and has_bf16() else "f32"
    return core.compile_model(steps.build(), "CPU", {
        "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": str(options.streams),
        "INFERENCE_NUM_THREADS": str(os.cpu_count())})


def run_openvino(compiled, options, paths):
    """Two decoding threads fill batches ahead of an asynchronous queue."""
    import openvino as ov

    rows = {}
    queue = ov.AsyncInferQueue(compiled, max(2, options.streams))

    def keep(request, place):
        rows[place[0]] = request.get_output_tensor().data[:place[1]].astype(np.float32)

    queue.set_callback(keep)
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(max(1, options.workers)) as pool:
        ahead = collections.deque()
        upcoming = iter(paths)

        def fill():
            for path in upcoming:
                ahead.append(pool.submit(decoded, path))
                if len(ahead) >= 3 * BATCH:
                    return

        fill()
        for first in range(0, len(paths), BATCH):
            count = min(BATCH, len(paths) - first)
            batch = np.zeros((BATCH, SIZE, SIZE, 3), np.uint8)
            for i in range(count):
                batch[i] = ahead.popleft().result()
            fill()
            queue.start_async({0: batch}, (first, count))
        queue.wait_all()
    np.save(options.out, np.concatenate([rows[first] for first in sorted(rows)]))
    return time.perf_counter() - start


def forward_openvino(compiled, options):
    import openvino as ov

    queue = ov.AsyncInferQueue(compiled, max(2, options.streams))
    batch = np.random.default_rng(1).integers(0, 255, (BATCH, SIZE, SIZE, 3), np.uint8)
    queue.start_async({0: batch})
    queue.wait_all()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < FORWARD_SECONDS:
        queue.start_async({0: batch})
        count += BATCH
    queue.wait_all()
    return time.perf_counter() - start, count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["plain", "tuned", "compile", "onnxruntime", "openvino"])
    parser.add_argument("--weights", required=True)
    parser.add_argument("--list", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--precision", default="auto", choices=["auto", "f32"])
    parser.add_argument("--forward", action="store_true")
    options = parser.parse_args()
    with open(options.list) as file:
        paths = file.read().split("\n")[:-1]
    begin = time.perf_counter()
    if options.kind == "openvino":
        compiled = openvino_model(options)
        setup = time.perf_counter() - begin
        if options.forward:
            seconds, count = forward_openvino(compiled, options)
        else:
            seconds, count = run_openvino(compiled, options, paths), len(paths)
    else:
        features, dtype = onnx_peer(options) if options.kind == "onnxruntime" else torch_peer(options.kind, options)
        setup = time.perf_counter() - begin
        if options.forward:
            seconds, count = run_forward(features, dtype)
        else:
            seconds, count = run_loader(features, dtype, options, paths), len(paths)
    print(json.dumps({"seconds": seconds, "setup": setup, "rate": count / seconds, "memory": peak_memory()}))


if __name__ == "__main__":
    main()
