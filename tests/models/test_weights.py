"""Weights of others give the logits of others."""

import copy
import dataclasses
import functools
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from landmark_tf import InputError, command
from landmark_tf.models import (
    entries,
    published,
    registry,
    resnet,
    weight_matching,
    weights,
)
from landmark_tf.training import batch_norm
from tests.models import cases
from tests.models.golden import make

CLASSES, TOLERANCE = 11, 1e-3
SIZES = (64, 96, 128, 224)


@pytest.fixture(scope="module", autouse=True)
def narrow_rows():
    """Beside each row NAME of the table a thin variant, narrow_NAME."""
    with pytest.MonkeyPatch.context() as patch:
        for name, whole in list(resnet.TABLE.items()):
            row = cases.narrow(
                whole,
                depths=(1, 2, 1, 1),
                groups=min(whole.groups, 2),
                stem=((7, 64),)
                if "keras" in name
                else cases.narrow(whole).stem,
                dropout=0.0,
            )
            add_row(patch, f"narrow_{name}", row)
        yield


def add_row(patch, name, row):
    patch.setitem(resnet.TABLE, name, row)
    entry = entries.Entry(
        functools.partial(resnet.build, row), 64, schemes=row.schemes
    )
    patch.setitem(entries.ENTRIES, name, entry)
    if "keras" in row.schemes:
        network = functools.partial(make.keras_network, row)
        patch.setitem(published.APPLICATIONS, name, network)


def difference(found, expected):
    """The largest one, relative to the largest logit."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    largest = abs(expected).max()
    if len(expected) > 1:  # logits that do not see the pictures show nothing
        assert np.ptp(expected, axis=0).max() > 10 * TOLERANCE * largest
    return abs(found - expected).max() / largest


def train_one_step(model, pictures, labels, rate):
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    model.train_on_batch(pictures, labels)


@pytest.fixture(scope="module")
def plain(narrow_rows):
    """A network for files that it refuses."""
    return registry.create_model("narrow_resnet18", CLASSES)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Makes a row's network in PyTorch and a file of its random weights."""
    pytest.importorskip("torch")
    from safetensors.torch import save_file

    from tests.models import torch_networks as networks

    @functools.cache
    def create(name, classes=CLASSES):
        row = resnet.TABLE[name]
        network = networks.Network(row, classes, "cadene" in row.schemes)
        networks.randomise(network)
        path = tmp_path_factory.mktemp("torch") / f"{name}.safetensors"
        save_file(network.state_dict(), path)
        return network, path

    return create


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, row in resnet.TABLE.items()
        if row.schemes not in ((), ("keras",))
        and not any(row.attention)
        and not name.endswith("101")  # deeper, and narrow the same
    ],
)
def test_a_network_of_pytorch_gives_the_same(name, checkpoint):
    from tests.models import torch_networks

    name = f"narrow_{name}"
    network, path = checkpoint(name)
    row = resnet.TABLE[name]
    model = resnet.build(row, name, CLASSES, None)
    report = weights.load(model, path)
    assert report.loaded == len(model.weights) and not report.fresh_logits
    for size in (*SIZES, 65, 97):
        pictures = cases.pictures(2, size)
        expected = torch_networks.logits(network, pictures, row)
        assert difference(model(pictures, training=False), expected) < 1e-5
    pictures, labels = cases.pictures(16, 64), np.arange(16) % CLASSES
    batch_norm.prepare(model, replicas=1)
    train_one_step(model, pictures, labels, 0.05)
    trained = copy.deepcopy(network)
    torch_networks.step(trained, pictures, labels, row, 0.05)
    expected = torch_networks.logits(trained, pictures, row)
    assert difference(model(pictures, training=False), expected) < TOLERANCE


@pytest.mark.parametrize("name", [*make.NAMES, make.KERAS])
def test_golden_files_give_their_logits(name, monkeypatch):
    add_row(monkeypatch, "golden", make.row(name))
    suffix = "h5" if name == make.KERAS else "safetensors"
    golden = np.load(make.FOLDER / f"{name}.npz")
    model = registry.create_model("golden", make.CLASSES, make.SIZE)
    weights.load(model, make.FOLDER / f"{name}.{suffix}")
    found = model(golden["picture"], training=False)
    assert difference(found, golden["logits"]) < 1e-5


