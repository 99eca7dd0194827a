"""What TensorFlow Serving does with a predict request, as far as we need it.

Written after its page "RESTful API" and json_tensor.cc: JSON becomes tensors
by the signature's own names and types, and the outputs become JSON. It stands
in for the server, whose program is not on PyPI. Its messages are built from the
published names and numbers of their fields, and read by protobuf itself.
"""

import base64
import contextlib
import http.server
import json
import pathlib
import re
import threading

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2

# message: (field, number, type) as in tensorflow_serving/apis/*.proto; a type
# ending in [] is repeated. A map is a repeated message of key and value.
MESSAGES = {
    "ModelSpec": [("name", 1, "string"), ("signature_name", 3, "string")],
    "InputsEntry": [
        ("key", 1, "string"),
        ("value", 2, "tensorflow.TensorProto"),
    ],
    "PredictRequest": [
        ("model_spec", 1, "serving.ModelSpec"),
        ("inputs", 2, "serving.InputsEntry[]"),
        ("output_filter", 3, "string[]"),
    ],
    "PredictLog": [("request", 1, "serving.PredictRequest")],
    "PredictionLog": [("predict_log", 6, "serving.PredictLog")],
}


def prediction_log_class():
    """The class of `PredictionLog`, in a pool of descriptors of its own."""
    file = descriptor_pb2.FileDescriptorProto(
        name="serving.proto",
        package="serving",
        syntax="proto3",
        dependency=[tensor_pb2.DESCRIPTOR.name],
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in MESSAGES.items():
        added = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = added.field.add(
                name=name,
                number=number,
                label=kinds.LABEL_REPEATED
                if kind.endswith("[]")
                else kinds.LABEL_OPTIONAL,
            )
            if kind.startswith("string"):
                field.type = kinds.TYPE_STRING
            else:
                field.type = kinds.TYPE_MESSAGE
                field.type_name = "." + kind.removesuffix("[]")
    pool = descriptor_pool.DescriptorPool()
    _add(pool, tensor_pb2.DESCRIPTOR, set())
    pool.Add(file)
    found = pool.FindMessageTypeByName("serving.PredictionLog")
    return message_factory.GetMessageClass(found)


def _add(pool, file, done):
    """Adds a file's descriptor behind those of the files that it imports."""
    for needed in file.dependencies:
        _add(pool, needed, done)
    if file.name not in done:
        done.add(file.name)
        pool.AddSerializedFile(file.serialized_pb)


def pictures(log):
    """The pictures, bytes [N], of a `PredictionLog`."""
    request = log.predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert [entry.key for entry in request.inputs] == ["image_bytes"]
    value = request.inputs[0].value.SerializeToString()
    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(value))


def signature_def(folder):
    """The SignatureDef that the server uses, as it stands in the file."""
    data = pathlib.Path(folder, "saved_model.pb").read_bytes()
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
    assert list(meta_graph.meta_info_def.tags) == ["serve"]
    return meta_graph.signature_def["serving_default"]


class Model:
    """The signature of a SavedModel, asked with a request's body."""

    def __init__(self, folder):
        self.info = signature_def(folder)
        self._model = tf.saved_model.load(str(folder))
        self._signature = self._model.signatures["serving_default"]

    def predict(self, body):
        """The answer's JSON value. Raises ValueError as for status 400."""
        request = json.loads(body)
        row = "instances" in request
        if row == ("inputs" in request):
            raise ValueError("one of 'inputs' and 'instances' must be there")
        columns = self._columns(request["instances" if row else "inputs"], row)
        inputs = {
            name: self._tensor(columns[name], info)
            for name, info in self.info.inputs.items()
        }
        try:
            found = self._signature(**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(error.message) from error
        assert sorted(found) == sorted(self.info.outputs)
        outputs = {name: self._json(x, name) for name, x in found.items()}
        if not row:
            return {"outputs": outputs}
        rows = zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(outputs, row)) for row in rows]}

    def _columns(self, value, row):
        (only,) = self.info.inputs
        if not row:
            named = isinstance(value, dict) and "b64" not in value
            return value if named else {only: value}
        if not value:
            raise ValueError("No values in 'instances' array")
        if isinstance(value[0], dict) and "b64" not in value[0]:
            if any(set(x) != set(self.info.inputs) for x in value):
                raise ValueError("keys must be equal to the inputs' names")
            return {name: [x[name] for x in value] for name in value[0]}
        return {only: value}

    def _tensor(self, values, info):
        def leaf(value):
            if not isinstance(value, dict):
                return value.encode()
            if list(value) != ["b64"]:
                raise ValueError("not formatted correctly for base64 data")
            return base64.b64decode(value["b64"], validate=True)

        assert info.dtype == tf.string.as_datatype_enum
        tensor = tf.constant([leaf(value) for value in values], tf.string)
        assert tf.TensorShape(info.tensor_shape).is_compatible_with(
            tensor.shape
        )
        return tensor

    def _json(self, tensor, name):
        info = self.info.outputs[name]
        assert tensor.dtype.as_datatype_enum == info.dtype
        # Strings would need care: Base64 if the name ends in _bytes.
        assert tensor.dtype != tf.string
        return tensor.numpy().tolist()


@contextlib.contextmanager
def serving(base_path, name):
    """Serves the highest version in a folder; gives `127.0.0.1:PORT`."""
    numbers = [x.name for x in base_path.iterdir() if x.name.isdigit()]
    model = Model(base_path / max(numbers, key=int))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            wanted = rf"/v1/models/{name}(/versions/\d+)?:predict"
            status, answer = 200, None
            try:
                if not re.fullmatch(wanted, self.path):
                    status, answer = 404, {"error": "Servable not found"}
                else:
                    answer = model.predict(body)
            except ValueError as error:
                status, answer = 400, {"error": str(error)}
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
