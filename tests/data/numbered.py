"""Small datasets on disk whose pictures are told by their labels."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from landmark_tf.data import tfrecords
from landmark_tf.files import quiet

tf = quiet.import_tensorflow()

PICTURES, SHARDS, ROWS = 104, 5, 23


def jpeg(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    size = tuple(rng.integers(18, 40, 2).tolist())
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def write(
    path, splits: dict[str, list], num_classes: int = PICTURES
) -> tfrecords.Dataset:
    """Writes (label, jpeg) as a dataset; the label tells the picture."""
    reports, path = {}, path / "numbered"
    path.mkdir()
    for split, pictures in splits.items():
        reports[split] = []
        parts = np.array_split(range(len(pictures)), SHARDS)
        for shard, part in enumerate(parts):
            name = tfrecords.shard_name("numbered", split, shard, SHARDS)
            records = [
                tfrecords.serialize(pictures[i][1], pictures[i][0], 0, f"{i:x}")
                for i in part
            ]
            with tf.io.TFRecordWriter(str(path / name)) as writer:
                for record in records:
                    writer.write(record)
            reports[split].append(
                {"records": len(records), "bytes": sum(map(len, records))}
            )
    tfrecords.write_metadata(path, "numbered", reports)
    labels = range(num_classes)
    table = pd.DataFrame({"label": labels, "landmark_id": labels, "images": 1})
    table.to_csv(path / "classes.csv", index=False)
    (path / tfrecords.SETTINGS).write_text("{}")
    return tfrecords.open_dataset(path)


def write_two_splits(path) -> tfrecords.Dataset:
    """Training pictures 0 to 103; of validation the last shows no landmark."""
    labels = [*range(1, ROWS), -1]
    return write(
        path,
        {
            "train": [(i, jpeg(i)) for i in range(PICTURES)],
            "validation": [(label, jpeg(label + 1)) for label in labels],
        },
    )