@pytest.fixture
def narrow_keras(tmp_path):
    """A narrow ResNet of keras.applications and a file of its weights."""
    network = make.keras_network(
        resnet.TABLE["narrow_resnet50_keras"],
        weights=None,
        classes=CLASSES,
        classifier_activation=None,
        input_shape=(96, 96, 3),
    )
    make.randomise(network)
    make.write_h5(tmp_path / "theirs.h5", network)
    return network, tmp_path / "theirs.h5"


def test_a_network_of_keras_applications_gives_the_same(narrow_keras):
    network, path = narrow_keras
    name = "narrow_resnet50_keras"
    model = registry.create_model(name, CLASSES, 96)
    weights.load(model, path)
    pictures, labels = cases.pictures(16, 96), np.arange(16) % CLASSES
    expected = network(make.bgr(pictures), training=False)
    assert difference(model(pictures, training=False), expected) < 1e-5
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    train_one_step(network, make.bgr(pictures), labels, 0.01)
    train_one_step(model, pictures, labels, 0.01)
    expected = network(make.bgr(pictures), training=False)
    assert difference(model(pictures, training=False), expected) < TOLERANCE


def test_weights_of_keras_without_their_classifier(narrow_keras, tmp_path):
    network, _ = narrow_keras
    headless = keras.Model(network.input, network.get_layer("avg_pool").output)
    make.write_h5(tmp_path / "notop.h5", headless)
    model = registry.create_model("narrow_resnet50_keras", 3, 64)
    report = weights.load(model, tmp_path / "notop.h5")
    assert report.fresh_logits == 2
    assert report.loaded == len(model.weights) - 2
    whole = keras.Model(network.input, network.output)
    whole.save(tmp_path / "whole.h5")  # a model, and not only its weights
    model = registry.create_model("narrow_resnet50_keras", CLASSES, 96)
    assert weights.load(model, tmp_path / "whole.h5").fresh_logits == 0


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """In place of a download: random weights of a network, saved as they are.

    Returns a list of what was fetched.
    """
    from keras.src.utils import file_utils

    made, names = {}, []

    def get_file(fname, origin, **kwargs):
        assert origin.startswith("https://") and origin.endswith(fname)
        names.append(fname)
        return tmp_path / made["file"]

    def publish(network):
        make.randomise(network)
        make.write_h5(tmp_path / "published.h5", network)
        made["file"] = "published.h5"
        return names

    monkeypatch.setattr(file_utils, "get_file", get_file)
    return publish


APPLICATIONS = {
    "resnet50_keras": make.bgr,
    "resnet101_keras": make.bgr,
    "inception_v3": keras.applications.inception_v3.preprocess_input,
    "mobilenet_v2": keras.applications.mobilenet_v2.preprocess_input,
}


def check_imagenet(name, sizes, fetched):
    create = published.APPLICATIONS[name]
    network = create(weights=None, classifier_activation=None)
    names = fetched(network)
    for size in sizes:
        model = registry.create_model(name, 1000, size)
        report = weights.load(model, "imagenet")
        assert report.loaded == len(model.weights)
        pictures = cases.pictures(2, size)
        inputs = APPLICATIONS[name](pictures.astype("float32"))
        theirs = create(
            weights=None,
            include_top=False,
            pooling="avg",
            input_shape=(size, size, 3),
        )
        theirs.set_weights(network.get_weights()[:-2])
        expected = network.layers[-1](theirs(inputs, training=False))
        worst = difference(model(pictures, training=False), expected)
        print(name, size, f"{worst:.1e}")
        assert worst < TOLERANCE
    return names


def test_imagenet_takes_the_weights_for_the_size(fetched):
    names = check_imagenet("mobilenet_v2", (96,), fetched)
    model = registry.create_model("mobilenet_v2", 3, 65)
    assert weights.load(model, "imagenet").fresh_logits == 2
    assert [name.rpartition("_")[2] for name in names] == ["96.h5", "224.h5"]


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_imagenet_gives_the_logits_of_keras(name, fetched):
    smallest = entries.find(name).smallest
    sizes = sorted({max(size, smallest) for size in SIZES})
    names = check_imagenet(name, sizes, fetched)
    assert len(names) == len(sizes)


