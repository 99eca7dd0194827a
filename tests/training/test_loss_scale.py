import numpy as np
import pytest
import tensorflow as tf

from landmark_tf.training import loss_scale


def adjust(scale, *finite):
    for each in finite:
        scale.adjust(tf.constant(each))
    return float(scale.value), int(scale.finite)


def test_it_halves_at_each_overflow():
    """From 2^15 on, and the row of finite updates begins anew."""
    scale = loss_scale.LossScale()
    assert adjust(scale) == (2.0**15, 0)
    assert adjust(scale, True, True) == (2.0**15, 2)
    assert adjust(scale, False) == (2.0**14, 0)
    assert adjust(scale, False, True) == (2.0**13, 1)


def test_it_doubles_after_2000_updates_without_an_overflow():
    scale = loss_scale.LossScale()
    scale.finite.assign(1998)
    assert adjust(scale, True) == (2.0**15, 1999)
    assert adjust(scale, True) == (2.0**16, 0)
    scale.finite.assign(1999)
    assert adjust(scale, False) == (2.0**15, 0)


@pytest.mark.parametrize("finite, limit", [(False, 1.0), (True, 2.0**24)])
def test_it_stays_within_its_limits(finite, limit):
    scale = loss_scale.LossScale()
    scale.value.assign(limit)
    scale.finite.assign(1999)
    assert adjust(scale, finite) == (limit, 0)


def test_replicas_hold_the_same(mirrored):
    with mirrored.scope():
        scale = loss_scale.LossScale()
    step = tf.function(lambda: mirrored.run(scale.adjust, args=(False,)))
    step()
    step()
    values = mirrored.experimental_local_results(scale.value)
    np.testing.assert_array_equal(values, [2.0**13] * 2)
