"""Receptive fields, against published figures and against what is seen."""

import keras
import numpy as np
import pytest

from landmark_tf.models import entries, receptive_field, resnet
from tests.models import cases


@pytest.mark.parametrize(
    ("name", "size", "offset"),
    [
        # Araujo et al. 2019: 291 for conv4 of ResNet-50, whose 3x3 convolutions
        # all see the stride of their stage; by hand where one does not.
        ("resnet50_keras", 291, 0),
        ("resnet50", 267, 0),
        ("se_resnet50", 267, 0),
        ("legacy_se_resnet50", 291, 2),  # the pool begins two pixels later
    ],
)
def test_published_sizes(name, size, offset):
    model = entries.build(name, 3, 64)
    field = receptive_field.of(model, "conv4_x")
    assert field.size == (size, size)
    assert field.stride == (16, 16)
    assert field.offset == (offset, offset)


def test_every_stage_and_network_has_its_stride():
    names = ["mobilenet_v2", "inception_v3", "seatt_resnext50_base"]
    for name in names:
        model = entries.build(name, 3, 96)
        for stage, stride in zip(resnet.STAGES, (4, 8, 16, 32)):
            field = receptive_field.of(model, stage)
            assert field.stride == (stride, stride)
            assert field.size[0] == field.size[1] > stride


@pytest.mark.parametrize("name", ["resnet50", "resnet50_keras", "resnet18"])
def test_a_feature_sees_its_field_and_no_more(name):
    model = cases.build(name, image_size=160)
    field = receptive_field.of(model, "conv3_x")
    part = keras.Model(model.input, model.get_layer("conv3_x").output)
    row = 7
    first, last = (
        edge[0] + field.stride[0] * row for edge in (field.first, field.last)
    )
    assert 1 < first < last < 158
    pictures = np.repeat(cases.pictures(1, 160), 5, axis=0)
    for picture, place in zip(pictures[1:], (first - 1, last + 1, first, last)):
        picture[place] = 255 - picture[place]
    features = keras.ops.convert_to_numpy(part(pictures))[:, row]
    np.testing.assert_array_equal(features[1], features[0])
    np.testing.assert_array_equal(features[2], features[0])
    assert np.abs(features[3] - features[0]).max() > 0
    assert np.abs(features[4] - features[0]).max() > 0


def test_layers_by_hand():
    x = inputs = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(4, (3, 5), strides=(2, 1), name="a")(x)
    x = keras.layers.AveragePooling2D(2, name="b")(x)
    x = keras.layers.DepthwiseConv2D(3, dilation_rate=2, name="c")(x)
    model = keras.Model(inputs, x)
    a, b, c = (receptive_field.of(model, name) for name in "abc")
    assert (a.size, a.stride, a.offset) == ((3, 5), (2, 1), (1, 2))
    assert (b.size, b.stride, b.offset) == ((5, 6), (4, 2), (2, 2.5))
    assert (c.size, c.stride, c.offset) == ((21, 14), (4, 2), (10, 6.5))


def test_what_has_no_field():
    model = entries.build("resnet18", 3, 64)
    with pytest.raises(ValueError, match="mixes all pixels.*'pool'"):
        receptive_field.of(model, "logits")
    with pytest.raises(ValueError, match="No such layer"):
        receptive_field.of(model, "conv9_x")