def test_imagenet_says_what_could_not_be_fetched(monkeypatch):
    from keras.src.utils import file_utils

    def get_file(fname, origin, **kwargs):
        raise Exception(f"URL fetch failure on {origin}: no route to host")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    monkeypatch.setenv("KERAS_HOME", "/cache")
    model = registry.create_model("mobilenet_v2", 3, 96)
    with pytest.raises(InputError) as caught:
        weights.load(model, "imagenet")
    for words in ("_1.0_96.h5", "no route to host", "/cache/models"):
        assert words in str(caught.value)


def test_imagenet_names_the_rows_that_have_it():
    model = registry.create_model("narrow_legacy_se_resnet50", 3)
    with pytest.raises(
        InputError,
        match="inception_v3, mobilenet_v2, resnet50_keras, resnet101_keras.*"
        "huggingface.co/timm/models.*Received: imagenet for narrow_legacy",
    ):
        weights.load(model, "imagenet")
    model = registry.create_model("narrow_seatt_base56", 3)
    with pytest.raises(InputError, match="not published"):
        weights.load(model, "imagenet")


def test_another_class_count_leaves_the_classifier_alone(checkpoint, capsys):
    _, path = checkpoint("narrow_resnet18")
    model = registry.create_model("narrow_resnet18", 3)
    before = model.get_layer("logits").get_weights()
    report = weights.load(model, path)
    assert report == weight_matching.Report(
        str(path), "torchvision", len(model.weights) - 2, fresh_logits=2
    )
    for old, new in zip(before, model.get_layer("logits").get_weights()):
        np.testing.assert_array_equal(old, new)
    assert capsys.readouterr().out == (
        f"weights: {report.loaded} tensors from {path} (torchvision), 2 fresh "
        "(logits)\n"
    )


