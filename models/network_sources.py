"""The networks of torchvision and timm, with what each source says of their preprocessing, classes and terms."""

import difflib
import math
import os
import sys


def say(text):
    print(f"export_backbone: {text}", file=sys.stderr)


class InputError(Exception):
    """What the user gave cannot be used; the text says why, on one line."""


def one_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


class Candidate:
    """A network in eval mode with what is known of it."""

    def __init__(self, model, architecture, preprocessing, licence, classes=None):
        self.model = model
        self.architecture = architecture
        self.preprocessing = preprocessing
        self.licence = licence
        self.classes = classes


# --- state_dict files ---


def load_state(path):
    """The tensors of a .pth file by name. Only tensors are unpickled: nothing in the file is run."""
    import torch

    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file (--weights takes DEFAULT, none, or a file with a state_dict)")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: not a state_dict: {one_line(error)}") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path}: expected a dictionary of tensors by name, found {type(state).__name__}")
    if all(name.startswith("module.") for name in state):  # as torch.nn.DataParallel saves it
        state = {name[len("module.") :]: tensor for name, tensor in state.items()}
    return state


def fit_state(model, state, path, architecture):
    missing, unexpected = set(model.state_dict()) - set(state), set(state) - set(model.state_dict())
    missing = {name for name in missing if not name.endswith("num_batches_tracked")}
    differing = [
        f"{name} is {list(state[name].shape)}, expected {list(own.shape)}"
        for name, own in model.state_dict().items()
        if name in state and state[name].shape != own.shape
    ]
    problems = differing[:1] + [f"lacks {n}" for n in sorted(missing)[:1]] + [f"has {n}" for n in sorted(unexpected)[:1]]
    if problems:
        count = len(differing) + len(missing) + len(unexpected)
        raise InputError(f"{path}: not a state_dict of {architecture}: {'; '.join(problems)} ({count} difference(s))")
    model.load_state_dict(state, strict=False)


def outputs_in_state(model, state):
    """The number of classes where `state` differs from `model` in the outputs of its last linear layer alone."""
    own = model.state_dict()
    differing = [name for name in own if name in state and own[name].shape != state[name].shape]
    counts = {state[name].shape[0] for name in differing if state[name].dim() >= 1}
    tails = all(own[name].shape[1:] == state[name].shape[1:] for name in differing)
    return counts.pop() if differing and tails and len(counts) == 1 else None


# --- torchvision ---


