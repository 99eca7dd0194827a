"""DELF's network: which of a backbone's features are worth keeping.

Noh et al., "Large-Scale Image Retrieval with Attentive Deep Local Features",
2017, Section 3.2.

    network = add_head(backbone, num_classes=23, name="se_resnet50_delf")
    ...                                   # train it, the backbone frozen
    features, attention = network_of_features(network)(images)
"""

import keras

PREFIX = "attention"  # of the names of the head's layers
_SCORE = f"{PREFIX}_score"
_FEATURES = f"{PREFIX}_features"


def add_head(
    backbone: keras.Model, num_classes: int, name: str, hidden: int = 512
) -> keras.Model:
    """Puts attention-weighted pooling and a classifier on a backbone.

    Equation 1, y = W sum(a(f) f), of features scaled to length 1 and then
    standardised, with a mean in place of the sum, so that the size of the
    picture does not matter. The attention a is two 1x1 convolutions, ReLU and
    softplus.

    Args:
        backbone: uint8 images [N, S, S, 3] -> features [N, h, w, C].
        num_classes: K, width of the output.
        name: of the network.
        hidden: channels between the two convolutions.

    Returns:
        uint8 images [N, S, S, 3] -> float32 logits [N, K]. Layers named
        attention_... and logits are new and alone trainable.
    """
    backbone.trainable = False

    features = keras.layers.Activation(
        "linear", dtype="float32", name=_FEATURES
    )(backbone.output)
    x = keras.layers.UnitNormalization(
        axis=-1, dtype="float32", name=f"{PREFIX}_unit"
    )(features)
    # Else what all features have in common, most of them, hides the rest.
    x = keras.layers.BatchNormalization(
        momentum=0.9, dtype="float32", name=f"{PREFIX}_norm"
    )(x)
    score = keras.layers.Conv2D(
        hidden,
        1,
        activation="relu",
        kernel_initializer="he_normal",
        dtype="float32",
        name=f"{PREFIX}_hidden",
    )(x)
    score = keras.layers.Conv2D(
        1,
        1,
        activation="softplus",
        kernel_initializer="zeros",  # at first every feature counts alike
        dtype="float32",
        name=_SCORE,
    )(score)
    chosen = keras.layers.Multiply(dtype="float32", name=f"{PREFIX}_chosen")(
        [x, score]
    )
    pooled = keras.layers.GlobalAveragePooling2D(
        dtype="float32", name=f"{PREFIX}_pool"
    )(chosen)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")
    return keras.Model(backbone.input, logits(pooled), name=name)


def network_of_features(
    network: keras.Model, precision: str = "float32"
) -> keras.Model:
    """What finds features, of pictures of any size.

    Args:
        network: what `add_head` made.
        precision: float32, or bfloat16: the backbone computes in it, unless it
            was trained in another one than float32.

    Returns:
        float32 images [N, H, W, 3] from 0 to 255 -> features [N, h, w, C] and
        their attention [N, h, w, 1], above 0. Its weights are copies.
    """
    trained = keras.Model(
        network.input,
        [network.get_layer(name).output for name in (_FEATURES, _SCORE)],
    )

    def clone(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        exact = isinstance(layer, keras.layers.Rescaling)
        if not exact and not layer.name.startswith(PREFIX):
            if layer.dtype_policy.name == "float32" != precision:
                config["dtype"] = f"mixed_{precision}"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(
        trained,
        input_tensors=keras.Input((None, None, 3), dtype="float32"),
        clone_function=clone,
    )
    copy.set_weights(trained.get_weights())
    return copy
