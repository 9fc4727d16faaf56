"""Why a file is not taken as a model, and which other format it seems to be."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras .h5)"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"GGUF", "a GGUF file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"<", "HTML or XML text"),
    (b"{", "JSON text"),
)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZIP_MEMBERS: tuple[tuple[bytes, str], ...] = (
    (b"constants.pkl", "a TorchScript archive"),
    (b"data.pkl", "a torch checkpoint (torch.save)"),
    (b"config.json", "a Keras archive (.keras)"),
    (b".npy", "a NumPy archive (.npz)"),
)
_PICKLE_0 = (b"(d", b"(l", b"(i", b"cos\n", b"cposix\n", b"c__builtin__\n", b"cbuiltins\n")
_MAX_SAFETENSORS_HEADER = 100_000_000
_ADVICE = "export the model with exercise_code.submit"


class ModelRefused(Exception):
    """The file is not a model that this exercise accepts; `detail` is for the student, one line.

    Codes: not_onnx, too_large, corrupt, external_data, domain_not_allowed, operator_not_allowed, opset,
    subgraph, functions, training_mode, tensor_type, too_many_parameters, too_many_flops, wrong_input, wrong_output,
    check_limits.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


def quoted(text: str) -> str:
    """A name from the file, short and harmless to print."""
    return ascii(text[:60])


def describe_other_format(data: bytes) -> str | None:
    """What `data` is, from its first and last bytes only; None if it may be ONNX. Nothing is unpacked."""
    if data.startswith(_ZIP):
        ends = data[:65536] + data[-65536:]  # member names stand before each member and again at the end
        kind = next((text for name, text in _ZIP_MEMBERS if name in ends), "a zip archive")
        return f"{kind}; {_ADVICE}"
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"a Python pickle, which is never loaded; {_ADVICE}"
    if data.startswith(_PICKLE_0):
        return f"a Python pickle (protocol 0), which is never loaded; {_ADVICE}"
    if data[4:8] == b"TFL3":
        return f"a TensorFlow Lite model; {_ADVICE}"
    if data[8:9] == b"{" and 2 <= int.from_bytes(data[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return f"a safetensors file; {_ADVICE}"
    return next((text for magic, text in _MAGIC if data.startswith(magic)), None)