def torchvision_candidate(arguments):
    import torchvision
    from torchvision import models

    names = models.list_models(module=models)
    if arguments.model not in names:
        near = difflib.get_close_matches(arguments.model, names, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {len(names)}, from {names[0]} to {names[-1]}"
        raise InputError(f"torchvision {torchvision.__version__} has no classification network '{arguments.model}'{hint}")
    weights = models.get_model_weights(arguments.model).DEFAULT
    has_aux = arguments.model in ("inception_v3", "googlenet")
    options, state = {}, None
    pretrained = arguments.weights == "DEFAULT"
    if arguments.weights not in ("DEFAULT", "none"):
        state = load_state(arguments.weights)
    if has_aux:
        # torchvision's own weights of both were trained on (p/255 - 0.5) / 0.5 and come with transform_input, which
        # turns ImageNet's mean and std into that; a network of random weights has no such past.
        options["transform_input"] = arguments.transform_input == "on" or (
            arguments.transform_input == "auto" and arguments.weights != "none"
        )
        if not pretrained:
            options["aux_logits"] = state is not None and any(n.lower().startswith("aux") for n in state)
            options["init_weights"] = state is None
    elif arguments.transform_input == "on":
        raise InputError(f"{arguments.model} has no transform_input; inception_v3 and googlenet have")

    def build(**more):
        return models.get_model(arguments.model, weights=weights if pretrained else None, **options, **more)

    counted = {} if arguments.num_classes is None else {"num_classes": arguments.num_classes}
    if pretrained and counted:
        raise InputError("--num-classes: the default weights bring their own number; leave it out")
    try:
        model = build(**counted)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise InputError(
            f"cannot fetch the weights of {arguments.model} from {weights.url}: {one_line(error)}; "
            "fetch that file elsewhere and pass it as --weights FILE"
        ) from error
    if state is not None:
        found = outputs_in_state(model, state) if not counted else None
        model = build(num_classes=found) if found else model
        fit_state(model, state, arguments.weights, arguments.model)
    architecture = f"torchvision {torchvision.__version__} {arguments.model}"
    if has_aux:
        model = without_aux_heads(model, arguments.model)
        architecture += f" transform_input={str(options['transform_input']).lower()} aux_logits=false"
    preset = weights.transforms()
    size, short_side = preset.crop_size[0], preset.resize_size[0]
    preprocessing = {
        "size_px": size,
        "crop_ratio": size / short_side,
        "resize": "short",
        "interpolation": preset.interpolation.value,
        "mean": [0.5] * 3 if has_aux and not options["transform_input"] else list(preset.mean),
        "std": [0.5] * 3 if has_aux and not options["transform_input"] else list(preset.std),
    }
    terms = f"torchvision's (BSD-3-Clause), trained on ImageNet-1k: {weights.meta.get('recipe') or weights.url}"
    licence = weights.meta.get("license") or terms
    return Candidate(model, architecture, preprocessing, licence, list(weights.meta["categories"]) if pretrained else None)


def without_aux_heads(model, name):
    """The same network, without auxiliary classifiers, whose forward gives the logits alone, scripted or not."""
    import torch
    from torchvision.models.googlenet import GoogLeNet
    from torchvision.models.inception import Inception3

    # torchvision's scripted forward returns a tuple even in eval mode.
    class GoogLeNetLogits(GoogLeNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self._transform_input(x)
            return self._forward(x)[0]

    class Inception3Logits(Inception3):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self._transform_input(x)
            return self._forward(x)[0]

    model.aux_logits = False
    for head in ("AuxLogits", "aux1", "aux2"):
        if hasattr(model, head):
            setattr(model, head, None)
    model.__class__ = Inception3Logits if name == "inception_v3" else GoogLeNetLogits
    return model


# --- timm ---


def timm_candidate(arguments):
    import timm
    from timm.data import resolve_model_data_config

    if not timm.is_model(arguments.model):
        near = difflib.get_close_matches(arguments.model.split(".")[0], timm.list_models(), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; timm.list_models() lists them"
        raise InputError(f"timm {timm.__version__} has no network '{arguments.model}'{hint}")
    if arguments.transform_input == "on":
        raise InputError("timm's networks have no transform_input; torchvision's inception_v3 and googlenet have")
    pretrained = arguments.weights == "DEFAULT"
    options = {"exportable": True} if arguments.method == "trace" else {"scriptable": True}
    if arguments.num_classes is not None:
        if pretrained:
            raise InputError("--num-classes: the default weights bring their own number; leave it out")
        options["num_classes"] = arguments.num_classes

    def build(**more):
        return timm.create_model(arguments.model, pretrained=pretrained, **{**options, **more})

    try:
        model = build()
    except Exception as error:
        if pretrained:
            raise InputError(
                f"cannot fetch the weights of {arguments.model}: {one_line(error)}; "
                "fetch them elsewhere and pass them as --weights FILE"
            ) from error
        raise InputError(f"timm cannot make {arguments.model}: {one_line(error)}") from error
    if arguments.weights not in ("DEFAULT", "none"):
        state = load_state(arguments.weights)
        found = outputs_in_state(model, state) if arguments.num_classes is None else None
        model = build(num_classes=found) if found else model
        fit_state(model, state, arguments.weights, arguments.model)
    config = resolve_model_data_config(model)
    size = config["input_size"][-1]
    if config["crop_mode"] == "squash" and config["crop_pct"] == 1.0:
        resize = "squash"
    else:
        resize = "short"
        if config["crop_mode"] != "center":
            say(f"timm evaluates {arguments.model} with crop mode '{config['crop_mode']}'; written as short side and crop")
    preprocessing = {
        "size_px": size,
        # timm rounds the short side down; this ratio gives the same number of pixels.
        "crop_ratio": size / math.floor(size / config["crop_pct"]),
        "resize": resize,
        "interpolation": config["interpolation"],
        "mean": list(config["mean"]),
        "std": list(config["std"]),
    }
    classes = timm_classes(model) if pretrained else None
    licence = (model.pretrained_cfg or {}).get("license") or "unknown"
    return Candidate(model, f"timm {timm.__version__} {arguments.model}", preprocessing, licence, classes)


def timm_classes(model):
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(model)
    return ImageNetInfo(subset).label_descriptions(detailed=False) if subset else None