@pytest.mark.parametrize("ours", [False, True])
def test_attention_modules_start_fresh(ours, checkpoint, tmp_path, capsys):
    _, path = checkpoint("narrow_legacy_se_resnet50")
    base = registry.create_model("narrow_legacy_se_resnet50", CLASSES)
    weights.load(base, path)
    if ours:
        path = tmp_path / "base.weights.h5"
        base.save_weights(path)
    model = registry.create_model("narrow_seatt_resnet50", 3)
    old = {v.path: np.asarray(v) for v in model.weights}
    report = weights.load(model, str(path))
    assert report.loaded == len(base.weights) - 2
    assert report.fresh_logits == 2
    assert report.fresh_attention == len(model.weights) - len(base.weights)
    assert (
        f", {report.fresh_attention} fresh (attention), 2 fresh (logits)"
        in (capsys.readouterr().out)
    )
    same = [v for v in model.weights if np.array_equal(v, old[v.path])]
    assert {v.path for v in model.weights if "_att" in v.path} <= {
        v.path for v in same
    }
    kernel = model.get_layer("conv5_x_block1_conv2").kernel
    np.testing.assert_array_equal(
        kernel, base.get_layer("conv5_x_block1_conv2").kernel
    )


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A narrow network of ours in its three forms, and its logits."""
    folder = tmp_path_factory.mktemp("ours")
    model = registry.create_model("narrow_se_resnet18", CLASSES)
    cases.scramble(model)
    model.save_weights(folder / "a.weights.h5")
    model.save(folder / "model.keras")
    pictures = cases.pictures(2, 64)
    return folder, pictures, np.asarray(model(pictures, training=False))


@pytest.mark.parametrize("form", ["a.weights.h5", "model.keras", ""])
def test_files_of_ours_come_back(form, ours):
    folder, pictures, logits = ours
    model = registry.create_model("narrow_se_resnet18", CLASSES)
    report = weights.load(model, folder / form)
    assert (report.loaded, report.scheme) == (len(model.weights), "landmark_tf")
    assert difference(model(pictures, training=False), logits) < 1e-6
    model = registry.create_model("narrow_se_resnet18", 3, 96)
    assert weights.load(model, folder / form).fresh_logits == 2


@pytest.mark.parametrize("form", ["a.weights.h5", "model.keras"])
def test_a_file_of_ours_of_another_row_is_refused(form, ours):
    model = registry.create_model("narrow_resnet18", CLASSES)
    with pytest.raises(InputError, match="is of narrow_se_resnet18; give one"):
        weights.load(model, ours[0] / form)


def test_dropout_has_no_weights(tmp_path, monkeypatch):
    row = dataclasses.replace(resnet.TABLE["narrow_senet154"], dropout=0.2)
    add_row(monkeypatch, "dropping", row)
    model = registry.create_model("dropping", 3)
    model.save_weights(tmp_path / "a.weights.h5")
    report = weights.load(model, tmp_path / "a.weights.h5")
    assert report.loaded == len(model.weights)


@pytest.mark.parametrize(
    ("file", "row", "words"),
    [
        (
            "legacy_se_resnet50",
            "se_resnet50",
            "names of cadene and fits narrow_legacy_se_resnet50",
        ),
        ("se_resnet50", "resnet50", "unexpected .* fits narrow_se_resnet50"),
        (
            "resnet50",
            "resnet18",
            "bn3.bias is unexpected .*resnet18 and fits narrow_resnet50 or",
        ),
        (
            "senet154",
            "legacy_se_resnet50",
            r"layer0.bn2.bias.*and fits narrow_senet154\. Received: .*senet",
        ),
        ("resnet18", "resnet50_keras", "torchvision and fits narrow_resnet18"),
        (
            "legacy_se_resnet50",
            "seatt_base56",
            "fits narrow_legacy_se_resnet50, not narrow_seatt_base56",
        ),
    ],
)
def test_a_file_of_another_row_names_the_right_one(
    file, row, words, checkpoint, monkeypatch
):
    # Only the thin ones: whole networks take seconds to build.
    for name in [x for x in resnet.TABLE if not x.startswith("narrow_")]:
        monkeypatch.delitem(resnet.TABLE, name)
    _, path = checkpoint(f"narrow_{file}")
    model = registry.create_model(f"narrow_{row}", CLASSES)
    with pytest.raises(InputError, match=words):
        weights.load(model, path)


def test_a_file_of_keras_names_the_right_row(narrow_keras, monkeypatch):
    network, path = narrow_keras
    for name in list(published.APPLICATIONS):
        if not name.startswith("narrow_"):
            monkeypatch.delitem(published.APPLICATIONS, name)
    deeper = cases.narrow(
        resnet.TABLE["narrow_resnet50_keras"],
        depths=(1, 1, 2, 1),
        stem=((7, 64),),
    )
    add_row(monkeypatch, "deeper_keras", deeper)
    for name, words in {
        "deeper_keras": "does not fit deeper_keras .* and fits narrow_resnet",
        "narrow_resnet50": "of keras.applications and fits narrow_resnet50_",
    }.items():
        model = registry.create_model(name, CLASSES)
        with pytest.raises(InputError, match=words):
            weights.load(model, path)


@pytest.fixture
def tensors(checkpoint):
    """The tensors of a file, as NumPy arrays to change."""
    from safetensors.numpy import load_file

    return load_file(checkpoint("narrow_resnet18")[1])


def changed(tensors, tmp_path, **changes):
    """Saves tensors; a change to None takes one away."""
    from safetensors.numpy import save_file

    for name, value in changes.items():
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = value
    save_file(tensors, tmp_path / "changed.safetensors")
    return tmp_path / "changed.safetensors"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"layer2.1.bn2.running_var": None},
            "^layer2.1.bn2.running_var is missing; the file does not fit "
            "narrow_resnet18. Received: .*changed.safetensors$",
        ),
        (
            {"layer2.1.extra.weight": np.ones(3, "float32")},
            "^layer2.1.extra.weight is unexpected; ",
        ),
        (
            {"layer4.0.bn1.bias": np.ones(3, "float32")},
            r"^layer4.0.bn1.bias is of shape \(3,\), not \(64,\); ",
        ),
        (
            {"fc.weight": np.ones((CLASSES, 3), "float32")},
            r"^fc.weight is of shape \(11, 3\), not \(11, 64\); ",
        ),
        ({"fc.bias": None}, "^fc.bias is missing"),
        (
            {"bn1.weight": np.full(8, np.nan, "float32")},
            "^bn1.weight holds values that are not finite",
        ),
        ({"bn1.weight": np.ones(8, "int32")}, "^bn1.weight holds int32"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_loaded(
    plain, changes, words, tensors, tmp_path, monkeypatch
):
    path = changed(tensors, tmp_path, **changes)
    old = plain.get_weights()
    with pytest.raises(InputError, match=words):
        weights.load(plain, path)
    for before, after in zip(old, plain.get_weights()):
        np.testing.assert_array_equal(before, after)


def test_a_file_without_classifier(tensors, tmp_path):
    path = changed(tensors, tmp_path, **{"fc.weight": None, "fc.bias": None})
    model = registry.create_model("narrow_resnet18", CLASSES)
    assert weights.load(model, path).fresh_logits == 2


def test_names_of_no_scheme(plain, tmp_path):
    path = changed({}, tmp_path, **{"stem.weight": np.ones(3, "float32")})
    with pytest.raises(InputError, match="not those of .*: stem.weight. Rec"):
        weights.load(plain, path)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_forms_of_a_checkpoint(kind, suffix, checkpoint, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    network, _ = checkpoint("narrow_resnet18")
    tensors = {
        name: x.to(getattr(torch, kind)) if x.is_floating_point() else x
        for name, x in network.state_dict().items()
    }
    path = tmp_path / f"a{suffix}"
    left_out = ()
    if suffix == ".safetensors":
        save_file({f"module.{k}": v for k, v in tensors.items()}, path)
    elif suffix == ".pth":
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    else:
        tensors = {f"module.{k}": v for k, v in tensors.items()}
        key = "model" if kind == "float16" else "state_dict"
        torch.save({key: tensors, "epoch": 3}, path)
        left_out = ("epoch",)
    model = registry.create_model("narrow_resnet18", CLASSES)
    report = weights.load(model, path)
    assert report.left_out == left_out
    assert str(report).endswith("; left out: epoch") == bool(left_out)
    found = np.asarray(model.get_layer("conv5_x_block1_conv2").kernel)
    expected = network.layer4[0].conv2.weight.detach().numpy()
    expected = expected.transpose(2, 3, 1, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-6)


class Code:
    """What a checkpoint must not be able to run."""

    def __reduce__(self):
        return (exec, ("import sys; sys.landmark_tf_was_here = True",))


def test_a_pickle_is_never_run(plain, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {}, "extra": Code()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="never unpickled.*a.pth$"):
        weights.load(plain, tmp_path / "a.pth")
    assert not hasattr(sys, "landmark_tf_was_here")


@pytest.mark.parametrize("content", [3, [1, 2], {"epoch": 3}, {}])
def test_a_checkpoint_without_tensors(plain, content, tmp_path):
    pytest.importorskip("torch").save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match="Received: .*a.pth"):
        weights.load(plain, tmp_path / "a.pth")


def test_pickles_need_pytorch(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "a.pth").write_bytes(b"x")
    with pytest.raises(InputError, match=r"'landmark_tf\[torch\]', or convert"):
        weights.load(plain, tmp_path / "a.pth")


@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
@pytest.mark.parametrize(
    "suffix", [".safetensors", ".pth", ".weights.h5", ".h5", ".keras"]
)
def test_damaged_files(plain, damage, suffix, ours, checkpoint, tmp_path):
    whole = {
        ".weights.h5": ours[0] / "a.weights.h5",
        ".keras": ours[0] / "model.keras",
        ".h5": make.FOLDER / f"{make.KERAS}.h5",
        ".safetensors": make.FOLDER / "resnet18.safetensors",
        ".pth": make.FOLDER / "resnet18.safetensors",
    }[suffix]
    if suffix == ".pth":
        torch = pytest.importorskip("torch")
        torch.save(
            checkpoint("narrow_resnet18")[0].state_dict(), tmp_path / "w"
        )
        whole = tmp_path / "w"
    data = whole.read_bytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(
        {"empty": b"", "text": b"Not found\n" * 9, "truncated": data[:-999]}[
            damage
        ]
    )
    with pytest.raises(InputError, match=r"Received: .*a\.") as caught:
        weights.load(plain, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.pth", "no such file.*Received: .*nowhere.pth"),
        ("a.onnx", "end in .keras.*Received: .*a.onnx"),
        ("", "no run directory"),
    ],
)
def test_what_is_no_file_of_weights(plain, source, words, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=words):
        weights.load(plain, tmp_path / source)


def test_conversion(checkpoint, tmp_path, capsys):
    _, path = checkpoint("narrow_resnext50_32x4d")
    out = tmp_path / "converted.weights.h5"
    command.main(
        weights.run,
        weights.Config,
        [str(path), "--model=narrow_resnext50_32x4d", f"--out={out}"],
    )
    assert [file.name for file in tmp_path.iterdir()] == [out.name]
    assert f"wrote {out}: narrow_resnext50_32x4d, {CLASSES} classes" in (
        capsys.readouterr().out
    )
    first, second = (
        registry.create_model("narrow_resnext50_32x4d", CLASSES)
        for _ in range(2)
    )
    weights.load(first, path)
    weights.load(second, out)
    for a, b in zip(first.get_weights(), second.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_what_cannot_be_converted(tensors, tmp_path):
    path = changed(tensors, tmp_path, **{"fc.weight": None, "fc.bias": None})
    settings = weights.Config(
        source=str(path),
        model="narrow_resnet18",
        out=str(tmp_path / "a.weights.h5"),
    )
    with pytest.raises(InputError, match="no classifier"):
        weights.run(settings)
    for out in ("a.h5", "nowhere/a.weights.h5"):
        with pytest.raises(InputError, match="--out must be"):
            weights.run(dataclasses.replace(settings, out=str(tmp_path / out)))


def test_help_imports_no_keras():
    code = (
        "import sys; from landmark_tf import command; "
        "from landmark_tf.models import weights; "
        "print(command.usage('w', weights, weights.Config), "
        "[m for m in ('keras', 'tensorflow', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("python -m w SOURCE [--flag=value")
    assert done.stdout.strip().endswith("[]"), done.stderr


# The whole networks, against timm's.
TIMM = {
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnext50_32x4d": "resnext50_32x4d",
    "se_resnet18": "seresnet18",
    "se_resnet50": "seresnet50",
    "se_resnext50_32x4d": "seresnext50_32x4d",
    "legacy_se_resnet50": "legacy_seresnet50",
    "legacy_se_resnext50_32x4d": "legacy_seresnext50_32x4d",
    "senet154": "legacy_senet154",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_whole_networks_agree_with_timm(name, tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    pytest.importorskip("torch")
    from safetensors.torch import save_file

    from tests.models import torch_networks as networks

    row = dataclasses.replace(resnet.TABLE[name], dropout=0.0)
    add_row(monkeypatch, name, row)
    options = {"drop_rate": 0.0} if row.schemes == ("cadene",) else {}
    network = timm.create_model(TIMM[name], num_classes=CLASSES, **options)
    networks.randomise(network)
    path = tmp_path / "theirs.safetensors"
    save_file(network.state_dict(), path)
    worst = {}
    for size in SIZES:
        model = registry.create_model(name, CLASSES, size)
        weights.load(model, path)
        pictures = cases.pictures(2, size)
        expected = networks.logits(network, pictures, row)
        worst[size] = difference(model(pictures, training=False), expected)
    model = registry.create_model(name, CLASSES, 128)
    weights.load(model, path)
    pictures, labels = cases.pictures(24, 128), np.arange(24) % CLASSES
    # A small step: through 101 layers PyTorch's own gradients in float32 and
    # float64 are so far apart that a step of 0.01 changes logits by 3e-3.
    batch_norm.prepare(model, replicas=1)
    networks.step(network, pictures, labels, row, 0.001)
    train_one_step(model, pictures, labels, 0.001)
    expected = networks.logits(network, pictures[:8], row)
    worst["step"] = difference(model(pictures[:8], training=False), expected)
    print(name, {key: f"{value:.1e}" for key, value in worst.items()})
    assert max(worst.values()) < TOLERANCE
