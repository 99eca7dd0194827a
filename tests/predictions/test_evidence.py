import pytest

from landmark_tf import InputError
from landmark_tf.features import matching, settings, store
from landmark_tf.features.local import empty
from landmark_tf.files import records
from landmark_tf.predictions import evidence
from landmark_tf.predictions.evidence import Evidence, Query
from tests.features import cases

HOW = settings.Matching()
MATRIX = [[0.9, -0.1, 8], [0.1, 0.9, 2], [0, 0, 1]]


def thing(seed):
    return cases.features(60, 32, (200, 300), seed)


FEATURES = {
    "a1": thing(1),
    "a2": cases.mapped(thing(1), MATRIX),
    "a3": thing(11),
    "blank": empty(32, (200, 300)),
    "b1": thing(2),
    "q": cases.mapped(thing(1), MATRIX),
}


def write_features(folder, features):
    folder.mkdir()
    offset, lines = 0, [",".join(store.COLUMNS)]
    with records.writing(folder / "x.tfrecord") as writer:
        for name, value in features.items():
            record = store.serialize(name, value)
            writer.write(record)
            lines.append(f"{name},x.tfrecord,{offset},{len(value)}")
            offset += len(record) + records.FRAMING
    (folder / store.INDEX).write_text("\n".join(lines) + "\n")
    text = '{"settings": {"extractor": "sift"}, "dimension": 32}'
    (folder / store.SETTINGS).write_text(text)
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    return write_features(tmp_path / "features", FEATURES)


def run(folder, items, tmp_path, images_per_class=20):
    path = tmp_path / "evidence.csv"
    sources = evidence.Sources(folder, folder, HOW, 0.0, images_per_class)
    ticks = []
    report = evidence.write(
        items, str(path), lambda: ticks.append(1), sources=sources
    )
    assert len(ticks) == len(items)
    return evidence.read([path]), report


def inliers(a, b):
    # Descriptors are stored in float16, which moves no neighbour here.
    return matching.match(FEATURES[a], FEATURES[b], HOW).inliers


def test_counts_are_those_of_each_pair(folder, tmp_path):
    known = ("a1", "a2", "a3")
    items = [(Query("q", 5), known), (Query("b1", 5), known)]
    found, report = run(folder, items, tmp_path)
    for name in ("q", "b1"):
        expected = tuple(inliers(name, other) for other in known)
        assert found[Query(name, 5)] == Evidence(expected, "")
    assert min(found[Query("q", 5)].inliers[:2]) > 50
    assert max(found[Query("b1", 5)].inliers) < 15
    assert report == {"damaged": []}


def test_a_query_is_never_compared_with_itself(folder, tmp_path):
    items = [(Query("a1", 5), ("a1", "a2", "a3"))]
    found, _ = run(folder, items, tmp_path)
    expected = (inliers("a1", "a2"), inliers("a1", "a3"))
    assert found[Query("a1", 5)].inliers == expected


def test_only_the_first_pictures_with_features_count(folder, tmp_path):
    known = ("gone", "blank", "a3", "a1", "a2")
    found, _ = run(folder, [(Query("q", 5), known)], tmp_path, 2)
    expected = (inliers("q", "a3"), inliers("q", "a1"))
    assert found[Query("q", 5)].inliers == expected
    # The query among them leaves room for one more.
    known = ("a1", "a2", "a3")
    found, _ = run(folder, [(Query("a1", 5), known)], tmp_path, 2)
    assert len(found[Query("a1", 5)].inliers) == 2


@pytest.mark.parametrize(
    ("query", "known", "note"),
    [
        ("unknown", ("a1",), "the query has no features"),
        ("blank", ("a1",), "the query has no features"),
        ("q", (), "the class has no features"),
        ("q", ("gone", "blank"), "the class has no features"),
        ("a1", ("a1",), "the class has no features"),
    ],
)
def test_without_features_there_is_a_reason(
    folder, tmp_path, query, known, note
):
    found, report = run(folder, [(Query(query, 5), known)], tmp_path)
    assert found == {Query(query, 5): Evidence((), note)}
    assert report == {"damaged": []}


def test_damaged_features_are_named(folder, tmp_path):
    shard = tmp_path / "features" / "x.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-10])  # q is the last
    items = [(Query("q", 5), ("a1",)), (Query("b1", 5), ("a1", "q"))]
    found, report = run(folder, items, tmp_path)
    assert found[Query("q", 5)].note == "the query has no features"
    assert len(found[Query("b1", 5)].inliers) == 1
    assert report == {"damaged": [("q", "x.tfrecord: truncated")]}


def test_the_plan_keeps_landmarks_whole():
    queries = [Query(f"q{i}", i % 7) for i in range(200)]
    training = {landmark: [f"t{landmark}"] for landmark in range(6)}
    tasks = evidence.plan(queries, training)
    items = [item for task in tasks for item in task.items]
    assert sorted(q for q, _ in items) == sorted(queries)
    assert len(tasks) > 1
    for landmark in range(7):
        where = {
            task.file
            for task in tasks
            for query, ids in task.items
            if query.landmark_id == landmark
        }
        assert len(where) == 1
    assert dict(items)[Query("q6", 6)] == ()
    assert dict(items)[Query("q5", 5)] == ("t5",)
    assert evidence.plan([], training) == []


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "e.csv").write_text("id,landmark_id,inliers,note\nq,x,1,\n")
    with pytest.raises(InputError, match="e.csv cannot be read"):
        evidence.read([tmp_path / "e.csv"])
